# SPDX-License-Identifier: MIT
"""Workers that die while others are replaced, that have joined, of whose connections the master has
no copy, or that lie in their ledger."""

import contextlib
import os
import pathlib
import random
import re
import resource
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import survivors  # noqa: E402
from survivors import Idle  # noqa: E402
from ledger_case import AT_ONCE, KILLS, LEDGER_WORKER, LedgerTest, WORKER  # noqa: E402

PLAIN_WORKER = str(handoff.ROOT / "tests/support/plain_worker.py")


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
            if handoff.unread(client.socket) and self.served_by(client) == honest:
                self.assertEqual(client.result("ping", 2), 2)
                served += 1
        self.assertGreaterEqual(served, 10)
        for client in clients:
            client.close()
        self.ready(2)
        self.assertEqual(server.stop(), 0)

    @staticmethod
    def served_by(client) -> int | None:
        with contextlib.suppress(OSError, EOFError, ValueError):
            return client.receive()["result"].get("pid")
        return None


if __name__ == "__main__":
    handoff.run_tests()
