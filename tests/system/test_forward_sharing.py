# SPDX-License-Identifier: MIT
"""Forwarded calls share few connections: each gets its own reply, whatever ids the server knows,
and limits of size and memory hold."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    CALLS_BEFORE_NEXT, DIED, FAILED, ForwardTest, MAX_LINKS, TIMED_OUT, WORKER, setUpModule)

INVALID_REQUEST = -32600
BUSY = -32003


class Sharing(ForwardTest):
    """Calls of many clients on few connections."""

    def test_a_server_without_ids_has_each_reply_at_the_right_call(self):
        self.article_server("--delay", "1")
        server = self.forwarder("-f", f"ping={self.path()}")
        clients = [self.open(server) for _ in range(64)]
        rounds = handoff.count(200, 20)
        for number, client in enumerate(clients):
            for turn in range(rounds):
                client.send("ping", [number, turn], **({"id": turn} if number % 2 else {}))
        for number, client in enumerate(clients):
            replies = [client.receive() for _ in range(rounds)]
            for reply in replies:
                self.assertEqual(reply["out"], "pong", reply)
            turns = [reply["result"][1] for reply in replies]
            self.assertEqual([reply["result"][0] for reply in replies], [number] * rounds)
            self.assertEqual(sorted(turns), list(range(rounds)))
            if number % 2:
                self.assertEqual([reply["id"] for reply in replies], turns)
            else:
                self.assertEqual(turns, list(range(rounds)), "replies without an id keep the order")

    def test_a_server_may_answer_in_any_order_by_id(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(100)]
        for number, client in enumerate(clients):
            client.send("x", number)
        requests = [backend.take() for _ in clients]
        for request in reversed(requests):
            request.reply(request.params)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "x", "result": number})

    def test_a_slow_call_does_not_hold_up_the_others(self):
        backend = self.backend("far")
        self.worker("-f", f"slow={self.path('far')}")
        server = self.forwarder("-f", f"slow={self.path()}", "-f", f"echo={self.path()}")
        waiting = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        for number, client in enumerate(waiting):
            client.send("slow", number)
        requests = [backend.take() for _ in waiting]
        client = self.open(server)
        for number in range(100):
            self.assertEqual(client.result("echo", number), number)
        for each in waiting:
            self.assert_silent(each)
        for request in requests:
            request.reply(request.params)
        for number, each in enumerate(waiting):
            self.assertEqual(each.receive()["result"], number)

    def test_calls_in_turn_use_one_connection_and_many_at_a_time_use_eight(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "-f", f"y.*={self.path()}")
        clients = [self.open(server) for _ in range(200)]
        for number in range(20):
            clients[number].send("y.z" if number % 2 else "x", number)
            backend.take().reply(number)
            self.assertEqual(clients[number].receive()["result"], number)
        self.assertEqual(len(backend.connections), 1)
        for client in clients:
            client.send("x")
        requests = [backend.take() for _ in clients]
        self.assertEqual(len(backend.connections), MAX_LINKS)
        for request in requests:
            request.reply(0)
        for client in clients:
            client.receive()
        descriptors = handoff.descriptor_count(server.pid)
        clients[0].send("x")
        backend.take().reply(0)
        clients[0].receive()
        self.assertEqual(handoff.descriptor_count(server.pid), descriptors)

    def test_an_error_without_an_id_is_nobodys_reply_where_there_are_ids(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(6)]
        for number in range(3):
            clients[number].send("x", number)
        first, second, third = sorted((backend.take() for _ in range(3)),
                                      key=lambda request: request.params)
        first.reply(0)
        self.assertEqual(clients[0].receive()["result"], 0)
        refusal = {"out": "error", "result": {"code": INVALID_REQUEST, "message": "too long"}}
        second.send(refusal)
        second.reply(1)
        self.assertEqual(clients[1].receive(), {"out": "x", "result": 1})
        # Whoever says that reads no more: what comes now needs another connection.
        for number in (3, 4):
            clients[number].send("x", number)
        requests = [backend.take() for _ in range(2)]
        self.assertEqual(len(backend.connections), 2)
        self.assertIsNot(requests[0].connection, first.connection)
        third.reply(2)
        self.assertEqual(clients[2].receive()["result"], 2)
        # On this one nothing has come before.
        requests[0].send(refusal)
        for request in requests[::-1]:
            request.reply(request.params)
        for number in (3, 4):
            self.assertEqual(clients[number].receive(), {"out": "x", "result": number})
        clients[5].send("x")
        last = backend.take()
        last.send(refusal)
        last.connection.shutdown(socket.SHUT_RDWR)
        self.assert_error(clients[5].receive(), DIED, "too long")

    def test_a_client_that_goes_takes_no_one_elses_call_along(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(CALLS_BEFORE_NEXT)]
        for number, client in enumerate(clients):
            client.send("x", number)
        requests = [backend.take() for _ in clients]
        self.assertEqual(len(backend.connections), 1)
        clients[0].close()
        clients[1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients[1].close()
        for request in requests:
            request.reply(request.params)
        for number in (2, 3):
            self.assertEqual(clients[number].receive()["result"], number)

    def test_a_drain_waits_for_the_calls_that_are_forwarded(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        client = self.open(server)
        client.send("x")
        request = backend.take()
        server.kill(signal.SIGTERM)
        handoff.wait_for(lambda: not os.path.exists(self.path("forwarder")), "the listener to go")
        request.reply("finished")
        self.assertEqual(client.receive()["result"], "finished")
        self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)


    def test_calls_that_are_forwarded_are_cut_off_with_their_connections(self):
        self.backend()
        command = f"exec {WORKER} --timeout 1s --stdio -f y={self.path()}"
        for options, signals in ((["--drain-timeout", "50ms"], 1), ([], 2)):
            with self.subTest(options):
                server = self.start(handoff.worker(
                    "-f", f"x={self.path()}", "-f", f"y=exec:{command}", *options))
                clients = [self.open(server) for _ in range(10)]
                for client in clients:
                    client.send("x")
                    client.send("y")
                    client.send("ping", id=1)
                    self.assertEqual(client.receive()["out"], "pong")
                for _ in range(signals):
                    server.kill(signal.SIGTERM)
                    handoff.wait_for(lambda: self.has_taken_its_signals(server.pid), "the signal")
                self.assertEqual(server.process.wait(handoff.PATIENCE), 124)
                server.wait_for_line("10 connections cut off$")

    @staticmethod
    def has_taken_its_signals(pid: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            return "ShdPnd:\t0000000000000000\n" in text
        return True


class Limits(ForwardTest):
    def test_a_reply_over_the_limit_is_an_error_and_the_method_goes_on(self):
        self.worker("-m", "x=echo [; seq -s , 2000; echo ]", "-m", "y=echo 1")
        server = self.forwarder("-f", f"x={self.path()}", "-f", f"y={self.path()}",
                                "--max-frame", "5000")
        client = self.open(server)
        for _ in range(3):
            self.assert_error(client.call("x"), DIED, "exceeds the limit of 5000")
            self.assertEqual(client.result("y"), 1)

    def test_replies_up_to_the_limit_come_through_whatever_the_callers_id(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "--max-frame", "1000")
        client = self.open(server)
        for size in (900, 950, 960, 970, 980, 990):
            for number in (None, "i" * 50):
                client.send("x", **({} if number is None else {"id": number}))
                request = backend.take()
                body = {"out": "x", "result": "", "id": request.id}
                body["result"] = "r" * (size - len(json.dumps(body)))
                request.send(body)
                reply = client.receive()
                own = {"out": "x", "result": body["result"]}
                if number is not None:
                    own["id"] = number
                if len(json.dumps(own, separators=(",", ":"))) <= 1000:
                    self.assertEqual(reply, own)
                else:
                    self.assert_error(reply, FAILED, "exceeds the limit of 1000 bytes")
        self.assertEqual(len(backend.connections), 1)

    def test_a_request_that_just_fits_does_not_harm_other_calls(self):
        gate = self.gate()
        self.worker("--max-frame", "1000", "-m", f"slow=cat {gate}")
        server = self.forwarder("-f", f"slow={self.path()}", "-f", f"info={self.path()}",
                                "--max-frame", "1000", "--timeout", "3s")
        client, other = self.open(server), self.open(server)
        other.send("slow")
        with gate.open("w") as opened:
            for size in range(970, 1001):
                body = {"in": "info", "params": ""}
                body["params"] = "p" * (size - len(json.dumps(body)))
                client.send_body(json.dumps(body).encode())
                reply = client.receive()
                if reply["out"] == "error":
                    self.assert_error(reply, INVALID_REQUEST, "limit of 1000")
                else:
                    self.assertIn("version", reply["result"])
            self.assert_silent(other)
            opened.write('"unharmed"')
        self.assertEqual(other.receive(), {"out": "slow", "result": "unharmed"})

    def test_a_backend_that_reads_nothing_does_not_take_memory_without_end(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path())
            listener.listen(128)
            server = self.forwarder("-f", f"x={self.path()}", "--timeout", "1s")
            clients = [self.open(server) for _ in range(8)]
            before = handoff.resident_bytes(server.pid)
            calls = handoff.frame(json.dumps({"in": "x", "params": "x" * 1000000}).encode()) * 8
            senders = [threading.Thread(target=client.socket.sendall, args=(calls,), daemon=True)
                       for client in clients]
            for sender in senders:
                sender.start()
            for client in clients:
                for _ in range(8):
                    self.assertIn(client.receive()["result"]["code"], (TIMED_OUT, BUSY))
            for sender in senders:
                sender.join(handoff.PATIENCE)
            # Each call may be there twice, as it came and as it goes. A sanitizer keeps 256 MiB of
            # what was freed besides.
            most = (456 if handoff.SANITIZED else 200) << 20
            self.assertLess(handoff.resident_bytes(server.pid) - before, most)


if __name__ == "__main__":
    handoff.run_tests()
