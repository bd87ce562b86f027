# SPDX-License-Identifier: MIT
"""fdsend and fdrecv pass each kind of descriptor as it is, and move live connections and listeners
between processes without their clients noticing."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import http.client  # noqa: E402
from passing_case import FDRECV, FDSEND, PassingTest, Process  # noqa: E402

PYTHON = [sys.executable, "-I", "-S"]


class Kinds(PassingTest):
    """Each kind of descriptor goes through both tools, to a process that uses it as number 9."""

    def assert_usable(self, number: int, script: str, output: str = "") -> None:
        command = [*PYTHON, "-c", "import mmap, os, select, signal, socket\n" + script]
        self.assert_ends(self.pass_to(command, number), 0, output)

    def test_a_file_is_passed(self):
        with open(self.file) as file:
            self.assert_usable(file.fileno(), "print(os.read(9, 100))",
                               "b'hello from a file\\n'\n")

    def test_a_pipe_is_passed(self):
        read_end, write_end = map(self.own_fd, os.pipe())
        os.write(write_end, b"flowed")
        os.close(write_end)
        self.assert_usable(read_end, "print(os.read(9, 100), os.read(9, 100))",
                           "b'flowed' b''\n")

    def test_a_fifo_is_passed(self):
        os.mkfifo(self.path("fifo"))
        with open(self.path("fifo"), "r+b", buffering=0) as fifo:
            self.assert_usable(fifo.fileno(), "os.write(9, b'through a name')")
            self.assertEqual(fifo.read(100), b"through a name")

    def test_a_terminal_is_passed(self):
        ours, theirs = map(self.own_fd, pty.openpty())
        self.assert_usable(theirs, "print(os.isatty(9), os.write(9, b'shown'))", "True 5\n")
        self.assertEqual(os.read(ours, 100), b"shown")

    def test_a_udp_socket_is_passed(self):
        with socket.socket(type=socket.SOCK_DGRAM) as udp, \
                socket.socket(type=socket.SOCK_DGRAM) as other:
            udp.bind(("127.0.0.1", 0))
            other.settimeout(handoff.PATIENCE)
            other.sendto(b"datagram", udp.getsockname())
            self.assert_usable(udp.fileno(), "s = socket.socket(fileno=9)\n"
                               "data, peer = s.recvfrom(100)\ns.sendto(data + b' back', peer)")
            self.assertEqual(other.recv(100), b"datagram back")

    def test_a_tcp_connection_is_passed(self):
        listener = self.listen_tcp()
        with socket.create_connection(listener.getsockname()) as connection:
            peer = self.accept(listener)
            peer.sendall(b"request")
            self.assert_usable(connection.fileno(), "s = socket.socket(fileno=9)\n"
                               "s.sendall(s.recv(100) + b', reply')")
        self.assertEqual(peer.makefile().read(), "request, reply")

    def test_a_unix_socket_is_passed(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with self.subTest(kind):
                ours, theirs = self.pair(kind)
                ours.send(b"question")
                self.assert_usable(theirs.fileno(), "s = socket.socket(fileno=9)\n"
                                   "s.send(s.recv(100) + b', answer')")
                self.assertEqual(ours.recv(100), b"question, answer")

    def test_a_listener_is_passed(self):
        listener = self.listen_tcp()
        client = self.own(socket.create_connection(listener.getsockname()))
        self.assert_usable(listener.fileno(), "s, _ = socket.socket(fileno=9).accept()\n"
                           "s.sendall(b'accepted')")
        self.assertEqual(client.makefile().read(), "accepted")

    def test_an_epoll_instance_is_passed(self):
        read_end, write_end = map(self.own_fd, os.pipe())
        with select.epoll() as epoll:
            epoll.register(read_end, select.EPOLLIN)
            os.write(write_end, b"!")
            self.assert_usable(epoll.fileno(), "print(select.epoll.fromfd(9).poll(0))",
                               f"[({read_end}, {select.EPOLLIN})]\n")

    def test_a_memfd_is_passed(self):
        memory = self.own_fd(os.memfd_create("shared"))
        os.truncate(memory, 4096)
        self.assert_usable(memory, "mmap.mmap(9, 4096)[:7] = b'written'")
        self.assertEqual(os.pread(memory, 7, 0), b"written")

    def test_a_pidfd_is_passed(self):
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


if __name__ == "__main__":
    handoff.run_tests()
