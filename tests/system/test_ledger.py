# SPDX-License-Identifier: MIT
"""Workers that are killed, stopped or crash while clients are connected: who notices, and what. A
worker's ledger tells the master, handoff-wire(7)."""

import contextlib
import os
import pathlib
import random
import re
import resource
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import survivors  # noqa: E402
from survivors import Busy, Idle, LongCall  # noqa: E402

NATIVE = handoff.BIN.parent / "tests/native_worker"
WORKER = handoff.tool("rpc-worker")
LEDGER_WORKER = (sys.executable, "-B", str(handoff.ROOT / "tests/support/ledger_worker.py"))
PLAIN_WORKER = str(handoff.ROOT / "tests/support/plain_worker.py")
AT_ONCE = ("--backoff", "1ms:20ms")
KILLS = handoff.count(200, 12)


class LedgerTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.need_descriptors(4000)
        self.control = str(self.directory / "control")

    def master(self, *options: str, workers: int = 4, command=(WORKER, *survivors.SLOW), **more):
        return self.start(handoff.master("-c", self.control, *AT_ONCE, *options, workers=workers,
                                         command=list(command), **more))

    def ready(self, workers: int = 4) -> list[int]:
        """The process ids of that many workers, once they are ready and have nothing to do."""
        def all_ready():
            pids = survivors.ready_workers(self.control)
            return pids if len(pids) == workers else None
        pids = handoff.wait_for(all_ready, f"{workers} workers")
        for pid in pids:
            handoff.wait_for(lambda: handoff.sleeps(pid), "a worker to have nothing to do")
        return pids

    def long_calls(self, server) -> list[LongCall]:
        calls = [LongCall(self, server.address, kind) for kind in LongCall.KINDS]
        for call in calls:
            call.begin()
        return calls

    def wait_for_commands(self, server, count: int):
        """So many calls run: their entries say so."""
        handoff.wait_for(lambda: sum(len(handoff.children(pid)) for pid in server.worker_pids())
                         >= count, f"{count} commands")

    @staticmethod
    def kill(pid: int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(pid), "the worker to be dead")


@handoff.only("connection", because="this is about connections that the master passes")
class Killed(LedgerTest):
    def test_after_twelve_kills_no_idle_client_is_lost_and_long_calls_get_an_error(self):
        server = self.master()
        self.go_through_kills(server, Idle(self, server.address, 800), self.long_calls(server))

    def test_it_is_the_same_with_three_threads(self):
        server = self.master(command=[WORKER, *survivors.SLOW, "--threads", "3"])
        self.go_through_kills(server, Idle(self, server.address, 200), self.long_calls(server))

    def go_through_kills(self, server, idle: Idle, calls: list[LongCall]):
        descriptors = handoff.descriptor_count(server.pid)
        with Busy(server.address, 4) as busy:
            for _ in range(KILLS):
                victim = random.choice(self.ready())
                handoff.stop_process(victim)
                idle.send_some(8)
                self.kill(victim)
                idle.check()
                for call in calls:
                    call.begin_again_if_it_died()
        self.assertEqual(busy.failures, [])
        self.assertLessEqual(busy.lost, KILLS)
        self.assertGreater(busy.answered, 0)
        self.assertGreater(sum(call.errors for call in calls), 0)
        for pid in self.ready():
            self.kill(pid)
        for call in calls:
            self.assertEqual(call.receive(), "died")
            self.assertEqual(call.call("ping"), "answered")
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors + 8,
                         "no descriptor to be left")

    def test_each_framing_and_dialect_gets_the_error_with_its_id(self):
        server = self.master(workers=1)
        calls = self.long_calls(server)
        for _ in range(3):
            self.wait_for_commands(server, len(calls))
            pid = self.ready(1)[0]
            self.kill(pid)
            server.wait_for_line(rf"pid {pid}: {len(calls)} connections moved, {len(calls)} "
                                 "answered with an error, 0 closed")
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

    def test_with_balance_hash_they_wait_for_the_replacement_of_theirs(self):
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


