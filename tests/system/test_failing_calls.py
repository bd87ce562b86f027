#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""System calls that fail for one connection or one message: that costs the connection, or the channel
of the worker, and never the process. strace plays the part of the kernel."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

MODELS = ("connection", "listener", "queue")


class FailingCalls(handoff.TestCase):
    def setUp(self):
        super().setUp()
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        # A leak checker can't work in a traced process.
        self.environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}

    def serve(self, call, error, when, *words, follow=False, **server):
        """Starts a server of which this system call fails; `pid` of what it gives is strace's."""
        strace = ["strace", *(["-f"] if follow else []), "-qq", "-o", "/dev/null", "-e",
                  f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
        started = self.start(handoff.Server(*strace, *words, env=self.environment, **server))
        self.stack.callback(self.end_tracees, started)
        return started

    @staticmethod
    def end_tracees(server):
        """strace would let them go when it is killed."""
        for pid in handoff.descendants(server.pid):
            os.kill(pid, signal.SIGKILL)

    def master(self, call, error, when, model="connection"):
        return self.serve(call, error, when, handoff.tool("rpc-master"), "-l", self.address(), "-n", "1",
                          "--backoff", "20ms:50ms", "-p", model, "--", handoff.tool("rpc-worker"),
                          "-m", "upper=tr a-z A-Z", cwd=self.directory)

    def worker(self, call, error, when):
        return self.serve(call, error, when, handoff.tool("rpc-worker"), "-l", self.address(), "-m",
                          "upper=tr a-z A-Z", cwd=self.directory)

    def address(self):
        return str(self.directory / "s")

    def is_answered(self):
        """Whether a new client gets its replies."""
        try:
            with handoff.Connection(self.address()) as client:
                return client.result("echo", 1) == 1 and client.result("upper", "x") == "X"
        except (AssertionError, OSError, EOFError):
            return False

    def stop(self, server):
        """TERM ends it in the ordinary way."""
        os.kill(handoff.children(server.pid)[0], signal.SIGTERM)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0, server.lines)

    def check_survives(self, server, clients=8):
        """Some clients may be lost, and after them all are served by the same process."""
        serving = handoff.children(server.pid)
        for _ in range(clients):
            self.is_answered()
        handoff.wait_for(self.is_answered, "an answer")
        self.assertEqual(handoff.children(server.pid), serving, server.lines)
        self.stop(server)

    def test_a_call_that_fails_once_ends_no_master(self):
        for model in MODELS:
            for call, error in (("accept4", "EIO"), ("accept4", "EPERM"), ("epoll_ctl", "ENOSPC"),
                                ("sendmsg", "EPERM"), ("recvmsg", "ENOMEM"), ("recvmsg", "EIO")):
                with self.subTest(model, call=call, error=error):
                    # Not those of the start, which may fail: it says why then.
                    when = 8 if call == "epoll_ctl" else 3
                    self.check_survives(self.master(call, error, when, model))

    def test_a_call_that_fails_once_ends_no_worker(self):
        for call, error in (("accept4", "EIO"), ("accept4", "EPERM"), ("epoll_ctl", "ENOSPC"),
                            ("recvfrom", "EINVAL"), ("sendto", "EINVAL")):
            for when in ("4", "5", "6", "7"):
                with self.subTest(call, error=error, when=when):
                    self.check_survives(self.worker(call, error, when))

    def test_a_listener_whose_accept_always_fails_does_not_spin_and_heeds_term(self):
        for error in ("EIO", "ENOMEM"):
            with self.subTest(error):
                server = self.worker("accept4", error, "1+")
                with handoff.Connection(self.address()):
                    server.wait_for_line(r"cannot accept on .*/s: .*; trying again")
                    self.stop(server)
                said = [line for line in server.lines if "accept" in line]
                self.assertEqual(len(said), 1, said)

    def test_a_firewall_that_refuses_every_connection_does_not_make_a_server_spin(self):
        server = self.worker("accept4,accept", "EPERM", "1+")
        with handoff.Connection(self.address()):
            server.wait_for_line(r"cannot accept on .*/s: Operation not permitted; trying again")
            self.stop(server)

    def test_the_older_accept_is_used_where_the_newer_one_is_refused(self):
        for error in ("ENOSYS", "EPERM"):
            with self.subTest(error):
                server = self.worker("accept4", error, "1+")
                self.assertTrue(self.is_answered())
                self.stop(server)

    def receive(self, call, error, when):
        """fdrecv -k, when it listens."""
        server = self.serve(call, error, when, handoff.tool("fdrecv"), "-k", "./r", "--", "sh", "-c",
                            "echo >&2 received", cwd=self.directory, ready=False)
        handoff.wait_for((self.directory / "r").exists, "the socket")
        return server

    def send(self):
        return subprocess.run([handoff.tool("fdsend"), "./r"], cwd=self.directory,
                              stdin=subprocess.DEVNULL, timeout=handoff.PATIENCE).returncode

    def test_a_receiver_that_goes_on_survives_a_call_that_fails(self):
        for call, error, when in (("accept4", "EIO", "1"), ("accept4", "EPERM", "1+"),
                                  ("accept4", "ENOSYS", "1+"), ("recvmsg", "ENOMEM", "1"),
                                  ("epoll_ctl", "ENOSPC", "4")):
            with self.subTest(call, error=error):
                server = self.receive(call, error, when)
                self.send()
                handoff.wait_for(lambda: self.send() == 0, "a descriptor to be taken")
                server.wait_for_line("received")
                self.stop(server)

    def test_a_receiver_that_can_not_accept_heeds_term(self):
        server = self.receive("accept4,accept", "EPERM", "1+")
        self.send()
        server.wait_for_line(r"cannot accept on \./r: Operation not permitted; trying again")
        self.stop(server)

    def test_memory_that_one_connection_can_not_have_ends_that_one(self):
        if handoff.SANITIZED:
            self.skipTest("a sanitizer needs the address space")
        limit = 160 << 20
        server = self.start(handoff.Server(
            "prlimit", f"--as={limit}", handoff.tool("rpc-worker"), "-l", self.address(),
            "--max-frame", str(120 << 20), cwd=self.directory))
        with handoff.Connection(self.address()) as other:
            with handoff.Connection(self.address()) as greedy:
                with self.assertRaises((OSError, EOFError, AssertionError)):
                    greedy.socket.sendall((100 << 20).to_bytes(4, "little") + b'{"in":"echo","params":"')
                    while True:
                        greedy.socket.sendall(b"x" * (1 << 20))
            server.wait_for_line("a connection is closed: ")
            self.assertEqual(other.result("echo", 1), 1)


if __name__ == "__main__":
    handoff.run_tests()
