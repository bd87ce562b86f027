# SPDX-License-Identifier: MIT
"""What the tests of fdsend and fdrecv share: the programs as processes with descriptors of their
own, and sockets to pass by."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess

import handoff

FDSEND = handoff.tool("fdsend")
FDRECV = handoff.tool("fdrecv")
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
