# SPDX-License-Identifier: MIT
"""--pass queue: workers are replaced, join and leave, and the connections stay."""

import contextlib
import os
import pathlib
import re
import select
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from queue_case import QUICK, QueueTest, WORKER, WORKER_DIED, clients_of  # noqa: E402


class Changing(QueueTest):
    """Workers come and go, and the master too: no client notices."""

    def setUp(self):
        super().setUp()
        self.slow = self.gate()
        self.command = [WORKER, "-m", "slow=" + self.waiting_at(self.slow)]

    def test_a_reload_changes_the_workers_and_not_the_connections(self):
        server = self.launch(command=self.command)
        client, busy = self.clients(server, 2)
        busy.send("slow")
        self.wait_for_queue(running=1)
        with clients_of(server.address) as load:
            for _ in range(handoff.count(20, 3)):
                load.go_on()
                said = len(server.lines)
                before = set(server.worker_pids())
                server.kill(signal.SIGHUP)
                server.wait_for_line("reloaded, 2 workers", said)
                load.go_on()
                self.assertNotIn(client.result("info")["pid"], before)
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.open_gate(self.slow)
        self.assertEqual(busy.receive(), {"out": "slow", "result": "opened"})
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the old workers to end", QUICK)
        self.assertEqual(busy.result("ping", 1), 1)
        counts = self.queue()
        self.assertEqual((counts["died"], counts["redispatched"]), (0, 0))
        self.assertEqual(self.ask("status")["accepted"], 6)

    def test_a_drain_and_a_scale_change_the_workers_and_not_the_connections(self):
        server = self.launch(workers=3, command=self.command)
        with clients_of(server.address) as load:
            for number in (1, 2, 3):
                pids = set(server.worker_pids())
                self.ask("drain", {"worker": number})
                handoff.wait_for(lambda: len(set(server.worker_pids()) - pids) == 1 and
                                 len(server.worker_pids()) == 3, "another worker", QUICK)
                load.go_on()
            for count in (1, 4, 2):
                self.ask("scale", {"workers": count})
                handoff.wait_for(lambda: len(server.worker_pids()) == count, "as many", QUICK)
                load.go_on()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assert_whole(server, 16)

    def test_workers_that_have_had_enough_are_replaced(self):
        server = self.launch(workers=2, command=[WORKER, "--max-requests", "200,50"])
        first = set(server.worker_pids())
        with clients_of(server.address, calls=handoff.count(100_000, 2_000)) as load:
            load.join()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertFalse(first & set(server.worker_pids()))
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the old ones to end", QUICK)
        counts = self.wait_for_queue(waiting=0, running=0)
        self.assertEqual((counts["died"], counts["redispatched"]), (0, 0))

    def test_workers_that_joined_serve_and_leave(self):
        door = self.path("join")
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "--pass", "queue", "-l", "127.0.0.1:0", "-j", door,
            "-c", self.control, ready=False))
        line = server.wait_for_line(": ready, .* on ")
        server.addresses = [handoff.parse_address(re.search(" on ([^ ]+)", line).group(1))]
        client = self.open(server)
        client.send("info")
        self.assert_unanswered([client])
        leaving = self.joined(door)
        self.assertEqual(client.receive()["result"]["pid"], leaving.pid)
        client.send("slow")
        self.wait_for_queue(running=1)
        with clients_of(server.address) as load:
            for number in range(3):
                load.go_on()
                following = self.joined(door)
                leaving.kill(signal.SIGTERM)
                load.go_on()
                handoff.wait_for(lambda: following.pid in self.pids(server, 4), "the other", QUICK)
                if number == 0:
                    self.open_gate(self.slow)
                self.assertEqual(leaving.process.wait(QUICK), 0)
                leaving = following
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(client.receive(), {"out": "slow", "result": "opened"})
        self.assertEqual(client.result("info")["pid"], leaving.pid)

    def joined(self, door: str) -> handoff.Server:
        server = self.start(handoff.Server(WORKER, "-j", door, *self.command[1:], ready=False))
        server.wait_for_line("joined, on ")
        return server

    def pids(self, server, count: int) -> list[int]:
        with server.connect() as client:
            return [client.result("info")["pid"] for _ in range(count)]

    def test_an_upgrade_changes_all_and_the_connections_stay(self):
        server = self.launch(command=self.command)
        client, busy = self.clients(server, 2)
        address = client.socket.getsockname()
        old = {client.result("info")["pid"] for _ in range(4)}
        busy.send("slow")
        busy.send("ping", "behind")
        self.wait_for_queue(running=1)
        with clients_of(server.address) as load:
            load.go_on()
            server.kill(signal.SIGUSR2)
            line = server.wait_for_line("upgraded, pid [0-9]+ takes over")
            successor = int(re.search("pid ([0-9]+)", line).group(1))
            load.go_on()
            self.assertNotIn(client.result("info")["pid"], old)
            self.open_gate(self.slow)
            self.assertEqual(busy.receive(), {"out": "slow", "result": "opened"})
            self.assertEqual(busy.receive(), {"out": "pong", "result": "behind"})
            handoff.wait_for(lambda: handoff.children(server.pid) == [successor],
                             "the old workers to end", QUICK)
            load.go_on()
            self.assertNotIn(busy.result("info")["pid"], old)
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(client.socket.getsockname(), address)
        self.assertEqual(self.ask("status")["pid"], successor)
        self.assertEqual(server.stop(), 0)

    def test_term_finishes_what_runs_and_what_waits(self):
        server = self.launch(workers=1, command=[*self.command, "-C", "2"])
        idle, *busy = self.clients(server, 5)
        idle.result("ping")
        for client in busy:
            client.send("slow")
        self.wait_for_queue(running=2, waiting=2)
        server.kill(signal.SIGTERM)
        self.assertIsNone(idle.receive())
        self.assert_unanswered(busy)
        self.open_gate(self.slow)
        for client in busy:
            self.assertEqual(client.receive_last(), {"out": "slow", "result": "opened"})
            self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(QUICK), 0, server.lines)

    def test_a_second_term_is_immediate(self):
        server = self.launch(command=self.command)
        client = self.open(server)
        client.send("slow")
        self.wait_for_queue(running=1)
        workers = server.worker_pids()
        server.kill(signal.SIGTERM)
        self.assert_unanswered([client])
        server.kill(signal.SIGTERM)
        self.assertEqual(server.process.wait(QUICK), 124, server.lines)
        self.assertFalse(any(map(handoff.alive, workers)))
        with contextlib.suppress(ConnectionResetError):
            if reply := client.receive():
                self.assert_error(reply, WORKER_DIED)

    def test_when_the_master_dies_its_workers_finish_and_end(self):
        server = self.launch(command=self.command)
        client = self.open(server)
        client.send("slow")
        self.wait_for_queue(running=1)
        workers = server.worker_pids()
        server.kill(signal.SIGKILL)
        server.process.wait(QUICK)
        handoff.wait_for(lambda: sum(map(handoff.alive, workers)) == 1, "the idle one to end",
                         QUICK)
        self.open_gate(self.slow)
        handoff.wait_for(lambda: not any(map(handoff.alive, workers)), "the other to end", QUICK)

    def test_a_worker_that_hangs_holds_up_nothing_but_its_own(self):
        """Its memory is full of requests that it does not read; the other has room."""
        server = self.launch(command=[WORKER, "-m",
                                      "slow=" + self.waiting_at(self.path("gate.$PPID"))])
        hanging, other = server.worker_pids()
        gates = {pid: self.gate(f"gate.{pid}") for pid in (hanging, other)}
        clients = self.clients(server, 10)
        for client in clients:
            client.send("slow")
        for pid in (hanging, other):
            handoff.wait_for(lambda: len(handoff.children(pid)) == 5, "five on each", QUICK)
        self.open_gate(gates[hanging])
        self.wait_for_queue(running=5)
        handoff.stop_process(hanging)
        more = self.clients(server, 12)
        for client in more:
            client.send("echo", "x" * 900_000)
        by_socket = {client.socket: client for client in more}
        answered = 0

        def are_served():
            nonlocal answered
            for one in select.select(list(by_socket), [], [], 0)[0]:
                self.assertEqual(len(by_socket.pop(one).receive()["result"]), 900_000)
                answered += 1
            return answered >= 9
        try:
            handoff.wait_for(are_served, "all but what it has itself", QUICK)
        finally:
            os.kill(hanging, signal.SIGCONT)
        for client in by_socket.values():
            self.assertEqual(len(client.receive()["result"]), 900_000)
        self.open_gate(gates[other])


if __name__ == "__main__":
    handoff.run_tests()
