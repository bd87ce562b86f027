# SPDX-License-Identifier: MIT
"""Workers that drain: those that hang are killed, one alone can be drained, and workers that
joined stay or are sent away."""

import contextlib
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from reload_case import TestCase  # noqa: E402

WORKER_DIED = -32004


class Draining(TestCase):
    def test_a_drained_worker_that_hangs_is_killed_and_counted(self):
        server = self.start_slow("--drain-timeout", "200ms")
        client, idle = self.open(server), self.open(server)
        idle.result("ping")
        client.send("slow")
        self.wait_until_slow_runs()
        before = server.worker_pids()[0]
        self.control.result("reload")
        held = "0 connections" if handoff.PASS == "queue" else "1 connection"
        server.wait_for_line(
            rf"worker 1, pid {before}: still there after 200ms, killed with {held}$")
        if handoff.PASS == "listener":  # it may be too young for the master to have a copy of it
            self.assert_lost_or_died(client)
        else:
            self.assertEqual(client.receive()["result"]["code"], WORKER_DIED)
            self.assertEqual(client.result("ping", "still there"), "still there")
        self.assertEqual(idle.result("ping", "still there"), "still there")

    def assert_lost_or_died(self, client):
        with contextlib.suppress(ConnectionResetError):
            reply = client.receive()
            self.assertTrue(reply is None or reply["result"]["code"] == WORKER_DIED, reply)

    def test_a_drained_worker_that_is_stopped_is_killed_and_what_it_had_not_started_is_served(self):
        server = self.start_master("--drain-timeout", "200ms")
        client = self.open(server)
        client.result("ping")
        before = server.worker_pids()[0]
        handoff.wait_for(lambda: handoff.sleeps(before), "the worker to have nothing to do")
        handoff.stop_process(before)
        waiting = [self.open(server) for _ in range(20)]
        for number, one in enumerate(waiting):
            one.send("ping", number)
        if handoff.PASS == "connection":
            handoff.wait_for(
                lambda: self.control.result("status")["workers"][0]["connections"] == 21,
                "the worker to be given them all")
        self.control.result("reload")
        # Others may have accepted them all, if it was not given them.
        held = {"connection": "21 connections", "listener": r"\d+ connections?",
                "queue": "0 connections"}[handoff.PASS]
        server.wait_for_line(f"still there after 200ms, killed with {held}")
        if handoff.PASS != "listener":
            self.assertEqual(client.result("ping", "still there"), "still there")
        for number, one in enumerate(waiting):
            self.assertEqual(one.receive()["result"], number)

    def test_drain_replaces_one_worker(self):
        server = self.start_master(workers=2)
        clients = [self.open(server) for _ in range(8)]
        for client in clients:
            client.result("ping")
        numbers = self.serving()
        one, two = sorted(numbers, key=numbers.get)
        subprocess.run([handoff.tool("rpc-call"), self.control_path, "drain", "worker:=1"],
                       check=True, capture_output=True, timeout=handoff.PATIENCE)
        handoff.wait_for(lambda: not handoff.alive(one), "the drained worker to leave")
        self.assertIn(two, server.worker_pids())
        self.assertEqual(sorted(self.serving().values()), [1, 2])
        for client in clients:
            self.assertNotEqual(self.pid_of(client), one)
        reply = self.control.call("drain", {"worker": 9})
        self.assertEqual(reply["out"], "error")
        self.assertIn("there is no worker 9", reply["result"]["message"])
        self.assertEqual(self.control.call("drain", {"worker": "1"})["result"]["code"], -32602)

    def open_at_both(self, server, joined: int) -> list:
        pids = [joined, *server.worker_pids()]
        return [self.stack.enter_context(handoff.connect_at(server, pid, pids))
                for pid in pids * 4]

    def test_drain_of_a_worker_that_joined_sends_it_away(self):
        path = str(self.directory / "join")
        server = self.start_master("-j", path)
        joined = self.start(handoff.Server(handoff.tool("rpc-worker"), "-j", path, ready=False))
        handoff.wait_for(lambda: joined.pid in self.serving(), "the worker to join")
        clients = self.open_at_both(server, joined.pid)
        self.control.result("drain", {"worker": 2})
        self.assertEqual(joined.process.wait(handoff.PATIENCE), 0)
        for client in clients:
            self.assertEqual([self.pid_of(client)], server.worker_pids())

    def test_workers_that_joined_stay_through_a_reload(self):
        path = str(self.directory / "join")
        server = self.start_master("-j", path)
        joined = self.start(handoff.Server(handoff.tool("rpc-worker"), "-j", path, ready=False))
        handoff.wait_for(lambda: joined.pid in self.serving(), "the worker to join")
        clients = self.open_at_both(server, joined.pid)
        before = [self.pid_of(client) for client in clients]
        self.reload(server)
        self.assertIn(joined.pid, self.serving())
        for client, pid in zip(clients, before):
            if handoff.PASS == "queue":  # whoever is free
                self.assertIn(self.pid_of(client), [joined.pid, *server.worker_pids()])
            elif pid == joined.pid:
                self.assertEqual(self.pid_of(client), pid)
            else:
                self.assertNotEqual(self.pid_of(client), pid)

    def test_a_master_without_a_command_says_so(self):
        path = str(self.directory / "join")
        words = [handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-j", path,
                 "-c", self.control_path, *handoff.passing()]
        server = self.start(handoff.Server(*words, ready=False))
        server.wait_for_line(": ready, ")
        server.kill(signal.SIGHUP)
        server.wait_for_line("cannot reload: there is no command to start; workers that joined stay")

    def test_status_and_metrics_tell_of_reloads(self):
        server = self.start_master(workers=2)
        self.open(server).result("ping")
        for _ in range(2):
            self.reload(server)
        status = self.control.result("status")
        self.assertEqual((status["state"], status["reloads"], status["pid"], status["connections"]),
                         ("ready", 2, server.pid, 1))
        metrics = self.control.result("metrics")
        self.assertIn("\nhandoff_reloads_total 2\n", metrics)
        self.assertIn('\nhandoff_worker_ready{worker="2"} 1\n', metrics)


if __name__ == "__main__":
    handoff.run_tests()
