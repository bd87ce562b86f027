# SPDX-License-Identifier: MIT
"""What the tests share that are about handlers: methods of each kind, gates that hold handlers up,
and a look at what handlers leave running."""

import contextlib
import os
import pathlib
import select
import signal
import sys
import threading

import handoff

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
FAILED = -32001
TIMED_OUT = -32002

PYTHON = f"{sys.executable} -IS"
KINDS = ("command", "coprocess", "file")

# Far longer than any call here takes, and shorter than a test's patience.
AMPLE = ("--timeout", "20s")


def lines_of(path: pathlib.Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def in_threads(functions):
    """Runs them all at a time; the first failure is the test's."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as error:  # an assertion
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Gate:
    """What handlers wait at until it is opened, for one of them each time."""

    def __init__(self, path: pathlib.Path):
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)
        self._came = path.with_suffix(".came")
        self._expected = 0
        self.words = f"echo >>{self._came}; read -r gate <{path}"

    def close(self):
        os.close(self._fd)

    def wait_for_one(self):
        """Until one more has come to it."""
        self._expected += 1
        handoff.wait_for(lambda: self.came() >= self._expected, "a handler to come to its gate", 10)

    def came(self) -> int:
        return len(lines_of(self._came))

    def open(self):
        os.write(self._fd, b"\n")

    def is_open(self) -> bool:
        """Whether nobody has gone through since it was opened."""
        return bool(select.select([self._fd], [], [], 0)[0])


class HandlerCase(handoff.TestCase):
    """The processes of a test are known by a variable in their environment."""

    def setUp(self):
        self.addCleanup(self.kill_what_is_left)  # once everything else has ended
        super().setUp()
        self.others = set(os.listdir("/proc"))
        self.methods = self.directory / "methods"
        self.methods.mkdir()
        self.environment = {**os.environ, "HANDLERS_OF": str(self.directory)}

    def marked(self) -> dict[int, str]:
        """The command lines of all living processes of this test, the servers too."""
        mark = f"HANDLERS_OF={self.directory}\0".encode()
        found = {}
        for pid in filter(str.isdigit, set(os.listdir("/proc")) - self.others):
            with contextlib.suppress(OSError):
                if mark in pathlib.Path("/proc", pid, "environ").read_bytes():
                    words = pathlib.Path("/proc", pid, "cmdline").read_bytes()
                    found[int(pid)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def handlers_left(self) -> list[str]:
        names = ("rpc-worker", "rpc-master", "handoff-guard", "strace")
        return [words for words in self.marked().values()
                if os.path.basename(words.split(" ")[0]) not in names]

    def assert_nothing_left(self):
        try:
            handoff.wait_for(lambda: not self.handlers_left(), "what handlers left to end", 5)
        except AssertionError:
            self.fail(f"left over: {self.handlers_left()}")

    def kill_what_is_left(self):
        while left := self.marked():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def write(self, path: pathlib.Path, text: str, mode: int = 0o755):
        """Whole at once, so that it can replace what runs."""
        fresh = self.directory / "fresh"
        fresh.write_text(text)
        fresh.chmod(mode)
        fresh.rename(path)

    def script(self, name: str, text: str) -> str:
        """A command that runs these lines of Python."""
        self.write(self.directory / name, text)
        return f"exec {PYTHON} {self.directory / name}"

    def make_gate(self, name: str = "gate") -> Gate:
        gate = Gate(self.directory / name)
        self.addCleanup(gate.close)
        return gate

    def worker(self, *options: str) -> handoff.Server:
        words = ("--env", "HANDLERS_OF", *options)
        return self.start(handoff.worker(*words, env=self.environment))

    def all_kinds(self, bodies: dict[str, str], read: str = "read -r params; ") -> list[str]:
        """The options for each body as a command, as a coprocess and as a file, which are the
        methods command.NAME, coprocess.NAME and file.NAME."""
        words = ["-d", str(self.methods)]
        for name, body in bodies.items():
            words += ["-m", f"command.{name}={body}", "-k", f"coprocess.{name}={read}{body}"]
            self.write(self.methods / f"file.{name}", f"#!/bin/sh\n{body}\n")
        return words

    def call_all(self, client: handoff.Connection, name: str, params=None) -> dict[str, dict]:
        """The replies of the three by their kind, all called at a time."""
        for kind in KINDS:
            client.send(f"{kind}.{name}", params, id=kind)
        replies = [client.receive() for _ in KINDS]
        return {reply["id"]: reply for reply in replies}

    def assert_error(self, reply: dict, code: int, pattern: str = ""):
        self.assertEqual((reply["out"], reply["result"].get("code")), ("error", code), reply)
        self.assertRegex(reply["result"]["message"], pattern or ".")

    def assert_all_fail(self, client, name: str, code: int, pattern: str = "", params=None):
        replies = self.call_all(client, name, params)
        for kind in KINDS:
            with self.subTest(kind=kind, name=name):
                self.assert_error(replies[kind], code, pattern)
        return replies

    def assert_all_give(self, client, name: str, result, params=None):
        replies = self.call_all(client, name, params)
        for kind in KINDS:
            with self.subTest(kind=kind, name=name):
                self.assertEqual(replies[kind]["result"], result)


# Its memory goes first: for a while it is neither alive nor to be reaped.
SLOW_TO_DIE = """
import mmap, os, time
os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "999")
memory = mmap.mmap(-1, 96 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
time.sleep(999)
"""
