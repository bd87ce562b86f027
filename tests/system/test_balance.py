# SPDX-License-Identifier: MIT
"""Which worker gets a connection (--balance), also after workers were replaced."""

import os
import pathlib
import select
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from reload_case import TestCase  # noqa: E402


@handoff.only("connection", because="nobody is chosen")
class Balance(TestCase):
    def held(self) -> dict:
        return {one["worker"]: one["connections"] for one in self.workers()}

    def test_least_evens_out_long_connections(self):
        server = self.start_master("--balance", "least", workers=3)
        clients = [self.open(server) for _ in range(12)]
        numbers = self.serving()
        at = [numbers[self.pid_of(client)] for client in clients]
        self.assertEqual(sorted(at), sorted([1, 2, 3] * 4))
        for client, number in zip(clients, at):
            if number == 1:
                client.close()
        handoff.wait_for(lambda: self.held() == {1: 0, 2: 4, 3: 4}, "worker 1 to have none")
        fresh = [self.open(server) for _ in range(4)]
        self.assertEqual({numbers[self.pid_of(client)] for client in fresh}, {1})
        self.assertEqual(self.held(), {1: 4, 2: 4, 3: 4})

    def test_among_those_that_hold_as_few_least_chooses_the_one_with_the_fewest_calls(self):
        server = self.start_slow("--balance", "least", workers=2)
        first, second = [self.open(server) for _ in range(2)]
        pids = [self.pid_of(client) for client in (first, second)]
        self.assertEqual(set(pids), set(server.worker_pids()))
        first.send("slow")
        self.wait_until_slow_runs()
        third = self.open(server)
        self.assertEqual(self.pid_of(third), pids[1], "though it is the other's turn")
        self.let_slow_end()
        first.receive()

    def test_least_gives_nothing_to_one_that_does_not_start_what_it_has(self):
        server = self.start_master("--balance", "least", workers=2)
        stopped, other = server.worker_pids()
        handoff.stop_process(stopped)
        handoff.wait_for(lambda: self.held() == {1: 0, 2: 0}, "both to be idle")
        clients = [self.open(server) for _ in range(2)]
        for client in clients:
            client.send("info")
        served, _, _ = select.select([client.socket for client in clients], [], [],
                                     handoff.PATIENCE)
        self.assertEqual(len(served), 1)
        # The other has one too, which it has started; among equals it goes in turn.
        busy = [client for client in clients if client.socket in served]
        for client in busy:
            self.assertEqual(client.receive()["result"]["pid"], other)
            client.close()
            clients.remove(client)
        for _ in range(20):
            handoff.wait_for(lambda: self.held() == {1: 1, 2: 0}, "the last client to be gone")
            with server.connect() as client:
                self.assertEqual(self.pid_of(client), other)
        os.kill(stopped, signal.SIGCONT)
        self.assertEqual([client.receive()["result"]["pid"] for client in clients], [stopped])

    def test_hash_gives_an_address_to_the_same_worker_also_after_a_reload(self):
        server = self.start_master("--balance", "hash", workers=4)
        hosts = [f"127.0.0.{number}" for number in range(2, 42)]
        first = self.numbers_of(server, hosts)
        self.assertEqual(self.numbers_of(server, reversed(hosts)), first)
        shares = [sum(number == one for one in first.values()) for number in (1, 2, 3, 4)]
        self.assertGreater(min(shares), 0, f"all of them are used: {shares}")
        self.reload(server)
        self.assertEqual(self.numbers_of(server, hosts), first)
        # When one goes, only its own addresses move.
        self.control.result("scale", {"workers": 3})
        handoff.wait_for(lambda: len(server.worker_pids()) == 3, "a worker to leave")
        after = self.numbers_of(server, hosts)
        for host in hosts:
            if first[host] != 4:
                self.assertEqual(after[host], first[host])

    def test_hash_keeps_long_connections_with_their_worker_number(self):
        server = self.start_master("--balance", "hash", workers=4)
        clients = []
        for number in range(2, 18):
            client = self.open(server)
            client.close()
            client.socket = self.stack.enter_context(socket.create_connection(
                server.address, handoff.PATIENCE, (f"127.0.0.{number}", 0)))
            clients.append(client)
        numbers = self.serving()
        first = [numbers[self.pid_of(client)] for client in clients]
        self.reload(server)
        numbers = self.serving()
        self.assertEqual([numbers[self.pid_of(client)] for client in clients], first)

    def numbers_of(self, server, hosts) -> dict:
        """Which worker serves which address."""
        numbers = self.serving()
        found = {}
        for host in hosts:
            with server.connect() as client:
                client.close()
                client.socket = socket.create_connection(server.address, handoff.PATIENCE,
                                                         (host, 0))
                found[host] = numbers[self.pid_of(client)]
        return found


if __name__ == "__main__":
    handoff.run_tests()