@handoff.only("connection", because="this is about connections that the master passes")
class AmongOthers(LedgerTest):
    """Kills while workers and masters are replaced for other reasons."""

    def master_of(self, server) -> int:
        with handoff.Connection(self.control) as client:
            return client.result("status")["pid"]

    def kill_stopped(self, victims, idle: Idle):
        """So that what is sent meanwhile waits, or goes to another that lives. Some may be gone."""
        idle.answer_waiting()
        for victim in victims:
            handoff.wait_for(lambda: handoff.sleeps(victim), "a worker to have nothing to do")
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                handoff.stop_process(victim)
        idle.send_some(8)
        for victim in victims:
            self.kill(victim)

    def kill_among(self, *signals: int, upgrades: int = 0):
        server = self.master()
        idle = Idle(self, server.address, 200)
        calls = self.long_calls(server)
        chance = random.Random(5)
        for number in range(KILLS):
            workers = 4 + (number % 2 if signal.SIGTTIN in signals else 0)
            victims = self.ready(workers)
            if signals:
                server.kill(signals[number % len(signals)])
            self.kill_stopped(chance.sample(victims, 2), idle)
            idle.check()
            for call in calls:
                call.begin_again_if_it_died()
        self.assertGreater(sum(call.errors for call in calls), 0)
        idle.check()

    def test_reloads_lose_no_idle_client(self):
        self.kill_among(signal.SIGHUP)

    def test_more_and_fewer_workers_lose_no_idle_client(self):
        self.kill_among(signal.SIGTTIN, signal.SIGTTOU)

    def test_upgrades_lose_no_idle_client(self):
        server = self.master()
        idle = Idle(self, server.address, 200)
        for number in range(handoff.count(50, 3)):
            victims = self.ready()
            old = self.master_of(server)
            server.kill(signal.SIGUSR2)
            self.kill_stopped(victims[:2], idle)
            handoff.wait_for(lambda: self.serving_master() not in (0, old), "the new master")
            self.kill_stopped(victims[2:], idle)
            idle.check()

    def serving_master(self) -> int:
        with contextlib.suppress(OSError, AssertionError):
            return self.master_of(None)
        return 0


