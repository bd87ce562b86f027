# SPDX-License-Identifier: MIT
"""What the system tests share: the article's protocol, and the real programs as processes.

Nothing here sleeps for a fixed time. wait_for() asks again and again until a condition holds, and
fails the test after a generous deadline.
"""

import array
import contextlib
import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HANDOFF_BIN", ROOT / "build" / "bin"))
SANITIZED = bool(os.environ.get("HANDOFF_SANITIZE"))
STRESS = bool(os.environ.get("HANDOFF_STRESS"))

# What masters give their workers. The tests that concern clients run once for each --pass.
PASS = os.environ.get("HANDOFF_PASS", "connection")

# Long enough for a loaded machine; no test waits for it when all is well.
PATIENCE = 30.0


def count(full: int, ordinary: int) -> int:
    """How often: the full count under `make stress`."""
    return full if STRESS else ordinary


def tool(name: str) -> str:
    return str(BIN / name)


def only(*models: str, because: str):
    """Of a test or a class of them that is not about every --pass."""
    return unittest.skipUnless(PASS in models, f"not with --pass {PASS}: {because}")


# What is said of connections: to whoever reads from the clients.
OF_SESSIONS = ("--max-frame", "--framing", "--timeout", "--idle-timeout", "--frame-timeout",
               "--write-timeout", "--max-memory")


def passing(*options: str, command=()) -> list[str]:
    """What a master's command line needs besides `options` in a run for another --pass. With a
    queue the master serves the clients, and so it is told what `command` is told of them."""
    if PASS == "connection" or {"-p", "--pass"} & set(options):
        return []
    words = ["--pass", PASS]
    if PASS == "queue":
        for word, value in zip(command, [*command[1:], ""]):
            if word in OF_SESSIONS:
                words += [word, value]
    return words


def wait_for(condition, what: str, patience: float = PATIENCE):
    """Waits until `condition()` is true, and gives its value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s for: {what}")
        time.sleep(0.005)


class Connection:
    """A client of the article's protocol, on a connection of its own or on one that it is given."""

    def __init__(self, address, timeout: float = PATIENCE):
        if isinstance(address, socket.socket):
            self.socket = address
        elif isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_body(self, body: bytes):
        self.socket.sendall(frame(body))

    def send(self, method: str, params=None, **more):
        self.send_body(json.dumps({"in": method, "params": params, **more}).encode())

    def receive(self):
        """The next reply, or None at the end of the connection."""
        header = self.read(4)
        if header is None:
            return None
        return json.loads(self.read(struct.unpack("<I", header)[0]))

    def receive_last(self):
        """The next reply of a server that stops, which may say that it is the last one: it does so
        if the server has known by then that it stops."""
        reply = self.receive()
        reply.pop("last", None)
        return reply

    def read(self, size: int):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                if data:
                    raise EOFError("the connection ended within a frame")
                return None
            data += piece
        return data

    def call(self, method: str, params=None, **more):
        self.send(method, params, **more)
        return self.receive()

    def result(self, method: str, params=None):
        reply = self.call(method, params)
        if reply is None or reply["out"] == "error":
            raise AssertionError(f"{method}: {reply}")
        return reply["result"]


