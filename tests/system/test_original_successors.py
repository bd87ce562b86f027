# SPDX-License-Identifier: MIT
"""The process that was started and its successors: one that is killed at any moment of an upgrade,
one on its own, and what the process keeps for them."""

import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from original_case import OriginalTest, WORKER  # noqa: E402
from upgrade_case import setUpModule  # noqa: E402,F401

MASTER = handoff.tool("rpc-master")

# Executes a master that has to succeed another, without what tells it of the original process.
WITHOUT_ORIGINAL = """
import json, os, sys
succession = json.loads(os.pread(int(os.environ["HANDOFF_SUCCESSION"]), 100000, 0))
del succession["original"]
file = os.memfd_create("succession", 0)
os.write(file, json.dumps(succession).encode())
os.environ["HANDOFF_SUCCESSION"] = str(file)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Small(OriginalTest):
    def test_the_original_process_gives_away_all_that_it_had(self):
        server = self.launch("-l", self.path("listen"), "-j", self.path("join"))
        clients = [self.open(server) for _ in range(100)]
        for client in clients:
            client.result("ping")
        before = handoff.descriptor_count(server.pid)
        pid = self.upgrade_all(server, 2)
        handoff.wait_for(lambda: handoff.children(server.pid) == [pid], "the first to be reaped")
        # Besides the standard streams: signals, a socket to the masters, and the one that serves.
        names = [name for name in self.open_files(server.pid) if name.startswith(("anon", "socket"))]
        self.assertEqual(names, ["anon_inode:[pidfd]", "anon_inode:[signalfd]", "socket:[N]"])
        self.assertLess(handoff.descriptor_count(server.pid), before)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)

    def test_the_original_process_reaps_masters_in_the_middle_and_workers_of_a_killed_one(self):
        server = self.launch()
        first = self.upgrade_all(server, 1)
        second = self.upgrade_all(server, 1)
        handoff.wait_for(lambda: not os.path.exists(f"/proc/{first}"), "the first to be reaped")
        self.put_gate()
        os.kill(second, signal.SIGUSR2)
        third = self.wait_at_gate()
        self.wait_until_known(server, 2)
        workers = set(handoff.children(second)) - {third}
        self.assertEqual(len(workers), 2)
        os.kill(second, signal.SIGKILL)
        handoff.wait_for(lambda: not any(os.path.exists(f"/proc/{each}")
                                         for each in (second, *workers)), "them to be reaped")
        self.open_gate()
        server.wait_for_line(rf"the master, pid {second}: signal 9 .*; pid {third} takes over")
        handoff.wait_for(lambda: os.path.exists(self.control), "the socket")
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)
        self.assert_nobody_left(server)


class Successors(OriginalTest):
    """The master that serves is killed while its successor starts."""

    def check(self, server, successor: int):
        join = self.path("join")
        handoff.wait_for(lambda: os.path.exists(self.control), "the socket")
        self.assertEqual(self.ask("status")["pid"], successor)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        worker = self.start(handoff.Server(WORKER, "-j", join, ready=False))
        worker.wait_for_line("joined, on")
        handoff.wait_for(lambda: [each for each in self.ask("workers") if each["joined"]], "it")
        self.assertEqual(self.pidfile.read_text(), f"{successor}\n")

    def assert_no_names(self):
        for name in (self.path("listen"), self.path("join"), self.control, str(self.pidfile)):
            self.assertFalse(os.path.lexists(name), name)
            self.assertFalse(os.path.lexists(f"{name}.lock"), name)

    def begin(self, times: int, worker: str = 'exec "$0"'):
        server = self.launch("-l", self.path("listen"), "-j", self.path("join"), "--pidfile",
                             str(self.pidfile), command=["sh", "-c", worker, WORKER])
        pid = self.upgrade_all(server, times) if times else server.pid
        return server, pid

    def begin_upgrade(self, times: int):
        """The server, its master, the successor that waits at the gate, and the lines before it."""
        server, pid = self.begin(times)
        self.put_gate()
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR2)
        successor = self.wait_at_gate()
        self.wait_until_known(server, times)
        return server, pid, successor, seen

    def end(self, server, successor: int, times: int):
        """After the first upgrade the process that was started lives, and forwards to the heir."""
        if times:
            os.kill(server.pid, signal.SIGTERM)
            self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        else:
            self.assertEqual(self.stop(server, successor), 0)
        self.assert_no_names()
        self.assert_nobody_left(server)

    def test_a_master_killed_before_its_successor_has_looked_at_what_it_inherits(self):
        for times in (0, 2):
            with self.subTest(times=times):
                server, pid, successor, seen = self.begin_upgrade(times)
                os.kill(pid, signal.SIGKILL)
                self.wait_for_end(pid)
                self.open_gate()
                server.wait_for_line(": ready, ", seen)
                self.check(server, successor)
                self.end(server, successor, times)
                self.put(MASTER)

    def test_a_master_killed_before_the_workers_of_its_successor_are_ready(self):
        """It has a control socket at once: its workers may never be ready."""
        for times in (0, 2):
            with self.subTest(times=times):
                marker = self.path("marker")
                server, pid = self.begin(times, f'while test -e "{marker}"; do :; done; exec "$0"')
                pathlib.Path(marker).touch()
                seen = len(server.lines)
                os.kill(pid, signal.SIGUSR2)
                successor = handoff.wait_for(
                    lambda p=pid: [c for c in handoff.children(p)
                                   if "rpc-master" in pathlib.Path(f"/proc/{c}/cmdline").read_text()
                                   and len(handoff.children(c)) == 2], "the successor's workers")[0]
                os.kill(pid, signal.SIGKILL)
                server.wait_for_line("the old master is gone", seen)
                self.assertEqual(self.ask("status")["state"], "starting")
                self.assertEqual(self.ask("status")["pid"], successor)
                os.unlink(marker)
                server.wait_for_line(": ready, ", seen)
                self.check(server, successor)
                self.end(server, successor, times)

    def test_a_master_killed_between_ready_and_its_answer(self):
        for times in (0, 2):
            with self.subTest(times=times):
                server, pid, successor, seen = self.begin_upgrade(times)
                handoff.stop_process(pid)
                self.open_gate()
                server.wait_for_line(": ready, ", seen)
                os.kill(pid, signal.SIGKILL)
                server.wait_for_line("the old master is gone", seen)
                self.check(server, successor)
                self.end(server, successor, times)
                self.put(MASTER)

    @handoff.only("connection", "listener", because="its connections end with a master that serves")
    def test_a_master_killed_while_it_drains(self):
        os.mkfifo(self.path("slow"))
        server, pid = self.begin(1, f'exec "$0" -m "slow=cat {self.path("slow")}"')
        client = self.open(server)
        self.begin_slow_call(client)
        successor = self.upgrade(server, pid)
        os.kill(pid, signal.SIGUSR1)
        server.wait_for_line(r"worker \d, pid \d+: draining")
        os.kill(pid, signal.SIGKILL)
        self.end_slow_call()
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.check(server, successor)
        self.end(server, successor, 1)

    def test_a_master_killed_before_it_has_told_the_original_process_of_its_successor(self):
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        server = self.launch("--hang-timeout", "0")  # which asks the workers, and sends therefore
        pid = self.upgrade_all(server, 1)
        tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(pid), "-e",
                                   "trace=sendmsg", "-e", "inject=sendmsg:signal=KILL:when=1"],
                                  stderr=subprocess.DEVNULL)
        self.stack.callback(tracer.wait)
        self.stack.callback(tracer.kill)
        status = pathlib.Path(f"/proc/{pid}/status")
        handoff.wait_for(lambda: tracer.poll() is not None
                         or f"TracerPid:\t{tracer.pid}\n" in status.read_text(), "the tracer")
        if tracer.poll() is not None:
            self.skipTest("strace may not attach")
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR2)
        # While the tracer has not read the status, nobody else can.
        line = server.wait_for_line(rf"the master, pid {pid}: .*; pid \d+ takes over", seen)
        server.wait_for_line(": ready, ", seen)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertIn(f"pid {self.ask('status')['pid']} takes over", line)
        self.assertEqual(server.stop(), 0)
        self.assert_nobody_left(server)

    def test_a_successor_on_its_own_is_the_original_process_of_further_upgrades(self):
        server, pid = self.begin(0)
        self.put_gate()
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR2)
        first = self.wait_at_gate()
        os.kill(pid, signal.SIGKILL)
        self.open_gate()
        server.wait_for_line(": ready, ", seen)
        self.put(MASTER)
        second = self.upgrade(server, first)
        handoff.wait_for(lambda: self.holds_nothing(first), "it to stay, without anything")
        server.process.wait(handoff.PATIENCE)
        self.assertEqual(self.stop(server, first), 0)
        self.wait_for_end(second)
        self.assert_no_names()


class Others(OriginalTest):
    def test_a_successor_that_does_not_know_of_it_serves_and_stops(self):
        """As an older version does: it closes no descriptor that it does not know."""
        server = self.launch()
        self.put_script(f"exec {sys.executable} -c {shlex.quote(WITHOUT_ORIGINAL)} "
                        f"{shlex.quote(MASTER)} \"$@\"")
        pid = self.upgrade_all(server, 1)
        server.kill(signal.SIGHUP)
        server.wait_for_line("reloaded, 2 workers")
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.ask("status")["pid"], pid)
        self.assertEqual(server.stop(), 0)
        self.assert_nobody_left(server)

    def test_where_orphans_are_not_adopted_a_master_tells_its_status_itself(self):
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        command = self.slow_command()
        for second in (False, True):
            with self.subTest(second=second):
                words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e",
                         "inject=prctl:error=EPERM:when=1", str(self.program)]
                server = self.launch(words=words, command=command,
                                     env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
                server.wait_for_line("become a subreaper")
                original = handoff.children(server.pid)[0]
                for _ in range(2):
                    seen = len(server.lines)
                    os.kill(original, signal.SIGUSR2)
                    pid = self.wait_for_successor(server, seen)
                    handoff.wait_for(lambda: self.holds_nothing(original), "all to be handed over")
                client = self.open(server)
                self.begin_slow_call(client)
                os.kill(original, signal.SIGTERM)
                handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")
                if second:
                    os.kill(original, signal.SIGTERM)
                    self.wait_for_end(pid)
                    self.slow.close()  # nobody finds the method's command, which strace waits for
                else:
                    self.end_slow_call()
                    self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
                self.assertEqual(server.process.wait(handoff.PATIENCE), 124 if second else 0)
                self.wait_for_end(pid)


if __name__ == "__main__":
    handoff.run_tests()