@handoff.only("connection", because="workers that join are passed connections")
class Joined(LedgerTest):
    def setUp(self):
        super().setUp()
        self.door = str(self.directory / "join")

    def joined(self) -> handoff.Server:
        worker = self.start(handoff.Server(WORKER, "-j", self.door, *survivors.SLOW, ready=False))
        handoff.wait_for(lambda: worker.pid in survivors.ready_workers(self.control), "it to join")
        return worker

    def master_with_joined(self, *options: str) -> handoff.Server:
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-n", "0", "-j", self.door, "-c",
            self.control, *options, ready=False))
        line = server.wait_for_line("ready, 0 workers, on ")
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        return server

    def test_a_killed_one_loses_no_idle_client_and_its_long_calls_get_an_error(self):
        server = self.master_with_joined()
        first = self.joined()
        idle = Idle(self, server.address, 100)
        calls = self.long_calls(server)
        handoff.wait_for(lambda: len(handoff.children(first.pid)) >= len(calls), "the commands")
        handoff.wait_for(lambda: handoff.sleeps(first.pid), "the worker to have nothing to do")
        self.joined()
        self.kill(first.pid)
        for call in calls:
            self.assertEqual(call.receive(), "died")
        idle.check()

    def test_one_that_is_left_alone_keeps_its_call_and_the_others_are_served(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.master_with_joined("--drain-timeout", "300ms")
        first = self.start(handoff.Server(WORKER, "-j", self.door, "-m", f"held=cat {gate}",
                                          ready=False))
        handoff.wait_for(lambda: first.pid in survivors.ready_workers(self.control), "it to join")
        idle = Idle(self, server.address, 20)
        client = self.open(server)
        client.send("held", id=2)
        handoff.wait_for(lambda: handoff.children(first.pid), "the command")
        self.joined()
        with handoff.Connection(self.control) as control:
            status = control.result("status")
            number = next(worker["worker"] for worker in status["workers"]
                          if worker["pid"] == first.pid)
            control.result("drain", {"worker": number})
        server.wait_for_line(rf"pid {first.pid}: still there after 300ms, left alone with 1 conn")
        idle.check()
        gate.write_text("1")
        self.assertEqual(client.receive(), {"out": "held", "id": 2, "result": 1})


@handoff.only("connection", because="this is about connections that the master passes")
class Unkept(LedgerTest):
    """Connections of which the master keeps no copy: they end with their worker, and all else is
    as it should be."""

    def test_without_memory_for_ledgers_workers_are_served_as_before(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        server = self.master(workers=2, preexec_fn=limit)
        clients = [self.open(server) for _ in range(10)]
        pids = [client.result("info")["pid"] for client in clients]
        self.kill(pids[0])
        for client, pid in zip(clients, pids):
            if pid == pids[0]:
                with contextlib.suppress(ConnectionResetError):
                    self.assertIsNone(client.receive())
            else:
                self.assertEqual(client.result("ping", 1), 1)
        self.assert_said_once(server, "File too large")

    def test_near_its_descriptor_limit_it_says_how_many_it_can_keep_and_keeps_those(self):
        server = self.master(workers=2)
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (300, hard))
        idle = Idle(self, server.address, 400)
        said = self.assert_said_once(server, "the limit of 300 open files has room for")
        kept = int(re.search(r"room for (\d+) copies", said).group(1))
        for pid in self.ready(2):
            self.kill(pid)
        idle.ping(idle.clients)
        alive = 0
        for client in idle.clients:
            with contextlib.suppress(ConnectionError):
                alive += client.receive() is not None
        self.assertEqual(alive, kept, server.lines)

    def assert_said_once(self, server, what: str) -> str:
        server.wait_for_line("cannot keep a copy of each connection: .*" + what)
        said = [line for line in server.lines if "cannot keep a copy" in line]
        self.assertEqual(len(said), 1, said)
        return said[0]

    def test_a_worker_without_a_ledger_takes_along_what_it_has_started(self):
        server = self.start(handoff.master(
            "--handshake", "none", "-c", self.control, *AT_ONCE, workers=1,
            command=[sys.executable, "-B", PLAIN_WORKER]))
        client = self.open(server)
        self.kill(client.result("pid"))
        with contextlib.suppress(ConnectionResetError):
            self.assertIsNone(client.receive())
        self.assertFalse([line for line in server.lines if "cannot keep" in line])


@handoff.only("connection", because="this is about connections that the master passes")
class Hostile(LedgerTest):
    def test_random_bytes_over_a_ledger_harm_no_connection_of_another_worker(self):
        for seed in range(handoff.count(200, 3)):
            with self.subTest(seed):
                self.assert_harmless("scribble", str(seed), "10")

    def assert_harmless(self, *deed: str):
        server = self.master(workers=2, command=[*LEDGER_WORKER, *deed, "--", WORKER])
        _, honest = self.ready(2)
        clients = [self.open(server) for _ in range(20)]
        for client in clients:
            client.send("info")
        server.wait_for_line(r"worker 1, pid \d+: signal 9")
        server.wait_for_line(r"worker 1, pid \d+: \d+ connections? moved")
        handoff.wait_for(lambda: sum(handoff.unread(client.socket) > 0 for client in clients) >= 10,
                         "half of them to be answered")
        served = 0
        for client in clients:
            # The others may see anything, and those that move may go to the same again.
            if handoff.unread(client.socket) and client.receive()["result"].get("pid") == honest:
                self.assertEqual(client.result("ping", 2), 2)
                served += 1
        self.assertGreaterEqual(served, 10)
        for client in clients:
            client.close()
        self.ready(2)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