def unread(descriptor, request=termios.FIONREAD) -> int:
    """How many bytes wait in a pipe or socket; with TIOCOUTQ, how much a Unix socket's peer has not
    read, a little more than the bytes themselves."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, request, count)
    return count[0]


def is_read(client: Connection) -> bool:
    """Whether the server has read all that a client of a Unix socket has sent."""
    return unread(client.socket, termios.TIOCOUTQ) == 0


def frame(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


class Server:
    """A running rpc-master or rpc-worker, with its stderr collected."""

    MARK = "<all was read up to here>\n"

    def __init__(self, *words: str, ready: bool = True, **popen):
        self._lines: list[str] = []
        self._ended = False
        self._marks_written = 0
        self._marks_read = 0
        self._seen = threading.Condition()
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        text=True, **popen)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        # Of the process that reads what clients send.
        self.pid_of_reader = self.process.pid
        self.addresses: list = []
        if ready:
            line = self.wait_for_line(r": ready, .*on ")
            words = line.split(" on ", 1)[1].split(" (")[0].split()
            self.addresses = [parse_address(word) for word in words]

    def _read(self):
        begun = ""
        for line in self.process.stderr:
            with self._seen:
                if line.endswith(self.MARK):
                    begun += line.removesuffix(self.MARK)
                    self._marks_read += 1
                else:
                    self._lines.append(begun + line.rstrip("\n"))
                    begun = ""
                self._seen.notify_all()
        with self._seen:
            self._ended = True
            self._seen.notify_all()

    @property
    def lines(self) -> list[str]:
        """All that was said until now, also by a process that has ended meanwhile: a mark of our own
        goes through the same pipe."""
        with self._seen:
            if self._ended or self.process.stderr.closed:
                return list(self._lines)
            self._marks_written += 1
            wanted = self._marks_written
            pipe = os.open(f"/proc/self/fd/{self.process.stderr.fileno()}", os.O_WRONLY)
        os.write(pipe, self.MARK.encode())
        os.close(pipe)
        with self._seen:
            self._seen.wait_for(lambda: self._marks_read >= wanted or self._ended, PATIENCE)
            return list(self._lines)

    def wait_for_line(self, pattern: str, after: int = 0, patience: float = PATIENCE) -> str:
        """The first line from number `after` on that matches."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + patience
        with self._seen:
            while True:
                for line in self._lines[after:]:
                    if expression.search(line):
                        return line
                if self._ended or not self._seen.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no line matches {pattern!r}:\n" +
                                         "\n".join(self._lines))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def address(self):
        return self.addresses[0]

    def connect(self, **options) -> Connection:
        return Connection(self.address, **options)

    def worker_pids(self) -> list[int]:
        return children(self.pid)

    def kill(self, number: int):
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it, and gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stderr.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Kills what a failed test has left: also its workers, which may be stopped."""
        if self.process.poll() is None:
            for pid in [self.pid, *freeze_descendants(self.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stderr.close()


def parse_address(word: str):
    """A word of a readiness line: (host, port), or a path."""
    if word.startswith(("/", "@")):
        return word
    host, port = word.rsplit(":", 1)
    return host.strip("[]"), int(port)


def master(*options: str, workers: int = 2, command=None, **server) -> Server:
    """rpc-master on a free port of the loopback interface, unless `options` name an address."""
    listen = [] if "-l" in options else ["-l", "127.0.0.1:0"]
    command = command or [tool("rpc-worker")]
    words = [*passing(*options, command=command), *options]
    return Server(tool("rpc-master"), *listen, "-n", str(workers), *words, "--", *command, **server)


def worker(*options: str, **server) -> Server:
    """rpc-worker alone."""
    listen = [] if "-l" in options else ["-l", "127.0.0.1:0"]
    return Server(tool("rpc-worker"), *listen, *options, **server)


def behind_any(*options: str, listen=(), queue=(), **server) -> Server:
    """rpc-worker alone, or behind a master in a run for another --pass: no client can tell. `queue`
    are options of a master that has one."""
    addresses = [word for address in listen for word in ("-l", address)]
    if PASS == "connection":
        return worker(*addresses, *options, **server)
    more = queue if PASS == "queue" else []
    started = master(*addresses, *more, workers=1, command=[tool("rpc-worker"), *options], **server)
    if PASS == "listener":
        started.pid_of_reader = started.worker_pids()[0]
    return started


def connect_at(server: Server, pid: int, pids) -> Connection:
    """A connection that the worker `pid` serves, of all that are `pids`; with a queue any, since no
    worker has connections."""
    if PASS == "queue":
        return server.connect()
    others = [other for other in pids if other != pid] if PASS == "listener" else []
    for other in others:
        stop_process(other)  # else anyone may accept
    try:
        while True:
            client = server.connect()
            if client.result("info")["pid"] == pid:
                return client
            client.close()
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def stop_process(pid: int):
    os.kill(pid, signal.SIGSTOP)

    def is_stopped():
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    wait_for(is_stopped, "the process to stop")


def sleeps(pid: int) -> bool:
    """Whether each thread of the process waits for something: it has finished what it did after the
    last reply that a client has seen. A process that is gone sleeps."""
    threads: list[pathlib.Path] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        threads = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
    for thread in threads:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = (thread / "stat").read_text()
            if stat.rsplit(")", 1)[1].split()[0] not in "SZ":
                return False
    return True


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        return bool(int(re.search(r"SigCgt:\s+(\w+)", text).group(1), 16) >> (number - 1) & 1)
    return False


def all_children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def children(pid: int) -> list[int]:
    """Workers or commands, but not the guard, which is there to end them."""
    return [child for child in all_children(pid) if not is_guard(child)]


def is_guard(pid: int) -> bool:
    """Whether it ends the process trees of its parent when that is killed."""
    def words():
        """None of a process that is gone; empty in the middle of execve."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return None

    wait_for(lambda: words() != b"" or not alive(pid), "the program of a child to begin")
    return (words() or b"").startswith(b"handoff-guard\0")


def descendants(pid: int) -> list[int]:
    own = children(pid)
    return own + [each for child in own for each in descendants(child)]


def freeze_descendants(pid: int) -> list[int]:
    """Stops a process and what it has started, which then start nothing more. Guards go on: they
    end by themselves."""
    frozen: list[int] = []
    new = [pid]
    while new:
        for each in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        wait_for(lambda: all(map(rests, new)), "processes to stop")
        frozen += new
        new = [each for each in descendants(pid) if each not in frozen]
    return frozen[1:]


def rests(pid: int) -> bool:
    """Whether it is stopped, waits for a child of vfork(2) to begin its program, or is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] in "TtDZX"
    return True


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] != "Z"
    return False


def descriptor_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) * 1024


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class TestCase(unittest.TestCase):
    """Each test has a directory of its own, and leaves no process behind."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="handoff-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def need_descriptors(self, count: int):
        """Raises the limit of this process for the test: an ordinary user's is 1,024."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count:
            self.skipTest(f"no {count} descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def start(self, server: Server) -> Server:
        """Has the server ended with the test."""
        return self.stack.enter_context(server)

    def open(self, server: Server) -> Connection:
        return self.stack.enter_context(server.connect())


def run_tests():
    """Runs the tests of the calling file. What they see does not depend on where they are run: all
    else in the environment is dropped."""
    for name in list(os.environ):
        if not re.fullmatch(r"PATH|TMPDIR|HANDOFF_\w+|\w+SAN_OPTIONS", name):
            del os.environ[name]
    os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
