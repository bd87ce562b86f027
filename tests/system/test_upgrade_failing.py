# SPDX-License-Identifier: MIT
"""An upgrade that fails changes nothing: programs that end, hang, crash, or whose workers cannot
start."""

import os
import pathlib
import shlex
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from upgrade_case import MASTER, UpgradeTest, WORKER, clients_of, setUpModule  # noqa: E402,F401


class Failing(UpgradeTest):
    """The old one serves on, and says why."""

    def test_a_program_that_ends_or_can_not_be_executed_changes_nothing(self):
        programs = {
            "exits with 0": (lambda: self.put("/bin/true"), r"exit status 0, before it was ready"),
            "exits with 1": (lambda: self.put("/bin/false"), r"exit status 1, before it was ready"),
            "another": (lambda: self.put("/bin/cat"), r"exit status 1, before it was ready"),
            "dies": (lambda: self.put_script("kill -9 $$"), r"signal 9 \(Killed\), before it was"),
            "missing": (lambda: self.put("/nonexistent"), r"cannot run .*: No such file"),
            "a directory": (lambda: self.put("/tmp"), r"cannot run .*: Permission denied"),
            "not executable": (lambda: self.put_file(b"#!/bin/sh\n", 0o644),
                               r"cannot run .*: Permission denied"),
            "no interpreter": (lambda: self.put_file(b"#!/nonexistent\n", 0o755),
                               r"cannot run .*: No such file"),
            "wrong format": (lambda: self.put_file(b"\x7fELF garbage", 0o755),
                             r"cannot run .*: Exec format error|exit status \d+, before"),
            "garbage on the channel": (
                lambda: self.put_script(f"exec {shlex.quote(sys.executable)} -ISc '"
                                        "import os,time;os.write(3, b\"garbage\");time.sleep(99)'"),
                r"it sent no valid message"),
            "its channel closed": (lambda: self.put_script("exec 3<&-; exec sleep 99"),
                                   r"it closed its channel, killed"),
            "other options": (lambda: self.put_script(f"exec {shlex.quote(MASTER)} --no-such"),
                              r"exit status 2, before it was ready"),
        }
        server = self.launch()
        client = self.open(server)
        worker = client.result("info")["pid"]
        children = sorted(handoff.children(server.pid))
        with clients_of(server.address) as load:
            load.go_on()
            for name, (put, pattern) in programs.items():
                with self.subTest(name):
                    put()
                    seen = len(server.lines)
                    server.kill(signal.SIGUSR2)
                    self.wait_for_problem(server, pattern, seen)
                    load.go_on()
                    self.assertEqual(sorted(handoff.children(server.pid)), children)
            self.put(MASTER)
            self.upgrade(server, server.pid)
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertIsNone(self.ask("status")["last_upgrade_problem"])
        self.assertNotEqual(client.result("info")["pid"], worker)

    def test_an_upgrade_that_fails_leaves_no_descriptor_open(self):
        server = self.launch()
        before = handoff.descriptor_count(server.pid)
        for target in ("/bin/true", "/nonexistent") * handoff.count(20, 3):
            self.put(target)
            seen = len(server.lines)
            server.kill(signal.SIGUSR2)
            self.wait_for_problem(server, "before it was ready|No such file", seen)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) == before,
                         "the descriptors of the attempts to be closed")

    def test_a_program_that_hangs_is_killed(self):
        server = self.launch("--ready-timeout", "500ms")
        self.put_gate()
        with clients_of(server.address) as load:
            load.go_on()
            server.kill(signal.SIGUSR2)
            pid = self.wait_at_gate()
            self.assertEqual(self.ask("status")["state"], "upgrading")
            load.go_on()
            self.wait_for_problem(server, rf"the new master, pid {pid}: not ready within 1s")
            self.assertFalse(handoff.alive(pid))
            load.go_on()
        self.assertEqual(load.problems, [])

    def test_a_program_that_crashes_after_a_while_changes_nothing(self):
        server = self.launch()
        self.put_gate("kill -SEGV $$")
        with clients_of(server.address) as load:
            load.go_on()
            server.kill(signal.SIGUSR2)
            self.wait_at_gate()
            load.go_on()
            self.open_gate()
            self.wait_for_problem(server, r"signal 11 \(Segmentation fault\), before it was ready")
            load.go_on()
        self.assertEqual(load.problems, [])

    def test_a_new_master_whose_workers_can_not_start_leaves_the_names_alone(self):
        names = [self.path(name) for name in ("listen", "join")] + [self.control]
        worker = self.directory / "worker"
        worker.symlink_to(WORKER)
        server = self.launch("-l", names[0], "-j", names[1], "--pidfile", str(self.pidfile),
                             command=[str(worker)])
        with clients_of(server.address) as load:
            load.go_on()
            worker.unlink()
            server.kill(signal.SIGUSR2)
            server.wait_for_line(r"cannot upgrade: the new master, pid \d+: exit status 127")
            for name in names:
                self.assertTrue(os.path.lexists(name), f"{name} is still there")
                self.assert_private_socket(name)
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(self.ask("status")["state"], "ready")
        self.assertEqual(self.pidfile.read_text(), f"{server.pid}\n")
        self.assertEqual(self.stop(server, server.pid), 0)
        for name in names:
            self.assertFalse(os.path.lexists(name) or os.path.lexists(name + ".lock"), name)
        self.assertFalse(self.pidfile.exists())

    def test_a_new_master_that_is_told_to_stop_leaves_the_names_alone(self):
        marker = self.path("hang")
        listener = self.path("listen")
        server = self.launch(
            "-l", listener, workers=1,
            command=["sh", "-c", f'test -e "{marker}" && exec cat <&"$HANDOFF_CHANNEL_FD"; exec "$0"',
                     WORKER])
        pathlib.Path(marker).touch()
        server.kill(signal.SIGUSR2)
        pid = handoff.wait_for(
            lambda: [pid for pid in handoff.children(server.pid) if handoff.children(pid)
                     and pid not in server.worker_pids()[:1]], "the successor and its worker")[0]
        os.kill(pid, signal.SIGTERM)
        self.wait_for_problem(server, "before it was ready|closed its channel")
        self.assert_private_socket(listener)
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_a_new_master_that_ends_together_with_a_worker_changes_nothing(self):
        server = self.launch()
        before = server.worker_pids()
        self.put_gate()
        server.kill(signal.SIGUSR2)
        pid = self.wait_at_gate()
        # The master shall hear of both at once.
        server.kill(signal.SIGSTOP)
        for each in (before[0], pid):
            os.kill(each, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(before[0]) and not handoff.alive(pid), "the end")
        server.kill(signal.SIGCONT)
        self.wait_for_problem(server, rf"pid {pid}: signal 9 \(Killed\), before it was ready")
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "another worker")
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_a_new_master_that_dies_while_the_old_one_drains_cuts_no_call_off(self):
        server = self.launch(*self.slow_method(), workers=1)
        client = self.open(server)
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            new = self.upgrade(server, server.pid)
            os.kill(new, signal.SIGKILL)
            server.wait_for_line("cannot upgrade: the new master is gone")
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertIsNone(client.receive())
        server.process.wait(handoff.PATIENCE)
        self.assert_nobody_left(server)

    def slow_method(self) -> list[str]:
        return []

    def launch(self, *options, command=(WORKER,), **more):
        """With a method that waits for the fifo `slow`."""
        if command == (WORKER,):
            if not os.path.exists(self.path("slow")):
                os.mkfifo(self.path("slow"))
            command = (WORKER, "-m", f"slow=cat {self.path('slow')}")
        return super().launch(*options, command=command, **more)


if __name__ == "__main__":
    handoff.run_tests()
