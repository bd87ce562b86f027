# SPDX-License-Identifier: MIT
"""fdsend and fdrecv with real peers: other programs that pass descriptors, other users, receivers
and senders that die, and servers that change processes without their clients noticing."""

import array
import contextlib
import fcntl
import getpass
import hashlib
import http.client
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

FDSEND = handoff.tool("fdsend")
FDRECV = handoff.tool("fdrecv")
NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped
PYTHON = [sys.executable, "-I", "-S"]
CONFIRMATION = b"\x06"


def header(count: int, flags: int = 0, version: int = 1) -> bytes:
    """A message of handoff-wire(7) whose descriptors have no names."""
    return b"HOFD" + bytes([version, flags, count & 255, count >> 8]) + b"\0" * count


class Process:
    """A program with its output collected, in a session of its own, that ends with its test."""

    def __init__(self, *words, **options):
        for stream in ("stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        options.setdefault("stdin", subprocess.DEVNULL)
        self.words = words
        self.process = subprocess.Popen(words, start_new_session=True, **options)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def finish(self):
        """Its status, output and errors, once it has ended."""
        output, errors = self.process.communicate(timeout=handoff.PATIENCE)
        return self.process.returncode, output, (errors or b"").decode()


class PassingTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.file = self.write("greeting", "hello from a file\n")

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return self.path(name)

    def needs(self, *programs: str):
        for program in programs:
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")

    def launch(self, *words, **options) -> Process:
        return self.stack.enter_context(Process(*words, **options))

    def own(self, resource):
        return self.stack.enter_context(resource)

    def own_fd(self, number: int) -> int:
        self.stack.callback(self.close_fd, number)
        return number

    @staticmethod
    def close_fd(number: int):
        with contextlib.suppress(OSError):
            os.close(number)

    def pair(self, kind=socket.SOCK_STREAM):
        ends = socket.socketpair(socket.AF_UNIX, kind)
        for end in ends:
            end.settimeout(handoff.PATIENCE)
            self.own(end)
        return ends

    def listen(self, name: str = "s") -> socket.socket:
        listener = self.own(socket.socket(socket.AF_UNIX))
        listener.settimeout(handoff.PATIENCE)
        listener.bind(self.path(name))
        listener.listen(128)
        return listener

    def listen_tcp(self) -> socket.socket:
        listener = self.own(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(handoff.PATIENCE)
        return listener

    def accept(self, listener) -> socket.socket:
        connection = self.own(listener.accept()[0])
        connection.settimeout(handoff.PATIENCE)
        return connection

    def connect(self, name: str = "s") -> socket.socket:
        client = self.own(socket.socket(socket.AF_UNIX))
        client.settimeout(handoff.PATIENCE)
        client.connect(self.path(name))
        return client

    def wait_for_socket(self, name: str = "s"):
        handoff.wait_for(lambda: os.path.exists(self.path(name)), f"the socket {name}")

    def exchange(self, sender, receiver):
        """Runs both over a connected pair, as stdout and as stdin: what the receiver wrote."""
        ours, theirs = self.pair()
        for end in (ours, theirs):
            end.setblocking(True)  # the programs share the flag, and few expect it
        sending = self.launch(*sender, stdin=ours, stdout=ours)
        receiving = self.launch(*receiver, stdin=theirs)
        ours.close()
        theirs.close()
        status, _, errors = sending.finish()
        self.assertEqual((status, errors), (0, ""), sender)
        status, output, errors = receiving.finish()
        self.assertEqual((status, errors), (0, ""), receiver)
        return output.decode()

    def pass_to(self, command, *numbers: int, options=()) -> Process:
        """Has fdsend pass descriptors of ours to fdrecv, which runs `command` with them from 9
        on."""
        ours, theirs = self.pair()
        places = [word for i in range(len(numbers)) for word in ("--fd", str(9 + i))]
        receiving = self.launch(FDRECV, *places, "-", "--", *command, stdin=theirs)
        sending = self.launch(FDSEND, *options, "-", *map(str, numbers), stdout=ours,
                              pass_fds=numbers)
        ours.close()
        theirs.close()
        status, _, errors = sending.finish()
        self.assertEqual((status, errors), (0, ""))
        return receiving

    def assert_ends(self, process: Process, status: int, output: str = "", errors: str = ""):
        got_status, got_output, got_errors = process.finish()
        self.assertEqual((got_status, (got_output or b"").decode()), (status, output), got_errors)
        self.assertRegex(got_errors, f"^({errors})$")

    def assert_sent(self, process: Process):
        self.assert_ends(process, 0)


class OtherPrograms(PassingTest):
    def test_python_send_fds_is_received(self):
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "-", stdin=theirs)
        with open(self.file) as file:
            socket.send_fds(ours, [b"any bytes"], [file.fileno()])
        self.assert_ends(receiving, 0, "hello from a file\n")

    def test_python_recv_fds_receives(self):
        listener = self.listen()
        for byte in (0, 1, 72, 255):
            sending = self.launch(FDSEND, "--byte", str(byte), "-o", self.file, self.path("s"))
            data, numbers, flags, _ = socket.recv_fds(self.accept(listener), 100, 253)
            self.assertEqual((data, len(numbers), flags & socket.MSG_CTRUNC),
                             (bytes([byte]), 1, 0))
            with open(numbers[0]) as file:
                self.assertEqual(file.read(), "hello from a file\n")
            self.assert_sent(sending)

    def test_ruby_send_io_is_received(self):
        self.needs("ruby")
        self.assertEqual(self.exchange(
            ["ruby", "-rsocket", "-e", "UNIXSocket.for_fd(1).send_io(File.open(ARGV[0]))",
             self.file], [FDRECV, "-"]), "hello from a file\n")

    def test_ruby_recv_io_receives(self):
        self.needs("ruby")
        self.assertEqual(self.exchange(
            [FDSEND, "-o", self.file, "-"],
            ["ruby", "-rsocket", "-e", "print UNIXSocket.for_fd(0).recv_io.read"]),
            "hello from a file\n")

    def needs_fdpass(self):
        self.needs("perl")
        if subprocess.run(["perl", "-MIO::FDPass", "-e1"], capture_output=True).returncode:
            self.skipTest("IO::FDPass of Perl is not installed")

    def test_perl_fdpass_send_is_received(self):
        self.needs_fdpass()
        self.assertEqual(self.exchange(
            ["perl", "-MIO::FDPass", "-e",
             'open F, "<", $ARGV[0] or die; IO::FDPass::send 1, fileno F or die', self.file],
            [FDRECV, "-"]), "hello from a file\n")

    def test_perl_fdpass_recv_receives(self):
        self.needs_fdpass()
        self.assertEqual(self.exchange(
            [FDSEND, "-o", self.file, "-"],
            ["perl", "-MIO::FDPass", "-e",
             'my $n = IO::FDPass::recv 0; open F, "<&=", $n or die; print <F>']),
            "hello from a file\n")

    def start_nc(self, port: int, *receiver: str) -> Process:
        self.needs("nc")
        if b"-F" not in subprocess.run(["nc", "-h"], capture_output=True).stderr:
            self.skipTest("nc has no -F: it is not netcat-openbsd")
        ours, theirs = self.pair()
        receiving = self.launch(*receiver, stdin=theirs)
        passing = self.launch("nc", "-F", "127.0.0.1", str(port), stdout=ours)
        ours.close()
        theirs.close()
        self.assert_sent(passing)
        return receiving

    def test_a_connection_of_nc_is_given_to_a_command(self):
        listener = self.listen_tcp()
        receiving = self.start_nc(listener.getsockname()[1], FDRECV, "-", "--", "sh", "-c",
                                  "echo hello from sh")
        client = self.accept(listener)
        self.assertEqual(client.makefile().read(), "hello from sh\n")
        self.assert_ends(receiving, 0)

    def test_a_connection_of_nc_is_copied_to_stdout(self):
        """nc leaves O_NONBLOCK set on what it passes."""
        listener = self.listen_tcp()
        receiving = self.start_nc(listener.getsockname()[1], FDRECV, "-")
        self.assert_copied(receiving, self.accept(listener))

    def assert_copied(self, receiving: Process, client):
        """Each letter is sent once the one before has come, so that fdrecv has to wait."""
        for i in range(50):
            letter = bytes([65 + i])
            client.sendall(letter)
            readable, _, _ = select.select([receiving.process.stdout], [], [], handoff.PATIENCE)
            self.assertTrue(readable)
            self.assertEqual(os.read(receiving.process.stdout.fileno(), 10), letter,
                             receiving.process.poll() and receiving.process.stderr.read())
        client.close()
        self.assert_ends(receiving, 0)

    def test_a_non_blocking_connection_is_copied_to_stdout(self):
        ours, theirs = self.pair()
        client, passed = self.pair()
        passed.setblocking(False)
        receiving = self.launch(FDRECV, "-", stdin=theirs)
        socket.send_fds(ours, [b"\0"], [passed.fileno()])
        self.assert_copied(receiving, client)
        self.assertFalse(passed.getblocking())

    def test_a_pipe_that_is_non_blocking_is_copied_to(self):
        read_end, write_end = map(self.own_fd, os.pipe())
        os.set_blocking(write_end, False)
        text = "0123456789abcdef" * 100000
        large = self.write("large", text)
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "-", stdin=theirs, stdout=write_end)
        os.close(write_end)
        with open(large) as file:
            socket.send_fds(ours, [b"\0"], [file.fileno()])
        with open(read_end, closefd=False) as got:
            self.assertEqual(hashlib.sha256(got.read().encode()).digest(),
                             hashlib.sha256(text.encode()).digest())
        self.assert_ends(receiving, 0)

    def test_ssh_logs_in_through_a_connection_that_fdsend_made(self):
        self.needs("ssh", "ssh-keygen")
        sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
        if not sshd:
            self.skipTest("sshd is not installed")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)],
                           check=True, stdin=subprocess.DEVNULL)
        port = self.start_sshd(sshd)
        public = pathlib.Path(self.path("host.pub")).read_text().split()
        known = self.write("known_hosts", f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
        words = ["ssh", "-F", "/dev/null", "-p", str(port), "-i", self.path("user"),
                 "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
                 "-o", f"UserKnownHostsFile={known}", "-o", "ProxyUseFdpass=yes",
                 "-o", f"ProxyCommand={FDSEND} --tcp-connect %h:%p -",
                 f"{getpass.getuser()}@127.0.0.1", "cat; echo logged in"]
        client = self.launch(*words, stdin=subprocess.PIPE)
        output, errors = client.process.communicate(b"typed here\n", handoff.PATIENCE)
        self.assertEqual((client.process.returncode, output), (0, b"typed here\nlogged in\n"),
                         errors)

    def start_sshd(self, program: str) -> int:
        """Runs sshd on a free port. It can't choose one by itself, so another process may come
        first: then there is another try."""
        if os.geteuid() == 0:
            # Debian makes it when the service starts. It stays: another run may need it now.
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        for _ in range(10):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            config = self.write("sshd_config", "\n".join([
                f"ListenAddress 127.0.0.1:{port}", f"HostKey {self.path('host')}",
                f"AuthorizedKeysFile {self.path('user.pub')}", "StrictModes no", "PidFile none",
                "PermitRootLogin yes", "PasswordAuthentication no", "UsePAM no",
                "KbdInteractiveAuthentication no", ""]))
            server = self.launch(program, "-D", "-e", "-f", config, stderr=subprocess.PIPE)
            line = b""
            while b"listening on" not in line.lower():
                line = server.process.stderr.readline()
                if not line:
                    break
            else:
                return port
        self.skipTest("sshd does not start here")


class Kinds(PassingTest):
    """Each kind of descriptor goes through both tools, to a process that uses it as number 9."""

    def assert_usable(self, number: int, script: str, output: str = "") -> None:
        command = [*PYTHON, "-c", "import mmap, os, select, signal, socket\n" + script]
        self.assert_ends(self.pass_to(command, number), 0, output)

    def test_a_file(self):
        with open(self.file) as file:
            self.assert_usable(file.fileno(), "print(os.read(9, 100))",
                               "b'hello from a file\\n'\n")

    def test_a_pipe(self):
        read_end, write_end = map(self.own_fd, os.pipe())
        os.write(write_end, b"flowed")
        os.close(write_end)
        self.assert_usable(read_end, "print(os.read(9, 100), os.read(9, 100))",
                           "b'flowed' b''\n")

    def test_a_fifo(self):
        os.mkfifo(self.path("fifo"))
        with open(self.path("fifo"), "r+b", buffering=0) as fifo:
            self.assert_usable(fifo.fileno(), "os.write(9, b'through a name')")
            self.assertEqual(fifo.read(100), b"through a name")

    def test_a_terminal(self):
        ours, theirs = map(self.own_fd, pty.openpty())
        self.assert_usable(theirs, "print(os.isatty(9), os.write(9, b'shown'))", "True 5\n")
        self.assertEqual(os.read(ours, 100), b"shown")

    def test_a_udp_socket(self):
        with socket.socket(type=socket.SOCK_DGRAM) as udp, \
                socket.socket(type=socket.SOCK_DGRAM) as other:
            udp.bind(("127.0.0.1", 0))
            other.settimeout(handoff.PATIENCE)
            other.sendto(b"datagram", udp.getsockname())
            self.assert_usable(udp.fileno(), "s = socket.socket(fileno=9)\n"
                               "data, peer = s.recvfrom(100)\ns.sendto(data + b' back', peer)")
            self.assertEqual(other.recv(100), b"datagram back")

    def test_a_tcp_connection(self):
        listener = self.listen_tcp()
        with socket.create_connection(listener.getsockname()) as connection:
            peer = self.accept(listener)
            peer.sendall(b"request")
            self.assert_usable(connection.fileno(), "s = socket.socket(fileno=9)\n"
                               "s.sendall(s.recv(100) + b', reply')")
        self.assertEqual(peer.makefile().read(), "request, reply")

    def test_a_unix_socket(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with self.subTest(kind):
                ours, theirs = self.pair(kind)
                ours.send(b"question")
                self.assert_usable(theirs.fileno(), "s = socket.socket(fileno=9)\n"
                                   "s.send(s.recv(100) + b', answer')")
                self.assertEqual(ours.recv(100), b"question, answer")

    def test_a_listener(self):
        listener = self.listen_tcp()
        client = self.own(socket.create_connection(listener.getsockname()))
        self.assert_usable(listener.fileno(), "s, _ = socket.socket(fileno=9).accept()\n"
                           "s.sendall(b'accepted')")
        self.assertEqual(client.makefile().read(), "accepted")

    def test_an_epoll_instance(self):
        read_end, write_end = map(self.own_fd, os.pipe())
        with select.epoll() as epoll:
            epoll.register(read_end, select.EPOLLIN)
            os.write(write_end, b"!")
            self.assert_usable(epoll.fileno(), "print(select.epoll.fromfd(9).poll(0))",
                               f"[({read_end}, {select.EPOLLIN})]\n")

    def test_a_memfd(self):
        memory = self.own_fd(os.memfd_create("shared"))
        os.truncate(memory, 4096)
        self.assert_usable(memory, "mmap.mmap(9, 4096)[:7] = b'written'")
        self.assertEqual(os.pread(memory, 7, 0), b"written")

    def test_a_pidfd(self):
        victim = self.launch("sleep", "1000")
        pidfd = self.own_fd(os.pidfd_open(victim.pid))
        self.assert_usable(pidfd, "signal.pidfd_send_signal(9, signal.SIGTERM)")
        self.assert_ends(victim, -signal.SIGTERM)


class Flags(PassingTest):
    """What is passed is shared: nobody may change it on the way."""

    def assert_flags_kept(self, number: int):
        before = fcntl.fcntl(number, fcntl.F_GETFL)
        for options in ([], ["--ack"], ["-n", "name"]):
            ours, theirs = self.pair()
            receiving = self.launch(FDRECV, "--stdin", "-", "--", "true", stdin=theirs)
            sending = self.launch(FDSEND, *options, "-", stdin=number, stdout=ours)
            ours.close()
            theirs.close()
            self.assert_sent(sending)
            self.assert_sent(receiving)
            self.assertEqual(fcntl.fcntl(number, fcntl.F_GETFL), before)

    def test_a_passed_file_keeps_its_flags_and_its_offset(self):
        with open(self.file, "r+b", buffering=0) as file:
            file.seek(3)
            self.assert_flags_kept(file.fileno())
            self.assertEqual(file.tell(), 3)

    def test_a_passed_pipe_keeps_its_flags(self):
        read_end, _ = map(self.own_fd, os.pipe())
        self.assert_flags_kept(read_end)
        os.set_blocking(read_end, False)
        self.assert_flags_kept(read_end)

    def test_a_passed_terminal_keeps_its_flags_and_its_modes(self):
        _, terminal = map(self.own_fd, pty.openpty())
        modes = termios.tcgetattr(terminal)
        self.assert_flags_kept(terminal)
        self.assertEqual(termios.tcgetattr(terminal), modes)

    def test_a_passed_connection_keeps_its_flags(self):
        passed, _ = self.pair()
        for blocking in (True, False):
            passed.setblocking(blocking)
            self.assert_flags_kept(passed.fileno())

    def test_a_listener_and_a_connection_that_fdsend_makes_are_blocking(self):
        listener = self.listen_tcp()
        port = listener.getsockname()[1]
        for options in (["-q", "--tcp-listen", "127.0.0.1:0"],
                        ["--tcp-connect", f"127.0.0.1:{port}"]):
            ours, theirs = self.pair()
            sending = self.launch(FDSEND, *options, "-", stdout=theirs)
            _, numbers, _, _ = socket.recv_fds(ours, 1, 1)
            self.assert_sent(sending)
            self.assertTrue(os.get_blocking(self.own_fd(numbers[0])), options)


RELAY = """
import os, sys
left = int(sys.argv[1])
while left:
    data = os.read(0, min(left, 65536))
    if not data:
        sys.exit("the connection ended early")
    left -= len(data)
    while data:
        data = data[os.write(1, data):]
if len(sys.argv) > 2:
    os.execv(sys.argv[2], [sys.argv[2], "--wait", "--ack", sys.argv[3]])
"""


class Moves(PassingTest):
    def test_a_live_connection_moves_through_processes_and_loses_no_byte(self):
        """Each process echoes a part of the stream, then hands the connection on while the client
        goes on sending."""
        parts = [1_000_003, 1, 700_001, 65_536, 1_234_567]
        receivers = []
        for i, size in enumerate(parts):
            following = [FDSEND, self.path(str(i + 1))] if i + 1 < len(parts) else []
            receivers.append(self.launch(FDRECV, self.path(str(i)), "--", *PYTHON, "-c", RELAY,
                                         str(size), *following))
        listener = self.listen_tcp()
        sending = self.launch(FDSEND, "--wait", "--tcp-connect",
                              f"127.0.0.1:{listener.getsockname()[1]}", self.path("0"))
        client = self.accept(listener)
        data = os.urandom(sum(parts))

        def send():
            with contextlib.suppress(OSError):
                client.sendall(data)

        sender = threading.Thread(target=send)
        sender.start()
        got = hashlib.sha256()
        size = 0
        while piece := client.recv(1 << 16):
            got.update(piece)
            size += len(piece)
        sender.join(handoff.PATIENCE)
        self.assertEqual((size, got.digest()), (len(data), hashlib.sha256(data).digest()))
        self.assert_sent(sending)
        for receiver in receivers:
            self.assert_sent(receiver)

    APPLICATION = """
import os
def application(environ, start_response):
    body = os.environ["GENERATION"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

    def start_gunicorn(self, generation: str) -> Process:
        return self.launch(FDRECV, "--listen-fds", self.path(generation), "--", "gunicorn",
                           "--workers", "2", "--chdir", str(self.directory), "application",
                           env={**os.environ, "GENERATION": generation},
                           stdout=subprocess.DEVNULL, stderr=self.own(open(self.path("log"), "a")))

    @staticmethod
    def ask(port: int) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=handoff.PATIENCE)
        try:
            connection.request("GET", "/")
            reply = connection.getresponse()
            body = reply.read().decode()
            return body if reply.status == 200 else f"status {reply.status}"
        finally:
            connection.close()

    @staticmethod
    def number_of_listener(pid: int, port: int) -> int:
        """Which descriptor it is: gunicorn makes a copy of the one that it is given."""
        lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        inodes = [fields[9] for fields in map(str.split, lines)
                  if fields[1] == f"0100007F:{port:04X}" and fields[3] == "0A"]
        for entry in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{entry}") == f"socket:[{inodes[0]}]":
                return int(entry)
        raise AssertionError("it has no listener")

    def test_gunicorn_gets_its_listener_and_hands_it_to_a_successor_under_load(self):
        self.needs("gunicorn")
        self.needs_ptrace()
        self.write("application.py", self.APPLICATION)
        first = self.start_gunicorn("first")
        sending = self.launch(FDSEND, "--wait", "--tcp-listen", "127.0.0.1:0", self.path("first"))
        status, _, errors = sending.finish()
        self.assertRegex(errors, r"^fdsend: listening, on 127\.0\.0\.1:\d+\n$")
        self.assertEqual(status, 0)
        port = int(errors.rsplit(":", 1)[1])
        self.assertEqual(self.ask(port), "first")

        answers: list = []
        done = threading.Event()

        def load():
            while not done.is_set():
                try:
                    answers.append(self.ask(port))
                except Exception as error:  # pylint: disable=broad-except
                    answers.append(repr(error))

        clients = [threading.Thread(target=load) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            second = self.start_gunicorn("second")
            number = self.number_of_listener(first.pid, port)
            self.assert_sent(self.launch(FDSEND, "--wait", "--ack", "--pid",
                                         f"{first.pid}:{number}", self.path("second")))
            handoff.wait_for(lambda: "second" in answers, "an answer of the successor")
            first.process.terminate()
            self.assertEqual(first.process.wait(handoff.PATIENCE), 0)
            seen = len(answers)
            handoff.wait_for(lambda: len(answers) > seen + 50, "answers of the successor alone")
        finally:
            done.set()
            for client in clients:
                client.join(handoff.PATIENCE)
        self.assertLessEqual(set(answers), {"first", "second"})
        self.assertEqual(set(answers[seen + len(clients):]), {"second"})
        second.process.terminate()
        self.assertEqual(second.process.wait(handoff.PATIENCE), 0)

    def needs_ptrace(self):
        yama = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
        if os.geteuid() != 0 and yama.exists() and yama.read_text().strip() != "0":
            self.skipTest("Yama forbids to take descriptors from other processes")

    def test_a_descriptor_of_a_running_process_is_taken_and_it_keeps_its_own(self):
        self.needs_ptrace()
        with open(self.file) as file:
            holder = self.launch("sleep", "1000", stdin=file)
            for _ in range(2):
                file.seek(0)
                ours, theirs = self.pair()
                sending = self.launch(FDSEND, "--pid", f"{holder.pid}:0", "-", stdout=ours)
                receiving = self.launch(FDRECV, "-", stdin=theirs)
                self.assert_sent(sending)
                self.assert_ends(receiving, 0, "hello from a file\n")

    def test_a_descriptor_is_not_taken_without_the_right_to(self):
        if os.geteuid() != 0:
            words = [FDSEND, "--pid", "1:0", "-"]
            victim = "1"
        else:
            # With fewer capabilities than the process that it asks.
            self.needs("setpriv")
            victim = str(self.launch("sleep", "1000").pid)
            words = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", FDSEND,
                     "--pid", f"{victim}:0", "-"]
        _, theirs = self.pair()
        sending = self.launch(*words, stdout=theirs)
        self.assert_ends(sending, 125, "",
                         f"fdsend: cannot take {victim}:0: Operation not permitted.*\n")


class Confirmation(PassingTest):
    """fdsend --ack fails unless the receiver says that it has the descriptors."""

    GONE = r"fdsend: cannot send to .*: the receiver (did not confirm|is gone)\n"

    def start_sender(self, *options: str, peer=None) -> Process:
        return self.launch(FDSEND, "--ack", *options, "-o", self.file,
                           "-" if peer else self.path("s"), stdout=peer)

    def received(self, connection):
        data, numbers, _, _ = socket.recv_fds(connection, 100, 10)
        self.assertEqual((data, len(numbers)), (header(1, flags=1), 1))
        os.close(numbers[0])

    def test_a_receiver_that_confirms_is_success(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        self.received(ours)
        ours.send(CONFIRMATION)
        self.assert_sent(sending)

    def test_fdrecv_confirms(self):
        receiving = self.launch(FDRECV, self.path("s"))
        self.assert_sent(self.start_sender("--wait"))
        self.assert_ends(receiving, 0, "hello from a file\n")

    def test_a_receiver_that_is_not_there(self):
        self.listen().close()
        self.assert_ends(self.start_sender(), 3, "",
                         "fdsend: cannot connect to .*: Connection refused\n")

    def test_a_receiver_that_leaves_before_it_accepts(self):
        listener = self.listen()
        sending = self.start_sender()
        readable, _, _ = select.select([listener], [], [], handoff.PATIENCE)
        self.assertTrue(readable)
        listener.close()
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_closes_without_reading(self):
        listener = self.listen()
        sending = self.start_sender()
        self.accept(listener).close()
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_closed_already(self):
        ours, theirs = self.pair()
        ours.close()
        self.assert_ends(self.start_sender(peer=theirs), 4, "", self.GONE)

    def test_a_receiver_that_closes_after_it_has_read(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        theirs.close()
        self.received(ours)
        ours.close()
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_ends_its_side_only(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        ours.shutdown(socket.SHUT_WR)
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_answers_garbage(self):
        for garbage in (b"\0", b"\x15", b"OK", b"H" * 1000):
            with self.subTest(garbage[:10]):
                ours, theirs = self.pair()
                sending = self.start_sender(peer=theirs)
                self.received(ours)
                ours.send(garbage)
                self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_answers_with_a_descriptor(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        self.received(ours)
        socket.send_fds(ours, [CONFIRMATION], [0])
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_answers_nothing(self):
        _, theirs = self.pair()
        self.assert_ends(self.start_sender("-t", "50ms", peer=theirs), 124, "",
                         "fdsend: cannot send to -: the receiver did not confirm: timed out after 50ms\n")

    def test_fdrecv_that_is_killed_before_it_has_read(self):
        receiving = self.launch(FDRECV, self.path("s"))
        self.wait_for_socket()
        os.kill(receiving.pid, signal.SIGSTOP)
        self.wait_for_state(receiving.pid, "T")
        sending = self.start_sender()
        # It waits for the confirmation once it sleeps.
        self.wait_for_state(sending.pid, "S")
        os.kill(receiving.pid, signal.SIGKILL)
        self.assert_ends(sending, 4, "", self.GONE)
        self.assertEqual(receiving.process.wait(handoff.PATIENCE), -signal.SIGKILL)

    @staticmethod
    def wait_for_state(pid: int, state: str):
        stat = pathlib.Path(f"/proc/{pid}/stat")
        handoff.wait_for(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == state,
                         f"state {state}")

    def test_fdrecv_that_expected_another_number(self):
        receiving = self.launch(FDRECV, "--fd", "5", "--fd", "6", self.path("s"), "--", "true")
        self.assert_ends(self.start_sender("--wait"), 4, "", self.GONE)
        self.assert_ends(receiving, 4, "",
                         "fdrecv: cannot receive on .*: 1 descriptors? came where 2 (was|were) expected\n")

    def test_an_asker_that_closes_does_not_end_a_keeper(self):
        keeper = self.launch(FDSEND, "-l", "--keep", "--ack", "-o", self.file, self.path("s"))
        self.wait_for_socket()
        connection = self.connect()
        self.received(connection)
        connection.close()
        line = keeper.process.stderr.readline().decode()
        while "ready" in line:
            line = keeper.process.stderr.readline().decode()
        self.assertRegex(line, self.GONE)
        self.assert_ends(self.launch(FDRECV, "-c", self.path("s")), 0, "hello from a file\n")


class Users(PassingTest):
    """Needs root, to be somebody else."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can be another user")
        os.chmod(self.directory, 0o755)
        self.name = f"handoff-{os.getpid()}"

    def as_nobody(self, action) -> None:
        """Runs it in a child process of another user, which must succeed."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                action()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def address(self, name: str):
        return f"\0{self.name}" if name.startswith("@") else self.path("s")

    def word(self, name: str) -> str:
        return self.address(name).replace("\0", "@")

    def connect_as_nobody(self, name: str, action):
        def run():
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(handoff.PATIENCE)
                client.connect(self.address(name))
                action(client)

        self.as_nobody(run)

    def send_file(self, client):
        with open(self.file) as file:
            socket.send_fds(client, [b"\0"], [file.fileno()])

    def expect_closed(self, client):
        with contextlib.suppress(ConnectionResetError):
            if client.recv(1) != b"":
                raise AssertionError("something was sent")

    def expect_reset_or_sent(self, client):
        with contextlib.suppress(OSError):
            self.send_file(client)
        self.expect_closed(client)

    def wait_for_name(self, name: str):
        def there():
            if name.startswith("@"):
                return self.word(name) in pathlib.Path("/proc/net/unix").read_text(errors="replace")
            return os.path.exists(self.path("s"))

        handoff.wait_for(there, f"the socket {name}")

    def test_a_sender_of_another_user_is_refused_and_the_own_is_served(self):
        for name in ("path", "@abstract"):
            with self.subTest(name):
                receiving = self.launch(FDRECV, "--mode", "666", self.word(name))
                self.wait_for_name(name)
                self.connect_as_nobody(name, self.expect_reset_or_sent)
                self.assert_sent(self.launch(FDSEND, "-o", self.file, self.word(name)))
                self.assert_ends(receiving, 0, "hello from a file\n",
                                 f"fdrecv: cannot accept on .*: user {NOBODY} is refused "
                                 r"\(--allow-uid allows it\)\n")

    def test_an_asker_of_another_user_is_refused_and_the_own_is_served(self):
        sending = self.launch(FDSEND, "-l", "--mode", "666", "-o", self.file, self.path("s"))
        self.wait_for_socket()
        self.connect_as_nobody("path", self.expect_closed)
        self.assert_ends(self.launch(FDRECV, "-c", self.path("s")), 0, "hello from a file\n")
        self.assert_ends(sending, 0, "", f"fdsend: cannot accept on .*: user {NOBODY} is refused "
                         r"\(--allow-uid allows it\)\n")

    def test_the_default_mode_keeps_another_user_from_connecting(self):
        self.launch(FDRECV, self.path("s"))
        self.wait_for_socket()

        def run():
            with socket.socket(socket.AF_UNIX) as client, self.assertRaises(PermissionError):
                client.connect(self.path("s"))

        self.as_nobody(run)

    def test_another_user_is_let_in_when_allowed(self):
        receiving = self.launch(FDRECV, "--mode", "666", "--allow-uid", "7", "--allow-uid",
                                str(NOBODY), self.path("s"))
        self.wait_for_socket()
        self.connect_as_nobody("path", self.send_file)
        self.assert_ends(receiving, 0, "hello from a file\n")

    def listener_of_nobody(self) -> socket.socket:
        """A listener that another user has made."""
        ours, theirs = self.pair()

        def run():
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(self.address("@abstract"))
                listener.listen()
                socket.send_fds(theirs, [b"\0"], [listener.fileno()])

        self.as_nobody(run)
        _, numbers, _, _ = socket.recv_fds(ours, 1, 1)
        listener = self.own(socket.socket(fileno=numbers[0]))
        listener.settimeout(handoff.PATIENCE)
        return listener

    def test_a_listener_of_another_user_gets_nothing(self):
        listener = self.listener_of_nobody()
        name = self.word("@abstract")
        self.assert_ends(self.launch(FDSEND, "-o", self.file, name), 3, "",
                         rf"fdsend: cannot connect to {name}: user {NOBODY} listens there "
                         r"\(--allow-uid allows it\)\n")
        self.assertEqual(self.accept(listener).recv(1), b"")

    def test_nothing_is_taken_from_a_listener_of_another_user(self):
        self.listener_of_nobody()
        name = self.word("@abstract")
        self.assert_ends(self.launch(FDRECV, "-c", name), 3, "",
                         rf"fdrecv: cannot connect to {name}: user {NOBODY} listens there "
                         r"\(--allow-uid allows it\)\n")

    def test_a_listener_of_another_user_is_accepted_when_allowed(self):
        listener = self.listener_of_nobody()
        sending = self.launch(FDSEND, "--allow-uid", str(NOBODY), "-o", self.file,
                              self.word("@abstract"))
        _, numbers, _, _ = socket.recv_fds(self.accept(listener), 1, 1)
        self.assertEqual(os.read(self.own_fd(numbers[0]), 5), b"hello")
        self.assert_sent(sending)


class Leaks(PassingTest):
    """In the modes that go on, as many descriptors are open after many exchanges as before."""

    def assert_descriptors(self, process: Process, before: int):
        handoff.wait_for(lambda: handoff.descriptor_count(process.pid) == before,
                         f"{before} open descriptors")

    def receive_file(self, connection):
        data, numbers, _, _ = socket.recv_fds(connection, 100, 253)
        for number in numbers:
            os.close(number)
        return data, len(numbers)

    def test_a_keeper_serves_many_and_those_that_leave_at_each_step(self):
        keeper = self.launch(FDSEND, "-l", "--keep", "--ack", self.path("s"), "0", "0", "0",
                             stderr=subprocess.DEVNULL)
        self.wait_for_socket()

        def take(connection):
            self.assertEqual(self.receive_file(connection), (header(3, flags=1), 3))

        def connect_only(_):
            pass

        def confirm(connection):
            take(connection)
            connection.send(CONFIRMATION)
            self.assertEqual(connection.recv(1), b"")

        def send_garbage(connection):
            take(connection)
            connection.send(b"garbage")

        def send_descriptors(connection):
            take(connection)
            socket.send_fds(connection, [CONFIRMATION], [0, 1, 2])

        with self.connect() as first:
            confirm(first)
        before = handoff.descriptor_count(keeper.pid)
        # The connection of `first` may still be open there.
        before = min(before, self.settled_count(keeper))
        for _ in range(handoff.count(1000, 20)):
            for step in (connect_only, take, confirm, send_garbage, send_descriptors):
                with self.connect() as connection:
                    step(connection)
        self.assert_descriptors(keeper, before)
        with self.connect() as last:
            confirm(last)

    def settled_count(self, process: Process) -> int:
        """The count while exactly one connection is open, without that connection."""
        with self.connect() as connection:
            self.assertEqual(connection.recv(1), b"H")
            return handoff.descriptor_count(process.pid) - 1

    BROKEN = {
        "nothing": lambda s: None,
        "half a header": lambda s: socket.send_fds(s, [b"HOFD\1"], [0]),
        "half a name": lambda s: socket.send_fds(s, [b"HOFD\1\0\1\0\7abc"], [0]),
        "bytes alone": lambda s: s.send(b"bytes"),
        "three where one is expected": lambda s: socket.send_fds(s, [b"\0"], [0, 0, 0]),
        "another count": lambda s: socket.send_fds(s, [header(2)], [0]),
        "another version": lambda s: socket.send_fds(s, [header(1, version=9)], [0]),
        "a colon in a name": lambda s: socket.send_fds(s, [b"HOFD\1\0\1\0\3a:b"], [0]),
        "the most that fit": lambda s: socket.send_fds(s, [header(253)], [0] * 253),
    }

    def test_a_receiver_serves_many_and_survives_senders_that_are_broken(self):
        receiving = self.launch(FDRECV, "--keep", self.path("s"), "--", "true",
                                stderr=subprocess.DEVNULL)
        self.wait_for_socket()
        self.assert_serves()
        self.assert_idle(receiving)
        before = handoff.descriptor_count(receiving.pid)
        for _ in range(handoff.count(25, 5)):
            for name, send in self.BROKEN.items():
                with self.subTest(name), self.connect() as sender:
                    send(sender)
            self.assert_serves()
        self.assert_idle(receiving)
        self.assert_descriptors(receiving, before)

    def assert_serves(self):
        with self.connect() as sender:
            socket.send_fds(sender, [header(1, flags=1)], [0])
            self.assertEqual(sender.recv(10), CONFIRMATION)
            self.assertEqual(sender.recv(10) if sender.shutdown(socket.SHUT_WR) else b"", b"")

    def assert_idle(self, receiving: Process):
        """No process of its runs, and none is a zombie."""
        handoff.wait_for(lambda: not handoff.children(receiving.pid), "no child")
        handoff.wait_for(lambda: self.connections_of(receiving.pid) == 1, "only the listener")

    def connections_of(self, pid: int) -> int:
        links = 0
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links += os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:")
        return links

    def test_a_broken_sender_takes_nobodys_place(self):
        for name, send in self.BROKEN.items():
            with self.subTest(name):
                receiving = self.launch(FDRECV, "--keep", "--max-processes", "1", "-t", "10",
                                        self.path(name), "--", "true")
                self.wait_for_socket(name)
                with self.connect(name) as sender:
                    send(sender)
                self.assert_sent(self.launch(FDSEND, "-t", "5", "--ack", self.path(name)))
                receiving.process.terminate()
                self.assertEqual(receiving.process.wait(handoff.PATIENCE), 0)

    def test_descriptors_of_a_refused_message_are_closed_at_once(self):
        receiving = self.launch(FDRECV, "--keep", self.path("s"), "--", "true",
                                stderr=subprocess.PIPE)
        self.wait_for_socket()
        read_end, write_end = map(self.own_fd, os.pipe())
        with self.connect() as sender:
            socket.send_fds(sender, [b"\0"], [write_end] * 3)
            os.close(write_end)
            self.assertRegex(receiving.process.stderr.readline().decode(),
                             "3 descriptors came where 1 was expected")
            self.assertEqual(os.read(read_end, 1), b"")


class Senders(PassingTest):
    """Several senders of one fdrecv --keep."""

    def start_receiver(self, *options: str, command=("cat",), **more) -> Process:
        receiving = self.launch(FDRECV, "--keep", "--stdin", *options, self.path("s"), "--",
                                *command, **more)
        self.wait_for_socket()
        return receiving

    def send_text(self, connection, text: bytes):
        read_end, write_end = os.pipe()
        os.write(write_end, text)
        os.close(write_end)
        socket.send_fds(connection, [b"\0"], [read_end])
        os.close(read_end)

    def test_a_sender_that_sends_nothing_keeps_nobody_waiting(self):
        for options in ([], ["--max-processes", "1"]):
            with self.subTest(options):
                receiving = self.start_receiver("--count", "1", *options)
                with self.connect():
                    sender = self.connect()
                    self.send_text(sender, b"the second sender\n")
                    sender.close()
                    readable, _, _ = select.select([receiving.process.stdout], [], [], 5)
                    self.assertTrue(readable, "the second sender is served")
                self.assert_ends(receiving, 0, "the second sender\n")

    def test_a_sender_that_sends_nothing_does_not_keep_it_from_ending(self):
        for way in ("TERM", "--count"):
            with self.subTest(way):
                receiving = self.start_receiver(*(["--count", "1"] if way == "--count" else []))
                with self.connect(), self.connect() as sender:
                    self.send_text(sender, b"served\n")
                    self.assertEqual(receiving.process.stdout.readline(), b"served\n")
                    if way == "TERM":
                        receiving.process.terminate()
                    self.assertEqual(receiving.process.wait(5), 0)

    def test_term_ends_it_while_its_only_sender_is_silent(self):
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "--keep", "--stdin", "-", "--", "cat", stdin=theirs)
        self.send_text(ours, b"served\n")
        self.assertEqual(receiving.process.stdout.readline(), b"served\n")
        receiving.process.terminate()
        self.assertEqual(receiving.process.wait(5), 0)

    def test_a_sender_sends_many_messages_over_one_connection(self):
        receiving = self.start_receiver("--count", "20", "--max-processes", "1")
        with self.connect() as sender:
            for i in range(20):
                self.send_text(sender, f"{i}\n".encode())
            self.assert_ends(receiving, 0, "".join(f"{i}\n" for i in range(20)))

    def test_more_senders_than_are_served_at_a_time_are_all_served(self):
        receiving = self.start_receiver("--count", "150", command=("sh", "-c", "cat"))
        senders = [self.connect() for _ in range(150)]
        for sender in senders:
            self.send_text(sender, b"x")
            sender.close()
        self.assert_ends(receiving, 0, "x" * 150)

    def test_a_command_that_is_away_for_a_while_takes_nobodys_place(self):
        program = self.write("program", "#!/bin/sh\ncat\n")
        os.chmod(program, 0o755)
        receiving = self.start_receiver("--count", "4", "--max-processes", "1",
                                        command=(program,))

        def lose():
            os.rename(program, self.path("away"))
            with self.connect() as sender:
                self.send_text(sender, b"lost\n")
                line = receiving.process.stderr.readline().decode()
                self.assertEqual(line, f"fdrecv: cannot run {program}: No such file or directory\n")
            os.rename(self.path("away"), program)

        lose()
        for _ in range(2):
            with self.connect() as sender:
                self.send_text(sender, b"served\n")
            self.assertEqual(receiving.process.stdout.readline(), b"served\n")
        lose()
        self.assertEqual(receiving.process.wait(5), 0, "lost messages have come too")

    def test_a_listener_that_was_inherited_is_accepted_from(self):
        """It is blocking, and stays so: others may have it too."""
        listener = self.listen()
        receiving = self.launch(FDRECV, "--keep", "--stdin", "--count", "2", "-", "--", "cat",
                                stdin=listener)
        for _ in range(2):
            with self.connect() as sender:
                self.send_text(sender, b"served\n")
        self.assert_ends(receiving, 0, "served\nserved\n")

    def test_an_inherited_listener_has_a_deadline_and_is_ended_by_term(self):
        listener = self.listen()
        listener.setblocking(True)
        receiving = self.launch(FDRECV, "-t", "50ms", "-", stdin=listener)
        self.assertEqual(receiving.process.wait(5), 124)
        receiving = self.launch(FDRECV, "-", stdin=listener)
        receiving.process.terminate()
        self.assertEqual(receiving.process.wait(5), -signal.SIGTERM)

    def test_a_sender_at_its_descriptor_limit_is_told(self):
        ours, theirs = self.pair()
        receiving = self.launch("sh", "-c", 'ulimit -n 20; exec "$@"', "sh", FDRECV, "--json", "-",
                                stdin=theirs)
        socket.send_fds(ours, [b"\0"], [0] * 40)
        self.assert_ends(receiving, 4, "", r"fdrecv: cannot receive on -: more descriptors than fit "
                         r"\(the limit is 20, see `ulimit -n`\)\n")

    def test_two_control_messages_at_once_are_understood(self):
        """A kernel gives what several senders queued in pieces; a name may come after its
        descriptor."""
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "--json", "-", stdin=theirs)
        ours.sendmsg([b"HOFD\1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                    array.array("i", [0]))])
        handoff.wait_for(lambda: self.unread(ours) == 0, "the first piece to be read")
        for letter in b"\0\1\0\3in!":
            ours.send(bytes([letter]))
        status, output, errors = receiving.finish()
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output.decode(), '^{"name":"in!","type":')

    @staticmethod
    def unread(connection) -> int:
        size = array.array("i", [0])
        fcntl.ioctl(connection, termios.TIOCOUTQ, size)
        return size[0]


if __name__ == "__main__":
    handoff.run_tests()
