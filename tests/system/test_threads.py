# SPDX-License-Identifier: MIT
"""rpc-worker --threads: several reactors in one process, and the same promises to clients."""

import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from load import Load  # noqa: E402

THREADS = 3
# Each thread has a coprocess of its own, which tells them apart.
WHO = ("-k", "who=while read -r line; do echo $$; done")


def thread_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def caller(server, calls: int, method: str = "echo"):
    """A client of a Load that makes so many calls."""
    def call(load: Load, number: int):
        with server.connect() as client:
            while not load.is_over() and load.answered[number] < calls:
                params = [number, load.answered[number]]
                given = client.result(method, params)
                if given != params:
                    raise AssertionError(f"{given} for {params}")
                load.answered[number] += 1
    return call


class Threads(handoff.TestCase):
    def slow(self) -> str:
        """A method that is done once the gate is there."""
        self.gate = self.directory / "gate"
        return f"slow=while ! [ -e {self.gate} ]; do sleep 0.01; done; echo 1"

    def test_connections_are_spread_over_them(self):
        server = self.start(handoff.worker("--threads", str(THREADS), *WHO))
        if not handoff.SANITIZED:  # which may have a thread of its own
            self.assertEqual(thread_count(server.pid), THREADS)
        clients = [self.open(server) for _ in range(4 * THREADS)]
        seen = [client.result("who") for client in clients]
        self.assertEqual(sorted(seen.count(pid) for pid in set(seen)), [4] * THREADS)
        for client, pid in zip(clients, seen):
            self.assertEqual(client.result("who"), pid, "a connection stays where it is")

    def test_one_call_for_each_does_not_hold_up_what_takes_no_time(self):
        server = self.start(handoff.worker("--threads", "2", "-C", "2", "-m", self.slow()))
        client = self.open(server)
        client.send("slow", id=1)
        client.send("slow", id=2)
        self.assertEqual(client.call("ping", 3, id=3)["id"], 3)
        self.gate.touch()

    def test_requests_of_a_queue_are_spread_over_them(self):
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-p", "queue", "-n", "1", "--",
            handoff.tool("rpc-worker"), "--threads", str(THREADS), *WHO))
        client = self.open(server)
        self.assertEqual(len({client.result("who") for _ in range(4 * THREADS)}), THREADS)

    @unittest.skipIf(handoff.SANITIZED, "the sanitizer may have a thread of its own")
    def test_one_thread_is_the_usual_process(self):
        server = self.start(handoff.worker())
        self.assertEqual(thread_count(server.pid), 1)

    def test_every_reply_goes_to_its_caller_while_workers_are_replaced(self):
        for words in ((), ("--io-threads", "2")):
            if words and handoff.PASS != "queue":
                continue
            with self.subTest(words):
                server = self.start(handoff.master(
                    *words, workers=2,
                    command=[handoff.tool("rpc-worker"), "--threads", "2", "-m", "cat=cat"]))
                calls = {"echo": handoff.count(20000, 2000), "cat": handoff.count(500, 50)}
                with Load([caller(server, calls["echo"])] * 8 +
                          [caller(server, calls["cat"], "cat")] * 2) as load:
                    for _ in range(handoff.count(50, 3)):
                        seen = len(server.lines)
                        server.kill(signal.SIGHUP)
                        server.wait_for_line("reloaded, 2 workers", after=seen)
                    load.join()
                self.assertEqual(load.problems, [])
                self.assertEqual(load.answered, [calls["echo"]] * 8 + [calls["cat"]] * 2)
                self.assertEqual(server.stop(), 0)

    def test_concurrency_is_that_of_all_together(self):
        server = self.start(handoff.worker("--threads", "2", "-C", "2", "-m", self.slow()))
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            client.send("slow", None)
        handoff.wait_for(lambda: len(self.commands(server)) == 2, "two commands to run")
        with self.assertRaises(AssertionError):
            handoff.wait_for(lambda: len(self.commands(server)) > 2, "a third", patience=0.5)
        self.gate.touch()
        for client in clients:
            self.assertEqual(client.receive(), {"out": "slow", "result": 1})

    @staticmethod
    def commands(server) -> list[int]:
        tasks = pathlib.Path(f"/proc/{server.pid}/task").glob("*/children")
        pids = [int(word) for task in tasks for word in task.read_text().split()]
        return [pid for pid in pids if not handoff.is_guard(pid)]

    def test_the_most_requests_are_those_of_all_together(self):
        server = self.start(handoff.master(
            workers=1, command=[handoff.tool("rpc-worker"), "--threads", "4",
                                "--max-requests", "400"]))
        client = self.open(server)
        first = client.result("info")["pid"]
        for _ in range(398):
            self.assertEqual(client.result("info")["pid"], first)
        handoff.wait_for(lambda: client.result("info")["pid"] != first, "another worker")

    def test_term_waits_for_what_runs_on_any_of_them(self):
        server = self.start(handoff.worker("--threads", "2", "-m", self.slow()))
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            client.send("slow", None)
        handoff.wait_for(lambda: len(self.commands(server)) == 4, "all commands to run")
        server.kill(signal.SIGTERM)
        self.gate.touch()
        for client in clients:
            self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
            self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)


if __name__ == "__main__":
    handoff.run_tests()
