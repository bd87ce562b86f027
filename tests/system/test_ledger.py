# SPDX-License-Identifier: MIT
"""Workers that are killed, stopped or crash while clients are connected: who notices, and what. A
worker's ledger tells the master, handoff-wire(7)."""

import contextlib
import os
import pathlib
import random
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from ledger_case import KILLS, LEDGER_WORKER, LedgerTest, WORKER  # noqa: E402
import survivors  # noqa: E402
from survivors import Busy, Idle  # noqa: E402

NATIVE = handoff.BIN.parent / "tests/native_worker"


@handoff.only("connection", because="this is about connections that the master passes")
class Killed(LedgerTest):
    def test_after_twelve_kills_no_idle_client_is_lost_and_long_calls_get_an_error(self):
        server = self.master()
        idle, calls = Idle(self, server.address, 800), self.long_calls(server)
        with Busy(server.address, 4) as busy:
            self.go_through_kills(server, idle, calls)
        self.assertEqual(busy.problems, [])
        self.assertLessEqual(busy.lost(), KILLS)
        self.assertGreater(sum(busy.answered), 0)

    def test_kills_of_workers_with_three_threads_end_no_idle_connection(self):
        server = self.master(command=[WORKER, *survivors.SLOW, "--threads", "3"])
        self.go_through_kills(server, Idle(self, server.address, 200), self.long_calls(server))

    def test_each_framing_and_dialect_gets_the_error_with_its_id(self):
        server = self.master(workers=1)
        calls = self.long_calls(server)
        for _ in range(3):
            self.wait_for_commands(server, len(calls))
            pid = self.ready(1)[0]
            self.kill(pid)
            server.wait_for_line(rf"pid {pid}: 0 connections moved, {len(calls)} answered with an "
                                 "error, 0 closed")
            for call in calls:
                self.assertEqual(call.receive(), "died")
                self.assertEqual(call.call("ping"), "answered")
                call.begin()

    def test_a_call_that_has_an_id_too_long_for_the_ledger_ends_its_connection(self):
        server = self.master(workers=1)
        short, long = self.open(server), self.open(server)
        short.send("slow", id="i" * 57)
        long.send("slow", id="i" * 58)
        self.wait_for_commands(server, 2)
        self.kill(self.ready(1)[0])
        self.assertEqual(short.receive()["result"]["code"], survivors.WORKER_DIED)
        with contextlib.suppress(ConnectionResetError):
            self.assertIsNone(long.receive())

    def test_what_can_not_be_made_good_ends_and_nothing_else(self):
        server = self.master(workers=1)
        two, half, batch, fine = (self.open(server) for _ in range(4))
        two.send("slow", id=1)
        two.send("slow", id=2)
        half.socket.sendall(b"\x20\0\0\0{")
        batch.send_body(b'[{"jsonrpc":"2.0","method":"slow","id":1}]')
        self.assertEqual(fine.result("ping", 1), 1)
        self.wait_for_commands(server, 3)
        pid = self.ready(1)[0]
        self.kill(pid)
        for client in (two, half, batch):
            with contextlib.suppress(ConnectionResetError):
                self.assertIsNone(client.receive())
        server.wait_for_line(rf"pid {pid}: 1 connection moved, 0 answered with an error, 3 closed")
        self.assertEqual(fine.result("ping", 2), 2)

    def test_a_notification_that_is_interrupted_gets_no_reply(self):
        server = self.master(workers=1)
        client = self.open(server)
        client.send_body(b'{"jsonrpc":"2.0","method":"slow"}')
        self.wait_for_commands(server, 1)
        self.kill(self.ready(1)[0])
        client.send_body(b'{"jsonrpc":"2.0","method":"ping","id":7}')
        self.assertEqual(client.receive()["id"], 7)

    def test_a_client_that_has_closed_its_sending_side_still_gets_the_error_and_the_end(self):
        server = self.master(workers=1)
        client = self.open(server)
        client.send("slow", id=4)
        client.socket.shutdown(1)
        self.wait_for_commands(server, 1)
        self.kill(self.ready(1)[0])
        self.assertEqual(client.receive()["result"]["code"], survivors.WORKER_DIED)
        self.assertIsNone(client.receive())

    def test_with_one_call_at_a_time_what_waits_for_it_is_served_by_others(self):
        server = self.master(workers=2, command=[WORKER, "-C", "1", *survivors.SLOW])
        idle = Idle(self, server.address, 40)
        running = [self.open(server) for _ in range(2)]
        for client in running:
            client.send("slow")
        self.wait_for_commands(server, 2)
        idle.ping(idle.clients)
        pids = self.ready(2)
        self.assertFalse(any(handoff.unread(client.socket) for client in idle.clients))
        for pid in pids:
            self.kill(pid)
        for client in running:
            self.assertEqual(client.receive()["result"]["code"], survivors.WORKER_DIED)
        idle.answer(idle.clients)
        idle.check()

    def test_connections_of_balance_hash_wait_for_the_replacement_of_their_worker(self):
        server = self.master("-b", "hash")
        idle = Idle(self, server.address, 20)
        pid = idle.clients[0].result("info")["pid"]
        others = [each for each in self.ready() if each != pid]
        self.kill(pid)
        after = {client.result("info")["pid"] for client in idle.clients}
        self.assertEqual(len(after), 1)
        self.assertFalse(after & {pid, *others})
        with server.connect() as client:
            self.assertIn(client.result("info")["pid"], after)

    def test_the_third_worker_that_dies_of_a_connection_is_the_last_to_get_it(self):
        server = self.master(workers=1, command=[*LEDGER_WORKER, "die_with_the_first"])
        client = self.open(server)
        with contextlib.suppress(ConnectionResetError):
            self.assertIsNone(client.receive())
        server.wait_for_line(" 1 closed$")
        moved = [line for line in server.lines if "moved" in line]
        self.assertEqual([line.split(": ")[-1] for line in moved],
                         ["1 connection moved, 0 answered with an error, 0 closed"] * 2 +
                         ["0 connections moved, 0 answered with an error, 1 closed"])

    @unittest.skipUnless(NATIVE.exists(), "no native_worker")
    def test_a_native_handler_that_crashes_costs_its_call_alone(self):
        server = self.master(workers=1, command=[str(NATIVE)])
        crashing, other = self.open(server), self.open(server)
        self.assertEqual(other.result("ping", 1), 1)
        self.assertEqual(crashing.call("crashes", id=9)["result"]["code"], survivors.WORKER_DIED)
        self.assertEqual(crashing.result("ping", 2), 2)
        self.assertEqual(other.result("ping", 3), 3)
        server.wait_for_line(r"worker 1, pid \d+: signal ")

    def test_while_the_master_stops_the_idle_clients_of_a_killed_worker_see_the_end(self):
        server = self.master(workers=1)
        running, idle = self.open(server), self.open(server)
        idle.result("ping")
        running.send("slow", id=1)
        self.wait_for_commands(server, 1)
        pid = self.ready(1)[0]
        server.kill(signal.SIGTERM)
        self.assertIsNone(idle.receive())
        self.kill(pid)
        with contextlib.suppress(ConnectionResetError):
            self.assertIsNone(running.receive())
        self.assertEqual(server.process.wait(handoff.PATIENCE), 124)
        server.wait_for_line("ended with 1 connection cut off")

    def test_a_master_that_is_told_to_stop_while_it_moves_connections_ends_them_all(self):
        for _ in range(handoff.count(200, 5)):
            server = self.master("--drain-timeout", "200ms", workers=2)
            idle = Idle(self, server.address, 100)
            running = self.open(server)
            running.send("slow")
            os.kill(self.ready(2)[0], signal.SIGKILL)
            server.kill(signal.SIGTERM)
            self.assertIn(server.process.wait(handoff.PATIENCE), (0, 124))
            for client in (*idle.clients, running):
                with contextlib.suppress(ConnectionResetError):
                    while client.receive() is not None:
                        pass
                client.close()

    def test_connections_that_are_on_their_way_are_served_when_all_workers_die_at_once(self):
        server = self.master()
        for _ in range(handoff.count(100, 5)):
            pids = self.ready()
            for pid in pids:
                handoff.stop_process(pid)
            clients = [self.open(server) for _ in range(40)]
            for number, client in enumerate(clients):
                client.send("ping", number)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.assertEqual([client.receive()["result"] for client in clients], list(range(40)))


