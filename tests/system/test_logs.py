# SPDX-License-Identifier: MIT
"""A log that can't be written costs lines, and nothing else: every program that runs long serves on
when the reader of its log has ended or stopped reading, and when the log's file may not grow. Files
in memory have the same limit. Nor can a peer flood the log."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handoff import tool  # noqa: E402

NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped
INTERNAL_ERROR = -32603
FAILED = -32001
KIB = 1024


def fill(number: int):
    """Writes to a pipe until it is full, by an open file of our own."""
    own = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, b"." * 4095 + b"\n")
    os.close(own)


def ignored_signals(status: str) -> int:
    return int(re.search(r"SigIgn:\s*(\w+)", status).group(1), 16)


class LogsTest(handoff.TestCase):
    def path(self, name: str) -> str:
        return str(self.directory / name)

    def launch(self, *words: str, **popen) -> subprocess.Popen:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **popen}
        process = subprocess.Popen(words, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen):
        """The workers of a master end with it."""
        with process:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    def pipe(self):
        ends = os.pipe()
        for end in ends:
            self.addCleanup(self.close, end)
        return ends

    @staticmethod
    def close(number: int):
        with contextlib.suppress(OSError):
            os.close(number)

    def connected(self, name: str = "s") -> socket.socket:
        def attempt():
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(handoff.PATIENCE)
            try:
                client.connect(self.path(name))
            except OSError:
                client.close()
                return None
            self.addCleanup(client.close)
            return client

        return handoff.wait_for(attempt, f"the socket {name}")

    def client(self, name: str = "s") -> handoff.Connection:
        return handoff.Connection(self.connected(name))


class Programs(LogsTest):
    """Each program is made to say something while its log takes nothing, and serves on. The log is
    ruined by `ruin` once the program runs."""

    def setUp(self):
        super().setUp()
        self.log, self.log_writer = self.pipe()
        self.limit = None

    def start(self, *words: str, **popen) -> subprocess.Popen:
        def limit_files():
            if self.limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.limit))

        return self.launch(*words, stderr=self.log_writer, preexec_fn=limit_files, **popen)

    def start_master(self, *command: str):
        process = self.start(tool("rpc-master"), "-l", self.path("s"), "-n", "1", "--backoff",
                             "1ms:1ms", "--", *command)
        self.pid = self.client().result("info")["pid"]
        return process

    def check_master(self, ruin):
        process = self.start_master(tool("rpc-worker"))
        ruin()
        for _ in range(3):
            # That it died is said before another is started.
            os.kill(self.pid, signal.SIGKILL)
            self.pid = handoff.wait_for(self.other_pid, "another worker")
        self.assertIsNone(process.poll())

    def other_pid(self):
        with self.client() as client, contextlib.suppress(OSError):
            reply = client.call("info")
            if reply is not None and reply["result"]["pid"] != self.pid:
                return reply["result"]["pid"]
        return None

    def check_reloads(self, pid: int):
        for name in ("one", "two"):
            file = self.directory / "methods" / name
            file.write_text("#!/bin/sh\necho 1\n")
            file.chmod(0o755)
            os.kill(pid, signal.SIGHUP)
            handoff.wait_for(lambda wanted=name: wanted in self.client().result("methods"), name)
            # "reloaded" was said in the turn in which that became a method.
            self.assertEqual(self.client().result(name), 1)

    def check_worker(self, ruin):
        (self.directory / "methods").mkdir()
        process = self.start(tool("rpc-worker"), "-l", self.path("s"), "-d", self.path("methods"))
        self.client().result("info")
        ruin()
        self.check_reloads(process.pid)
        self.assertIsNone(process.poll())

    def check_spawned_worker(self, ruin):
        (self.directory / "methods").mkdir()
        self.start_master(tool("rpc-worker"), "-d", self.path("methods"))
        ruin()
        self.check_reloads(self.pid)

    def check_fdrecv(self, ruin):
        process = self.start(tool("fdrecv"), "-k", self.path("s"), "--", "echo", "taken")
        self.connected().close()
        ruin()
        for _ in range(3):
            client = self.connected()
            client.sendall(b"\0")  # no descriptor comes with it
            self.assertEqual(client.recv(1), b"")  # closed after that was said
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(handoff.PATIENCE)
            socket.send_fds(self.connected(), [b"\0"], [theirs.fileno()])
            self.assertEqual(ours.recv(100), b"taken\n")
        self.assertIsNone(process.poll())

    def check_fdsend(self, ruin):
        process = self.start(tool("fdsend"), "-l", "--keep", "--ack", self.path("s"), "0")
        self.receive_one(self.connected())
        ruin()
        for _ in range(3):
            client = self.connected()
            self.receive_one(client)
            client.shutdown(socket.SHUT_WR)  # without a confirmation
            self.assertEqual(client.recv(1), b"")
        self.receive_one(self.connected())
        self.assertIsNone(process.poll())

    @staticmethod
    def receive_one(client):
        os.close(socket.recv_fds(client, 1000, 2)[1][0])

    def check_rpc_ping(self, ruin):
        server = self.start(tool("rpc-worker"), "-l", self.path("s"))
        self.client().result("info")
        process = self.start(tool("rpc-ping"), "-i", "0.2", self.path("s"), stdout=subprocess.PIPE)
        seen = self.read_seq(process)
        ruin()
        for _ in range(3):
            process.send_signal(signal.SIGQUIT)  # a line on standard error
            # The signal was received before the probe after the next was sent.
            wanted = seen + 2
            while seen < wanted:
                seen = self.read_seq(process)
        self.assertIsNone(process.poll())
        self.assertIsNone(server.poll())

    def read_seq(self, process) -> int:
        while True:
            self.assertTrue(select.select([process.stdout], [], [], handoff.PATIENCE)[0])
            line = process.stdout.readline()
            self.assertTrue(line, "rpc-ping has ended")
            if match := re.search(rb"seq=(\d+)", line):
                return int(match.group(1))

    def ruin_reader_ends(self):
        os.close(self.log)

    def ruin_reader_stops(self):
        fill(self.log_writer)

    def use_file_that_may_not_grow(self):
        self.limit = 4 * KIB
        self.log_writer = os.open(self.path("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.addCleanup(self.close, self.log_writer)
        os.write(self.log_writer, b"." * self.limit)

    def use_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        self.log_writer = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(self.close, self.log_writer)


def add_programs():
    """A test for each program and each way in which a log can be ruined."""
    programs = {"a_master": "check_master", "a_worker": "check_worker",
                "a_worker_of_a_master": "check_spawned_worker", "fdrecv_keep": "check_fdrecv",
                "fdsend_keep": "check_fdsend", "rpc_ping": "check_rpc_ping"}
    endings = {
        "serves_on_when_the_reader_of_its_log_ends": (None, "ruin_reader_ends"),
        "serves_on_when_the_reader_of_its_log_stops_reading": (None, "ruin_reader_stops"),
        "serves_on_when_its_log_may_not_grow": ("use_file_that_may_not_grow", None),
        "serves_on_when_the_disk_is_full": ("use_full_disk", None),
    }
    for program, check in programs.items():
        for ending, (before, ruin) in endings.items():
            def test(self, check=check, before=before, ruin=ruin):
                if before:
                    getattr(self, before)()
                getattr(self, check)(getattr(self, ruin) if ruin else lambda: None)

            setattr(Programs, f"test_{program}_{ending}", test)


add_programs()


class Dropped(LogsTest):
    def setUp(self):
        super().setUp()
        self.log, self.log_writer = self.pipe()
        self.master = self.launch(tool("rpc-master"), "-l", self.path("s"), "-c", self.path("c"),
                                  "-n", "1", "--", tool("rpc-worker"), stderr=self.log_writer)
        self.control = self.client("c")
        self.control.result("status")
        self.client().result("info")

    def ask_for_status(self, times: int):
        for _ in range(times):
            self.master.send_signal(signal.SIGUSR1)
            self.control.result("status")

    def read_until(self, pattern: str) -> str:
        text = ""
        while not re.search(pattern, text):
            self.assertTrue(select.select([self.log], [], [], handoff.PATIENCE)[0],
                            f"no {pattern}")
            text += os.read(self.log, 65536).decode()
        return text

    def test_their_number_is_said_when_the_log_is_read_again(self):
        fill(self.log_writer)
        self.ask_for_status(3)
        text = self.read_until(r"dropped.*\n")
        self.assertRegex(text, r"(?m)^rpc-master: [1-3] lines? (was|were) dropped: cannot write to "
                               r"standard error: its reader did not keep up$")
        self.ask_for_status(1)
        self.read_until(r"worker 1, pid \d+: ready")

    def test_lost_messages_do_not_keep_a_master_from_stopping(self):
        fill(self.log_writer)
        self.ask_for_status(3)
        self.master.terminate()
        self.assertEqual(self.master.wait(handoff.PATIENCE), 0)


class Limits(LogsTest):
    """RLIMIT_FSIZE is a limit of files in memory too."""

    @staticmethod
    def limited(size: int):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def test_params_that_exceed_it_are_an_error_reply(self):
        self.launch(tool("rpc-worker"), "-l", self.path("s"), "-m", "length=wc -c",
                    preexec_fn=self.limited(64 * KIB), stderr=subprocess.DEVNULL)
        client = self.client()
        for _ in range(2):
            error = client.call("length", "x" * 100 * KIB)["result"]
            self.assertEqual(error["code"], INTERNAL_ERROR)
            self.assertRegex(error["message"],
                             r"^cannot give 102402 bytes of params to the command: "
                             r"File too large \(.*`ulimit -f`.*\)$")
            self.assertEqual(client.result("length", "x" * 100), 102)

    def test_a_connection_whose_unread_bytes_exceed_it_ends_and_no_other(self):
        server = self.stack.enter_context(handoff.Server(
            tool("rpc-master"), "-l", self.path("s"), "-n", "1", "--", tool("rpc-worker"),
            preexec_fn=self.limited(64 * KIB)))
        idle, loaded = self.client(), self.client()
        pid = idle.result("info")["pid"]
        loaded.result("ping")
        request = handoff.frame(b'{"in": "ping", "params": "' + b"x" * 200 * KIB + b'"}')
        loaded.socket.sendall(request[:150 * KIB])
        handoff.wait_for(lambda: self.unread_bytes(loaded.socket) == 0, "the worker to read")
        server.kill(signal.SIGHUP)
        server.wait_for_line(r"cannot give back a connection with \d+ unread bytes: File too large "
                             r"\(raise `ulimit -f`\)")
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(loaded.socket.recv(1), b"")
        handoff.wait_for(lambda: idle.result("info")["pid"] != pid, "the idle connection to move")

    @staticmethod
    def unread_bytes(client: socket.socket) -> int:
        """Bytes that we have sent and the other end has not read (SIOCOUTQ)."""
        return int.from_bytes(fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def test_a_queue_that_exceeds_it_is_refused_at_the_start(self):
        done = subprocess.run([tool("rpc-master"), "-p", "queue", "-l", self.path("s"), "--",
                               tool("rpc-worker")], preexec_fn=self.limited(64 * KIB),
                              stderr=subprocess.PIPE, text=True, timeout=handoff.PATIENCE)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr,
                         r"^rpc-master: a file size limit of 65536 bytes \(ulimit -f\) "
                         r"is not enough for a queue of \d+ bytes .*\n$")


class Signals(LogsTest):
    SHOW = "grep SigIgn: /proc/self/status"

    def test_what_a_program_starts_ignores_no_signal(self):
        command = ["sh", "-c", f"{self.SHOW} >{self.path('worker')}; exec \"$@\"", "sh",
                   tool("rpc-worker"), "--text", "-m", f"command={self.SHOW}", "-k",
                   f"coprocess=while read -r line; do {self.SHOW}; done"]
        self.launch(tool("rpc-master"), "-l", self.path("s"), "-n", "1", "--", *command,
                    stderr=subprocess.DEVNULL)
        client = self.client()
        for method in ("command", "coprocess"):
            self.assertEqual(ignored_signals(client.result(method)), 0, method)
        self.assertEqual(ignored_signals((self.directory / "worker").read_text()), 0)

    def test_a_handler_dies_of_sigpipe_as_usual(self):
        self.launch(tool("rpc-worker"), "-l", self.path("s"), "-m", "pipe=kill -PIPE $$; echo 1",
                    stderr=subprocess.DEVNULL)
        error = self.client().call("pipe")["result"]
        self.assertEqual((error["code"], error["data"]["signal"]), (FAILED, signal.SIGPIPE))

    def test_rpc_ping_ends_by_sigpipe_when_the_reader_of_its_output_has(self):
        self.launch(tool("rpc-worker"), "-l", self.path("s"), stderr=subprocess.DEVNULL)
        self.client().result("info")
        process = self.launch(tool("rpc-ping"), "-i", "0.2", self.path("s"), stdout=subprocess.PIPE)
        self.assertTrue(process.stdout.readline())
        process.stdout.close()
        self.assertEqual(process.wait(handoff.PATIENCE), -signal.SIGPIPE)

    def test_fdrecv_keep_ends_by_sigpipe_when_the_reader_of_its_output_has(self):
        process = self.launch(tool("fdrecv"), "-k", "--json", self.path("s"),
                              stdout=subprocess.PIPE)
        client = self.connected()
        process.stdout.close()
        socket.send_fds(client, [b"\0"], [0])
        self.assertEqual(process.wait(handoff.PATIENCE), -signal.SIGPIPE)

    def test_hup_does_not_end_what_was_started_by_nohup(self):
        for words in (["rpc-worker", "-l", self.path("s")],
                      ["fdrecv", "-k", self.path("s"), "--", "true"],
                      ["fdsend", "-l", "--keep", self.path("s"), "0"]):
            with self.subTest(words[0]):
                process = self.launch(
                    tool(words[0]), *words[1:], stderr=subprocess.DEVNULL,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
                self.connected().close()
                process.send_signal(signal.SIGHUP)
                process.send_signal(signal.SIGTERM)
                self.assertIn(process.wait(handoff.PATIENCE), (0, -signal.SIGTERM))
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path("s"))


class Terminals(LogsTest):
    def test_a_worker_may_write_to_a_terminal_that_stops_background_jobs(self):
        pid, terminal = pty.fork()
        if pid == 0:
            modes = termios.tcgetattr(2)
            modes[3] |= termios.TOSTOP
            termios.tcsetattr(2, termios.TCSANOW, modes)
            os.execv(tool("rpc-master"), [
                "rpc-master", "-l", self.path("s"), "-n", "1", "--", "sh", "-c",
                f"echo the worker starts >&2; exec {tool('rpc-worker')}"])
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGTERM)
        text = ""
        while "ready, 1 worker" not in text:
            self.assertTrue(select.select([terminal], [], [], handoff.PATIENCE)[0], text)
            text += os.read(terminal, 4096).decode()
            self.assertNotIn("not ready", text)
        self.assertIn("the worker starts", text)


class Strangers(LogsTest):
    """A peer that was refused, or has left, can connect again at once: it must not fill the log."""

    TIMES = 300

    def connect_often(self, name: str):
        """Each time until the other end has closed, or has said something."""
        kind = socket.SOCK_SEQPACKET if name == "j" else socket.SOCK_STREAM
        for _ in range(self.TIMES):
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.settimeout(handoff.PATIENCE)
                client.connect(self.path(name))
                with contextlib.suppress(ConnectionResetError):
                    client.recv(1)

    def connect_as_nobody(self, name: str):
        if os.geteuid() != 0:
            self.skipTest("no second user: this is not root")
        os.chmod(self.directory, 0o755)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                self.connect_often(name)
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def assert_thinned_out(self, server, pattern: str):
        """Each time is accounted for within a second, in few lines."""
        def accounted() -> int:
            lines = [line for line in server.lines if re.search(pattern, line)]
            self.assertLess(len(lines), self.TIMES / 3)
            more = [re.search(r"\(and (\d+) more like it\)$", line) for line in lines]
            return len(lines) + sum(int(match.group(1)) for match in more if match)

        handoff.wait_for(lambda: accounted() == self.TIMES, "all to be counted")

    def start_master(self) -> handoff.Server:
        server = self.start(handoff.Server(
            tool("rpc-master"), "-l", self.path("s"), "-c", self.path("c"), "-j", self.path("j"),
            "--allow-uid", str(NOBODY - 1), "-n", "1", "--", tool("rpc-worker"), ready=False))
        server.wait_for_line(": ready, ")
        return server

    def test_a_stranger_is_refused_in_few_lines_by_a_master(self):
        server = self.start_master()
        for name in ("c", "j"):
            self.connect_as_nobody(name)
            self.assert_thinned_out(server,
                                    f"cannot accept on {self.path(name)}: user {NOBODY} is refused")

    def test_workers_that_join_and_leave_make_few_lines(self):
        server = self.start_master()
        self.connect_often("j")
        self.assert_thinned_out(server, r"worker \d+(, pid \d+)?: left")

    def test_a_stranger_is_refused_in_few_lines_by_fdrecv_and_fdsend(self):
        for words in (["fdrecv", "-k", "--mode", "666", self.path("f"), "--", "true"],
                      ["fdsend", "-l", "--keep", "--mode", "666", self.path("f"), "0"]):
            server = self.start(handoff.Server(tool(words[0]), *words[1:], ready=False))
            handoff.wait_for(lambda: os.path.exists(self.path("f")) and
                             stat.S_IMODE(os.stat(self.path("f")).st_mode) == 0o666, "the socket")
            self.connect_as_nobody("f")
            self.assert_thinned_out(server, f"user {NOBODY} is refused")
            server.stop()

    def test_a_stranger_does_not_stop_a_master_whose_log_is_not_read(self):
        log, log_writer = self.pipe()
        self.launch(tool("rpc-master"), "-l", self.path("s"), "-c", self.path("c"), "--allow-uid",
                    str(NOBODY - 1), "-n", "1", "--", tool("rpc-worker"), stderr=log_writer)
        self.client().result("info")
        fill(log_writer)
        self.connect_as_nobody("c")
        self.assertEqual(self.client().result("ping", 1), 1)
        self.assertEqual(self.client("c").result("status")["state"], "ready")
        self.assertTrue(os.read(log, 1))


if __name__ == "__main__":
    handoff.run_tests()
