# SPDX-License-Identifier: MIT
"""A chain of four servers that forward, under load: the last one is killed, or stopped."""

import itertools
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    DIED, ForwardTest, QUICK, TIMED_OUT, UNREACHABLE, setUpModule)
from load import Load  # noqa: E402


def caller(server: handoff.Server, calls: int | None = None):
    """A client of a Load that calls `work`, so many times or without end."""
    def call(load: Load, number: int):
        with server.connect() as client:
            for params in ([number, count] for count in itertools.count()):
                if load.is_over() or params[1] == calls:
                    break
                reply = client.call("work", params)
                if reply == {"out": "work", "result": [params]}:
                    load.answered[number] += 1
                elif reply and reply["out"] == "error":
                    load.errors[number][reply["result"]["code"]] += 1
                    load.is_over(0.005)  # a client that was refused pauses, as it should
                else:
                    raise AssertionError(f"{params}: {reply}")
    return call


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

    def calling(self, server: handoff.Server, calls: int | None = None) -> Load:
        return Load([caller(server, calls)] * self.CONNECTIONS)

    def test_each_reply_is_to_its_own_call_and_none_is_lost(self):
        first, *_ = self.start_chain()
        self.assert_all_answered(first, handoff.count(10000, 2000) // self.CONNECTIONS + 1)

    def test_when_the_last_one_is_killed_and_comes_back_so_do_the_calls(self):
        first, *_, last = self.start_chain("--timeout", "5s")
        with self.calling(first) as load:
            for _ in range(handoff.count(5, 2)):
                load.go_on(5)
                errors = load.total_errors().total()
                last.kill(signal.SIGKILL)
                last.process.wait()
                handoff.wait_for(
                    lambda: load.total_errors().total() >= errors + 2 * self.CONNECTIONS,
                    "the clients to notice")
                last = self.last()
                load.go_on(5)
        self.assertEqual(load.problems, [])
        self.assertLessEqual(set(load.total_errors()), {DIED, UNREACHABLE, TIMED_OUT})
        self.assert_all_answered(first, 5)

    def test_when_the_last_one_is_stopped_the_deadline_answers_and_others_stay_quick(self):
        servers = self.start_chain("--timeout", "500ms")
        first, last = servers[0], servers[-1]
        with self.calling(first) as load:
            load.go_on(5)
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

            handoff.wait_for(has_each_had_two_deadlines,
                             "each client to have had its deadline twice")
            self.assertLess(slowest, QUICK)
            self.assertGreater(load.total_errors().total(), before)
            last.kill(signal.SIGCONT)
            load.go_on(5)
        self.assertEqual(load.problems, [])
        self.assertLessEqual(set(load.total_errors()), {TIMED_OUT})
        self.assert_all_answered(first, 5)

    def assert_all_answered(self, server: handoff.Server, calls: int):
        with self.calling(server, calls) as load:
            load.join()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(load.answered, [calls] * self.CONNECTIONS)


if __name__ == "__main__":
    handoff.run_tests()