@handoff.only("connection", because="it names the model itself")
class Deposited(LedgerTest):
    """Workers that accept connections themselves deposit those that stay."""

    def master_of_depositors(self, *options: str, workers: int = 4, **more) -> handoff.Server:
        server = self.master("-p", "listener", *options, workers=workers, **more)
        self.ready(workers)
        handoff.wait_for(lambda: handoff.sleeps(server.pid), "the master to be at rest")
        return server

    def wait_for_deposits(self, server, descriptors: int, connections: int):
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) >= descriptors + connections,
                         "the master to have a copy of each connection")

    def test_what_is_older_than_a_second_is_safe_as_what_is_passed(self):
        server = self.master_of_depositors()
        descriptors = handoff.descriptor_count(server.pid)
        idle, calls = Idle(self, server.address, 800), self.long_calls(server)
        self.wait_for_deposits(server, descriptors, len(idle.clients) + len(calls))
        self.go_through_kills(server, idle, calls)

    def test_connections_accepted_by_three_threads_are_deposited_too(self):
        server = self.master_of_depositors(command=[WORKER, *survivors.SLOW, "--threads", "3"])
        descriptors = handoff.descriptor_count(server.pid)
        idle, calls = Idle(self, server.address, 200), self.long_calls(server)
        self.wait_for_deposits(server, descriptors, len(idle.clients) + len(calls))
        self.go_through_kills(server, idle, calls)

    def test_what_has_ended_leaves_no_copy(self):
        server = self.master_of_depositors(workers=2)
        descriptors = handoff.descriptor_count(server.pid)
        idle = Idle(self, server.address, 50)
        self.wait_for_deposits(server, descriptors, 50)
        for client in idle.clients:
            client.close()
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors,
                         "no copy to be left")

    def test_an_end_by_the_worker_is_seen_though_the_master_has_a_copy(self):
        server = self.master_of_depositors(
            workers=1, command=[WORKER, "--idle-timeout", "3s"])
        descriptors = handoff.descriptor_count(server.pid)
        client = self.open(server)
        client.result("ping")
        self.wait_for_deposits(server, descriptors, 1)
        self.assertIsNone(client.receive())

    def test_reloads_and_kills_together_lose_no_idle_client(self):
        server = self.master_of_depositors()
        descriptors = handoff.descriptor_count(server.pid)
        idle = Idle(self, server.address, 200)
        self.wait_for_deposits(server, descriptors, 200)
        for _ in range(KILLS):
            server.kill(signal.SIGHUP)
            handoff.wait_for(lambda: handoff.sleeps(server.pid), "the master to be at rest")
            victim = random.choice(self.ready())
            handoff.stop_process(victim)
            idle.send_some(8)
            self.kill(victim)
            idle.check()


@handoff.only("connection", because="this is about connections that the master passes")
class Stopped(LedgerTest):
    TIMEOUT = "2s"

    def test_no_idle_client_of_workers_that_hang_is_lost_and_long_calls_get_an_error(self):
        server = self.master("--hang-timeout", self.TIMEOUT)
        idle = Idle(self, server.address, 200)
        calls = self.long_calls(server)
        pids = self.ready()
        for pid in pids[:2]:
            handoff.stop_process(pid)
        idle.ping(idle.clients)
        idle.answer(idle.clients)
        for pid in pids[:2]:
            server.wait_for_line(rf"pid {pid}: no answer within {self.TIMEOUT}, killed")
            server.wait_for_line(rf"pid {pid}: \d+ connections moved, \d+ answered .*, 0 closed")
        for call in calls:
            call.begin_again_if_it_died()
        self.assertGreater(sum(call.errors for call in calls), 0)
        idle.check()


if __name__ == "__main__":
    handoff.run_tests()
