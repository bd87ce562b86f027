# SPDX-License-Identifier: MIT
"""A chain of four servers that forward, under load: the last one is killed, or stopped."""

import collections
import itertools
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    DIED, ForwardTest, QUICK, TIMED_OUT, UNREACHABLE, setUpModule)


class Load:
    """Clients that call `work` without a pause, each on a connection of its own, until they are
    stopped or have made so many calls. Each looks whether the reply is to its own params."""

    def __init__(self, server: handoff.Server, connections: int, calls: int | None = None):
        self.done = [0] * connections
        self.errors = [collections.Counter() for _ in range(connections)]
        self.problems: list[str] = []
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(server, number, calls), daemon=True)
            for number in range(connections)]
        for thread in self.threads:
            thread.start()

    def _run(self, server, number: int, calls):
        try:
            with server.connect() as client:
                for call in itertools.count() if calls is None else range(calls):
                    if self.stopped.is_set():
                        break
                    reply = client.call("work", [number, call])
                    if reply == {"out": "work", "result": [[number, call]]}:
                        self.done[number] += 1
                    elif reply and reply["out"] == "error":
                        self.errors[number][reply["result"]["code"]] += 1
                        self.stopped.wait(0.005)  # as a client should that was refused
                    else:
                        raise AssertionError(f"{[number, call]}: {reply}")
        except Exception as error:  # the test reads it
            self.problems.append(repr(error))

    def total_errors(self) -> collections.Counter:
        return sum(self.errors, collections.Counter())

    def wait_for_progress(self, calls: int, what: str):
        """Until each of the connections has had so many good replies more."""
        before = list(self.done)
        handoff.wait_for(
            lambda: self.problems or all(now >= then + calls
                                         for now, then in zip(self.done, before)), what)

    def finish(self):
        for thread in self.threads:
            thread.join(handoff.PATIENCE)
        if any(thread.is_alive() for thread in self.threads):
            self.problems.append("a client waits for ever")

    def stop(self):
        self.stopped.set()
        self.finish()


class Chain(ForwardTest):
    """Four servers, of which only the last one does the work."""

    CONNECTIONS = 64

    def start_chain(self, *options: str) -> list[handoff.Server]:
        self.options = options
        servers = [self.last()]
        for name, behind in (("c", "d"), ("b", "c"), ("a", "b")):
            servers.append(self.worker("-f", f"work={self.path(behind)}", "-m", "own=cat", *options,
                                       name=name))
        return servers[::-1]

    def last(self) -> handoff.Server:
        return self.worker("-k", "work=sed -u 's/.*/[&]/'", "--pool", "2", *self.options, name="d")

    def test_each_reply_is_to_its_own_call_and_none_is_lost(self):
        first, *_ = self.start_chain()
        calls = handoff.count(10000, 2000) // self.CONNECTIONS + 1
        load = Load(first, self.CONNECTIONS, calls)
        load.finish()
        self.assertEqual(load.problems, [])
        self.assertEqual(load.total_errors(), {})
        self.assertEqual(load.done, [calls] * self.CONNECTIONS)

    def test_when_the_last_one_is_killed_and_comes_back_so_do_the_calls(self):
        first, *_, last = self.start_chain("--timeout", "5s")
        load = Load(first, self.CONNECTIONS)
        for _ in range(handoff.count(5, 2)):
            load.wait_for_progress(5, "calls before the kill")
            errors = load.total_errors().total()
            last.kill(signal.SIGKILL)
            last.process.wait()
            handoff.wait_for(lambda: load.total_errors().total() >= errors + 2 * self.CONNECTIONS,
                             "the clients to notice")
            last = self.last()
            load.wait_for_progress(5, "calls after the restart")
        load.stop()
        self.assertEqual(load.problems, [])
        self.assertLessEqual(set(load.total_errors()), {DIED, UNREACHABLE, TIMED_OUT})
        self.assert_recovered(first)

    def test_when_the_last_one_is_stopped_the_deadline_answers_and_others_stay_quick(self):
        servers = self.start_chain("--timeout", "500ms")
        first, last = servers[0], servers[-1]
        load = Load(first, self.CONNECTIONS)
        load.wait_for_progress(5, "calls before the stop")
        before = load.total_errors().total()
        self.stop(last.pid)
        others = [self.open(server) for server in servers[:-1]]
        slowest = 0.0

        def has_each_had_two_deadlines() -> bool:
            nonlocal slowest
            for client in others:
                started = time.monotonic()
                self.assertEqual(client.result("ping", 1), 1)
                self.assertEqual(client.result("ping", 2), 2)
                slowest = max(slowest, time.monotonic() - started)
            return all(errors.total() >= 2 for errors in load.errors)

        handoff.wait_for(has_each_had_two_deadlines, "each client to have had its deadline twice")
        self.assertLess(slowest, QUICK)
        self.assertGreater(load.total_errors().total(), before)
        last.kill(signal.SIGCONT)
        load.wait_for_progress(5, "calls after the stop")
        load.stop()
        self.assertEqual(load.problems, [])
        self.assertLessEqual(set(load.total_errors()), {TIMED_OUT})
        self.assert_recovered(first)

    def assert_recovered(self, server: handoff.Server):
        load = Load(server, self.CONNECTIONS, 5)
        load.finish()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(load.done, [5] * self.CONNECTIONS)


if __name__ == "__main__":
    handoff.run_tests()
