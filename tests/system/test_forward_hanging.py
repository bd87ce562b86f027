# SPDX-License-Identifier: MIT
"""Forwarded calls to a server that hangs cost their callers the deadline, and nobody else
anything."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    CALLS_BEFORE_NEXT, ForwardTest, MAX_LINKS, QUICK, TIMED_OUT, setUpModule)


class Hanging(ForwardTest):
    def test_a_stopped_backend_costs_its_callers_the_deadline_and_nobody_else_anything(self):
        backend = self.worker()
        server = self.forwarder("-f", f"echo={self.path()}", "--timeout", "500ms")
        clients = [self.open(server) for _ in range(20)]
        for number, client in enumerate(clients):
            self.assertEqual(client.result("echo", number), number)
        other = self.open(server)
        for turn in range(2):
            self.stop(backend.pid)
            started = time.monotonic()
            for client in clients:
                client.send("echo", "late")
            self.assertEqual(other.result("ping", 1), 1)
            for client in clients:
                self.assert_silent(client)
            for client in clients:
                self.assert_error(client.receive(), TIMED_OUT,
                                  f"{self.path()} did not reply in time")
                self.assertEqual(other.result("ping", 1), 1)
            self.assertGreater(time.monotonic() - started, 0.45)
            self.assertLess(time.monotonic() - started, QUICK)
            backend.kill(signal.SIGCONT)
            for number, client in enumerate(clients):
                self.assertEqual(client.result("echo", [turn, number]), [turn, number])

    def test_hundreds_of_calls_wait_and_others_are_answered(self):
        self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "-m", "own=echo 1", "--timeout", "3s",
                                "-C", "500")
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            for _ in range(100):
                client.send("x", id=1)
        other = self.open(server)
        self.assertEqual(other.result("ping", 1), 1)
        self.assertEqual(other.result("own"), 1)
        for client in clients:
            self.assert_silent(client)

    def test_a_stopped_server_without_ids_gives_no_late_reply_to_another_call(self):
        backend = self.article_server()
        server = self.forwarder("-f", f"ping={self.path()}", "--timeout", "500ms")
        clients = [self.open(server) for _ in range(20)]
        for number, client in enumerate(clients):
            self.assertEqual(client.result("ping", number), number)
        self.stop(backend.pid)
        for client in clients:
            client.send("ping", "late")
        for client in clients:
            self.assert_error(client.receive(), TIMED_OUT)
        backend.send_signal(signal.SIGCONT)
        for turn in range(5):
            for number, client in enumerate(clients):
                client.send("ping", [turn, number])
            for number, client in enumerate(clients):
                self.assertEqual(client.receive(), {"out": "pong", "result": [turn, number]})

    def test_a_late_reply_is_dropped_on_a_connection_that_is_in_use(self):
        for name in ("reply", "reply_without_id"):
            with self.subTest(name):
                backend = self.backend(name)
                server = self.start(handoff.worker(
                    "-l", self.path("to_" + name), "-f", f"x={self.path(name)}",
                    "--timeout", "1s"))
                first, second, third = (self.open(server) for _ in range(3))
                first.send("x", "before")
                before = backend.take()
                second.send("x", "late")
                late = backend.take()
                getattr(before, name)("before")
                self.assertEqual(first.receive()["result"], "before")
                self.assert_silent(second, 0.5)
                third.send("x", "third")
                own = backend.take()
                self.assert_error(second.receive(), TIMED_OUT)
                getattr(late, name)("late")
                getattr(own, name)("third")
                self.assertEqual(third.receive()["result"], "third")
                second.send("x", "second")
                getattr(backend.take(), name)("second")
                self.assertEqual(second.receive()["result"], "second")
                self.assertEqual(len(backend.connections), 1)

    def test_connections_that_were_silent_for_a_while_are_replaced(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "--timeout", "800ms")
        early = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        late = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        for client in early:
            client.send("x", "early")
        for _ in early:
            backend.take()
        self.assert_silent(early[0], 0.4)
        for number, client in enumerate(late):
            client.send("x", number)
        requests = [backend.take() for _ in late]
        for client in early:
            self.assert_error(client.receive(), TIMED_OUT)
        # Nothing has come on any of the connections until now.
        for request in requests:
            request.reply(request.params)
        for number, client in enumerate(late):
            self.assertEqual(client.receive(), {"out": "x", "result": number})
        for number, client in enumerate(early):
            self.exchange(client, backend, number)

    def test_calls_go_on_while_each_connection_has_one_that_is_not_answered(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "--timeout", "800ms")
        early = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        late = [self.open(server) for _ in range(MAX_LINKS * 2)]
        for client in early:
            client.send("x", "early")
        for _ in early:
            backend.take()
        self.assert_silent(early[0], 0.4)
        for client in late:
            client.send("x", "late")
        for _ in late:
            self.assertEqual(backend.take().params, "late")
        for client in early:
            self.assert_error(client.receive(), TIMED_OUT)
        for number, client in enumerate(early):
            self.exchange(client, backend, number)
        for client in late:
            self.assert_error(client.receive(), TIMED_OUT)


if __name__ == "__main__":
    handoff.run_tests()
