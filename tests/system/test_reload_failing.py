# SPDX-License-Identifier: MIT
"""Reloads whose new workers crash, hang or cannot be executed: the old workers go on serving."""

import os
import pathlib
import signal
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from reload_case import TestCase  # noqa: E402


class BadSuccessors(TestCase):
    """Workers that do not get ready: the old ones serve on."""

    def setUp(self):
        super().setUp()
        self.script = self.directory / "worker"
        self.write(f'exec {handoff.tool("rpc-worker")} "$@"')

    def write(self, text: str):
        beside = self.directory / "worker.new"
        beside.write_text(f"#!/bin/sh\n{text}\n")
        beside.chmod(0o755)
        beside.rename(self.script)

    def assert_serves_on(self, server, clients, pids, problem: str):
        seen = len(server.lines)
        reply = self.control.call("reload")
        self.assertEqual(reply["out"], "error")
        self.assertRegex(reply["result"]["message"], problem)
        server.wait_for_line(f"cannot reload: .*{problem}.*; the old workers serve on", after=seen)
        self.assertRegex(self.control.result("status")["last_reload_problem"], problem)
        handoff.wait_for(lambda: set(server.worker_pids()) == pids, "the new ones to be gone")
        for client in clients:
            self.assertIn(self.pid_of(client), pids)
        with server.connect() as client:
            self.assertIn(self.pid_of(client), pids)

    def start_scripted(self, *options: str):
        server = self.start_master(*options, workers=2, command=[str(self.script)])
        pids = set(server.worker_pids())
        clients = [self.stack.enter_context(handoff.connect_at(server, pid, pids))
                   for pid in [*pids] * 2]
        return server, clients, pids

    def assert_reloads(self, server, clients, pids):
        """Once there is a good one again."""
        self.reload(server)
        self.assertLessEqual({self.pid_of(client) for client in clients}, set(server.worker_pids()))
        self.assertEqual(pids & set(server.worker_pids()), set())
        self.assertIsNone(self.control.result("status")["last_reload_problem"])

    def test_a_reload_does_not_make_do_with_one_that_was_started_before_it(self):
        gate, mark = self.directory / "gate", self.directory / "mark"
        os.mkfifo(gate)
        os.mkfifo(mark)
        worker = f"exec {handoff.tool('rpc-worker')} -m version='echo"
        self.write(f"{worker} 1'")
        server = self.start_master(command=[str(self.script)])
        self.write(f"echo >{mark}; cat {gate}; {worker} 2'")
        drain = threading.Thread(target=self.control.call, args=("drain", {"worker": 1}))
        drain.start()
        mark.read_text()  # it has read what it is to be
        self.write(f"{worker} 3'")
        server.kill(signal.SIGHUP)
        server.wait_for_line("reloaded, 1 worker")
        drain.join()
        with server.connect() as client:
            self.assertEqual(client.result("version"), 3)

    def test_successors_that_crash_leave_the_old_workers_serving(self):
        server, clients, pids = self.start_scripted()
        good = self.script.read_text()
        self.write("echo last words >&2; exit 7")
        for _ in range(3):
            self.assert_serves_on(server, clients, pids, "exit status 7, before it was ready")
        server.wait_for_line("^last words$")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_one_successor_that_crashes_leaves_the_old_workers_serving(self):
        """All or none."""
        server, clients, pids = self.start_scripted()
        good = self.script.read_text()
        self.write(f'test "$HANDOFF_WORKER" = 2 && exit 7; exec {handoff.tool("rpc-worker")}')
        self.assert_serves_on(server, clients, pids, "exit status 7, before it was ready")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_successors_that_hang_leave_the_old_workers_serving(self):
        server, clients, pids = self.start_scripted("--ready-timeout", "300ms")
        good = self.script.read_text()
        self.write("exec cat <&$HANDOFF_CHANNEL_FD")
        self.assert_serves_on(server, clients, pids, "before it was ready")
        server.wait_for_line(r"not ready within 300ms, killed")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_successors_that_cannot_be_executed_leave_the_old_workers_serving(self):
        server, clients, pids = self.start_scripted()
        good = self.script.read_text()
        self.script.chmod(0o644)
        self.assert_serves_on(server, clients, pids, "Permission denied")
        self.script.unlink()
        self.assert_serves_on(server, clients, pids, "No such file")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_a_link_to_a_new_program_is_followed(self):
        """An upgrade of the workers: a link that is changed, and a reload."""
        server, clients, pids = self.start_scripted()
        version = self.directory / "version-2"
        version.write_text(f'#!/bin/sh\nexec {handoff.tool("rpc-worker")} -m "two=echo 2"\n')
        version.chmod(0o755)
        self.script.unlink()
        self.script.symlink_to(version)
        self.assertEqual(clients[0].call("two")["out"], "error")
        self.reload(server)
        for client in clients:
            self.assertEqual(client.result("two"), 2)

    def test_a_worker_that_asks_to_leave_during_a_failing_reload_is_replaced_later(self):
        server, clients, pids = self.start_scripted("--ready-timeout", "1s")
        good = self.script.read_text()
        mark = self.directory / "mark"
        os.mkfifo(mark)
        self.write(f"echo >{mark}; exec cat <&$HANDOFF_CHANNEL_FD")
        seen = len(server.lines)
        server.kill(signal.SIGHUP)
        mark.read_text()
        leaving = min(pids)
        os.kill(leaving, signal.SIGTERM)
        self.assertIn(self.pid_of(clients[0]), pids)
        self.write(good)
        server.wait_for_line("the old workers serve on", after=seen)
        handoff.wait_for(lambda: not handoff.alive(leaving), "the worker to leave", patience=10)
        for client in clients:
            self.assertNotEqual(self.pid_of(client), leaving)

    def test_a_successor_that_asks_to_leave_before_it_serves_is_replaced(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server, clients, pids = self.start_scripted()
        # The second waits until the first was told to leave.
        self.write(f'test "$HANDOFF_WORKER" = 2 && read x <{gate}; '
                   f'exec {handoff.tool("rpc-worker")}')
        seen = len(server.lines)
        server.kill(signal.SIGHUP)
        line = server.wait_for_line(r"worker 1, pid \d+: ready", after=seen)
        leaving = int(line.rsplit("pid ", 1)[1].split(":")[0])
        os.kill(leaving, signal.SIGTERM)
        self.assertTrue(handoff.alive(leaving))
        gate.write_text("go\n")
        server.wait_for_line("reloaded", after=seen)
        self.write(f'exec {handoff.tool("rpc-worker")}')
        handoff.wait_for(lambda: not handoff.alive(leaving), "the successor to leave", patience=10)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)


if __name__ == "__main__":
    handoff.run_tests()
