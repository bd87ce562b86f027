# SPDX-License-Identifier: MIT
"""What clients notice while workers are replaced: nothing. By a reload, by scaling, by workers
that leave; and what is left when all is stopped."""

import contextlib
import os
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from framings import Lines  # noqa: E402
from load import Load, one_shot  # noqa: E402
from reload_case import TestCase, encode  # noqa: E402


class MixedLoad(Load):
    """Clients with a new connection for each call, and clients that keep theirs. Those speak each
    framing and dialect, and ask which worker answers them."""

    KINDS = ("frames", "lines", "json-rpc", "json-rpc lines")
    PIPELINED = 8

    def __init__(self, address, one_shots: int = 16, keepers: int = 16):
        super().__init__([one_shot(address)] * one_shots + [self._call_on] * keepers)
        self.address = address
        self.pids: set[int] = set()  # of workers that have answered
        self.at: dict[int, int] = {}  # who has answered a client last that keeps its connection

    def _call_on(self, _, number: int):
        kind = self.KINDS[number % len(self.KINDS)]
        with (Lines if "lines" in kind else handoff.Connection)(self.address) as client:
            port = client.socket.getsockname()
            sequence = 0
            while not self.is_over():
                numbers = range(sequence, sequence + self.PIPELINED)
                sequence += self.PIPELINED
                for one in numbers:
                    client.send_body(self._request(kind, "ping", one))
                client.send_body(self._request(kind, "info", sequence))
                replies = [client.receive() for _ in range(self.PIPELINED + 1)]
                if "json-rpc" in kind:  # each comes as soon as it is ready
                    replies.sort(key=lambda reply: reply["id"])
                for one, reply in zip(numbers, replies):
                    self._check(kind, reply, one)
                self.at[number] = replies[-1]["result"]["pid"]
                self.pids.add(self.at[number])
                self.answered[number] += 1
            if client.socket.getsockname() != port:
                raise AssertionError("another connection")

    @staticmethod
    def _request(kind: str, method: str, number: int) -> bytes:
        return encode(method, [number], number if "json-rpc" in kind else None)

    @staticmethod
    def _check(kind: str, reply, number: int):
        right = {"out": "pong", "result": [number]}
        if "json-rpc" in kind:
            right = {"jsonrpc": "2.0", "result": [number], "id": number}
        if reply != right:
            raise AssertionError(f"{reply} for {number}")


class UnderLoad(TestCase):
    def test_reloads_cost_no_client_anything(self):
        server = self.start_master(workers=2)
        started = time.monotonic()
        reloads = handoff.count(100, 5)
        with MixedLoad(server.address) as load:
            load.go_on(1)
            for number in range(reloads):
                old = set(server.worker_pids())
                if number % 2:
                    self.control.result("reload")
                else:
                    seen = len(server.lines)
                    server.kill(signal.SIGHUP)
                    server.wait_for_line("reloaded, 2 workers", after=seen)
                handoff.wait_for(lambda: not any(map(handoff.alive, old)),
                                 "the old workers to leave while their clients stay")
                # The first round may have begun before they left.
                load.go_on(2)
                self.assertEqual(load.problems, [])
                self.assertEqual(len(load.at), 16)
                new = set(server.worker_pids())
                self.assertEqual(new & old, set())
                self.assertLessEqual(set(load.at.values()), new)
        self.assertEqual(load.problems, [])
        self.assertGreaterEqual(len(load.pids), 2 * reloads)
        self.assertEqual(self.control.result("status")["last_reload_problem"], None)
        self.assertEqual(server.stop(), 0)
        print(f"{reloads} reloads: {sum(load.answered)} rounds of calls in "
              f"{time.monotonic() - started:.1f} s, 0 failures", file=sys.stderr)

    def test_scaling_costs_no_client_anything(self):
        server = self.start_master(workers=1)
        with MixedLoad(server.address, one_shots=6, keepers=6) as load:
            for _ in range(handoff.count(100, 3)):
                for count in (4, 2, 5, 1):
                    self.assertEqual(self.control.result("scale", {"workers": count}),
                                     {"workers": count})
                    handoff.wait_for(lambda: len(server.worker_pids()) == count
                                     and len(self.serving()) == count, f"{count} workers")
                load.go_on(1)
        self.assertEqual(load.problems, [])

    def test_workers_that_are_terminated_are_replaced_and_lose_nothing(self):
        server = self.start_master(workers=2)
        with MixedLoad(server.address, one_shots=4, keepers=8) as load:
            for _ in range(handoff.count(500, 5)):
                pid = server.worker_pids()[0]
                os.kill(pid, signal.SIGTERM)
                handoff.wait_for(lambda: not handoff.alive(pid) and len(self.serving()) == 2,
                                 "the worker to be replaced")
                load.go_on(1)
        self.assertEqual(load.problems, [])
        self.assertFalse([line for line in server.lines if "signal" in line or "killed" in line])

    def test_workers_that_have_had_their_number_of_requests_are_replaced(self):
        server = self.start_master(
            workers=2, command=[handoff.tool("rpc-worker"), "--max-requests", "50,20"])
        with MixedLoad(server.address, one_shots=4, keepers=4) as load:
            handoff.wait_for(lambda: load.problems or len(load.pids) >= handoff.count(200, 8),
                             "several workers to have answered")
        self.assertEqual(load.problems, [])
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the last of them to leave")

    def test_workers_that_have_lived_long_are_replaced(self):
        server = self.start_master(
            workers=2, command=[handoff.tool("rpc-worker"), "--max-lifetime", "100ms"])
        with MixedLoad(server.address, one_shots=2, keepers=4) as load:
            handoff.wait_for(lambda: load.problems or len(load.pids) >= handoff.count(200, 8),
                             "several workers to have answered")
        self.assertEqual(load.problems, [])
        self.assertTrue(server.worker_pids())

    def test_reloads_that_overlap_do_not_pile_up(self):
        server = self.start_master(workers=2)
        most = 0
        with MixedLoad(server.address, one_shots=2, keepers=4) as load:
            for _ in range(20):
                server.kill(signal.SIGHUP)
                most = max(most, len(server.worker_pids()))
            askers = [threading.Thread(target=self.ask_for_reload) for _ in range(8)]
            self.reload_replies = []
            for asker in askers:
                asker.start()
            while any(asker.is_alive() for asker in askers):
                most = max(most, len(server.worker_pids()))
            for asker in askers:
                asker.join()
            handoff.wait_for(lambda: self.control.result("status")["state"] == "ready"
                             and len(server.worker_pids()) == 2, "the last of them to be done")
        self.assertEqual(load.problems, [])
        self.assertEqual(self.reload_replies, [{"workers": 2}] * 8)
        generations = sum(line.endswith(": reloading") for line in server.lines)
        self.assertLessEqual(generations, 20)
        # One that serves, one that starts, and those that still drain.
        self.assertLessEqual(most, 4 * 2)
        started = sum(line.endswith(": started") for line in server.lines)
        self.assertEqual(started, 2 * (1 + generations))

    def ask_for_reload(self):
        with handoff.Connection(self.control_path) as control:
            self.reload_replies.append(control.result("reload"))

    def test_eight_reloads_at_once_are_two(self):
        """The first, and one for all that came while it ran."""
        server = self.start_master(workers=1)
        # They are there, all of them, before the master sees the first.
        handoff.stop_process(server.pid)
        askers = [self.stack.enter_context(handoff.Connection(self.control_path))
                  for _ in range(8)]
        for asker in askers:
            asker.send("reload")
        server.kill(signal.SIGCONT)
        self.assertEqual([asker.receive()["result"] for asker in askers], [{"workers": 1}] * 8)
        self.assertLessEqual(sum(line.endswith(": reloading") for line in server.lines), 2)


