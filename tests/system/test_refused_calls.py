#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""System calls that a kernel lacks, or that the seccomp profile of a container refuses: each tool
takes another way, or says which step failed. strace plays the part of the kernel."""

import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

WORKER = handoff.tool("rpc-worker")
METHODS = ["-m", "upper=tr a-z A-Z", "-k", "same=cat"]
# The kernel's answer for a call that it lacks, and that of a profile that does not know it.
ERRORS = ("ENOSYS", "EPERM")


class RefusedCalls(handoff.TestCase):
    def setUp(self):
        super().setUp()
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        # A leak checker can't work in a traced process.
        self.environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}

    @staticmethod
    def refusing(call, error, *words, when="1+"):
        """The command line of a program and its children that are refused this system call."""
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                "-e", f"inject={call}:error={error}:when={when}", *words]

    def run_refusing(self, call, error, *words, **more):
        words = self.refusing(call, error, *words)
        return subprocess.run(words, cwd=self.directory, env=self.environment, capture_output=True,
                              text=True, timeout=handoff.PATIENCE, **more)

    def serve(self, call, error, *options, command=(WORKER, *METHODS), when="1+", **server):
        """rpc-master with one worker; `pid` of what it gives is strace's."""
        words = [handoff.tool("rpc-master"), *handoff.passing(*options, command=command),
                 "-l", "127.0.0.1:0", "-n", "1", *options, "--", *command]
        started = self.start(handoff.Server(*self.refusing(call, error, *words, when=when),
                                            env=self.environment, **server))
        self.stack.callback(self.end_tracees, started)
        return started

    @staticmethod
    def end_tracees(server):
        """strace would let them go when it is killed."""
        for pid in handoff.children(server.pid):
            os.kill(pid, signal.SIGTERM)
        try:
            server.process.wait(handoff.PATIENCE)
        finally:
            for pid in handoff.children(server.pid):
                os.kill(pid, signal.SIGKILL)

    def master_of(self, server):
        return handoff.children(server.pid)[0]

    def stop(self, server):
        os.kill(self.master_of(server), signal.SIGTERM)
        return server.process.wait(handoff.PATIENCE)

    def check_service(self, server):
        """All kinds of methods, before a reload and after it, and a stop that cuts nothing off."""
        with server.connect() as client:
            self.check_methods(client)
            os.kill(self.master_of(server), signal.SIGHUP)
            server.wait_for_line("reloaded, 1 worker")
            self.check_methods(client)
        self.assertEqual(self.stop(server), 0, server.lines)

    def check_methods(self, client):
        self.assertEqual(client.result("echo", "x"), "x")
        self.assertEqual(client.result("upper", "x" * 100_000), "X" * 100_000)
        self.assertEqual(client.result("same", "x"), "x")

    def test_a_server_does_without_newer_system_calls(self):
        for call in ("close_range", "epoll_pwait2", "pidfd_send_signal"):
            for error in ERRORS:
                with self.subTest(call, error=error):
                    self.check_service(self.serve(call, error))

    @handoff.only("connection", "listener", because="a queue is in such memory")
    def test_a_server_that_can_make_no_memory_file_does_without(self):
        for error in ERRORS:
            with self.subTest(error):
                self.check_service(self.serve("memfd_create", error))

    def test_a_server_that_can_be_no_subreaper_says_so_and_serves(self):
        for error in ERRORS:
            with self.subTest(error):
                # The first prctl of the master, and of the worker; a command's first is another.
                server = self.serve("prctl", error, when="1")
                server.wait_for_line("rpc-master: cannot become a subreaper: ")
                server.wait_for_line(r"rpc-worker\[1\]: cannot become a subreaper: ")
                self.check_service(server)

    def test_a_command_that_could_gain_privileges_is_not_run(self):
        server = self.serve("prctl", "EPERM", when="2+")
        with server.connect() as client:
            reply = client.call("upper", "x")
            self.assertEqual(reply["out"], "error")
            self.assertRegex(reply["result"]["message"],
                             "set no_new_privs for.*: Operation not permitted")
            self.assertEqual(client.result("echo", "it serves on"), "it serves on")

    def test_without_close_range_a_child_has_no_descriptors_but_its_own(self):
        read_end, write_end = os.pipe()
        self.stack.callback(os.close, read_end)
        self.stack.callback(os.close, write_end)
        server = self.serve("close_range", "EPERM", command=[
            WORKER, "--text", "-m", "list=ls /proc/self/fd | tr '\\n' ' '"],
            pass_fds=(read_end, write_end))
        with server.connect() as client:
            self.assertEqual(client.result("list"), "0 1 2 3", "3 is the folder that ls reads")

    def test_descriptors_go_from_hand_to_hand_without_close_range(self):
        for error in ERRORS:
            with self.subTest(error):
                name = str(self.directory / error)
                (self.directory / "sent").write_text("the text\n")
                with (self.directory / "sent").open() as file:
                    received = subprocess.Popen(
                        self.refusing("close_range", error, handoff.tool("fdrecv"), "--stdin", name, "--", "cat"),
                        env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                    self.stack.callback(received.kill)
                    self.stack.callback(received.stdout.close)
                    sent = self.run_refusing("close_range", error, handoff.tool("fdsend"), "--wait",
                                             name, stdin=file)
                self.assertEqual((sent.stderr, sent.returncode), ("", 0))
                self.assertEqual(received.stdout.read(), b"the text\n")
                self.assertEqual(received.wait(handoff.PATIENCE), 0)

    def test_a_client_runs_a_server_without_close_range(self):
        said = self.run_refusing("close_range", "EPERM", handoff.tool("rpc-call"),
                                 f"exec:{WORKER} --stdio", "echo", "1")
        self.assertEqual((said.stdout, said.stderr, said.returncode), ("1\n", "", 0))

    @handoff.only("connection", because="--pass is given")
    def test_a_queue_that_can_have_no_memory_is_refused_at_the_start(self):
        for error, text in (("ENOSYS", "Function not implemented"),
                            ("EPERM", "Operation not permitted")):
            with self.subTest(error):
                said = self.run_refusing("memfd_create", error, handoff.tool("rpc-master"), "-l", "./s",
                                         "-p", "queue", "--", WORKER)
                self.assertEqual(said.returncode, 125)
                self.assertRegex(said.stderr, rf"\Arpc-master: cannot use memfd_create: {text} \(.*\)\n\Z")

    @handoff.only("connection", because="else no worker returns a connection")
    def test_long_bytes_that_no_memory_file_can_hold_end_their_connection_alone(self):
        name = str(self.directory / "s")
        server = self.serve("memfd_create", "EPERM", "-l", name)
        with server.connect() as other, handoff.Connection(name) as long:
            self.assertEqual(other.result("echo", 1), 1)
            self.assertEqual(long.result("echo", 1), 1)
            long.socket.sendall(struct.pack("<I", 500_000) + b'{"in": "echo", "params": "' + b"x" * 200_000)
            handoff.wait_for(lambda: handoff.unread(long.socket, termios.TIOCOUTQ) == 0,
                             "the worker to read it")
            os.kill(self.master_of(server), signal.SIGHUP)
            server.wait_for_line(r"cannot give back a connection with \d+ unread bytes: "
                                 r"Operation not permitted \(memfd_create is refused\)")
            server.wait_for_line("reloaded, 1 worker")
            self.assertEqual(other.result("echo", "moved"), "moved")
            with self.assertRaises((ConnectionError, EOFError)):
                if long.receive() is None:
                    raise EOFError

    def test_what_can_not_be_done_without_a_call_names_it(self):
        sleeper = self.stack.enter_context(subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL))
        self.stack.callback(sleeper.kill)
        take = [handoff.tool("fdsend"), "--pid", f"{sleeper.pid}:0", "./s"]
        listen = [handoff.tool("rpc-worker"), "-l", "./s"]
        ping = [handoff.tool("rpc-ping"), "-c", "1", "./s"]
        receive = [handoff.tool("fdrecv"), "./r"]
        for call, error, words, said in (
                ("pidfd_open", "ENOSYS", take, "cannot use pidfd_open to take .*: Function not implemented"),
                ("pidfd_getfd", "ENOSYS", take, "cannot use pidfd_getfd to take .*: Function not implemented"),
                ("pidfd_getfd", "EPERM", take, r"cannot take .*: Operation not permitted \(pidfd_getfd .*"),
                ("signalfd4", "ENOSYS", listen, "cannot use signalfd: Function not implemented"),
                ("signalfd4", "EPERM", ping, "cannot use signalfd: Operation not permitted"),
                ("signalfd4", "EPERM", receive, "cannot use signalfd: Operation not permitted"),
                ("epoll_create1", "ENOSYS", listen, "cannot use epoll_create1: Function not implemented")):
            with self.subTest(call, tool=words[0], error=error):
                with socket.socket(socket.AF_UNIX) as listener:
                    name = self.directory / "s"
                    if words == take:
                        listener.bind(str(name))
                        listener.listen()
                    result = self.run_refusing(call, error, *words)
                    name.unlink(missing_ok=True)
                self.assertEqual(result.returncode, 125)
                self.assertRegex(result.stderr, rf"\A[a-z-]+: {said}\n\Z")


if __name__ == "__main__":
    handoff.run_tests()