class Stopping(TestCase):
    def test_a_stop_under_load_answers_each_call_at_most_once(self):
        server = self.start_master(workers=2)
        clients = [Caller(server.address) for _ in range(16)]
        for client in clients:
            client.start()
        handoff.wait_for(lambda: all(client.received > 20 for client in clients), "some load")
        server.kill(signal.SIGTERM)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        for client in clients:
            client.join(handoff.PATIENCE)
            self.assertFalse(client.is_alive(), "nobody hangs")
            self.assertIsNone(client.problem)
            self.assertLessEqual(client.received, client.sent)
        with self.assertRaises(ConnectionRefusedError):
            handoff.Connection(server.address)

    def test_a_stop_during_a_reload_ends_the_new_workers_too(self):
        """The new workers leave too."""
        server = self.start_master(workers=2)
        client = self.open(server)
        client.result("ping")
        server.kill(signal.SIGHUP)
        server.wait_for_line(": reloading")
        self.assertEqual(server.stop(), 0)
        self.assertIsNone(client.receive())

    def test_past_the_deadline_what_hangs_is_cut_off_and_counted(self):
        server = self.start_slow("--drain-timeout", "200ms", workers=2)
        hanging = self.open(server)
        hanging.send("slow")
        self.wait_until_slow_runs()
        clients = [Caller(server.address) for _ in range(8)]
        for client in clients:
            client.start()
        handoff.wait_for(lambda: all(client.received > 20 for client in clients), "some load")
        self.assertEqual(server.stop(), 124)
        for client in clients:
            client.join(handoff.PATIENCE)
            self.assertIsNone(client.problem)
        server.wait_for_line("ended with 1 connection cut off and 1 worker killed")


class Caller(threading.Thread):
    """Keeps requests on their way until the server ends the connection."""

    AHEAD = 8

    def __init__(self, address):
        super().__init__(daemon=True)
        self.client = handoff.Connection(address)
        self.sent = 0
        self.received = 0
        self.problem = None

    def run(self):
        with self.client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                while self.sent < self.received + self.AHEAD:
                    self.sent += 1
                    self.client.send("ping", self.sent)
                reply = self.client.receive()
                if reply is None:
                    return
                self.received += 1
                reply.pop("last", None)  # the server stops
                if reply != {"out": "pong", "result": self.received}:
                    self.problem = f"{reply} as reply {self.received}"
                    return


if __name__ == "__main__":
    handoff.run_tests()
