# SPDX-License-Identifier: MIT
"""Forwarded calls to a server that is down, dies, is reset or talks nonsense fail at once, and the
next ones reconnect."""

import contextlib
import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    CALLS_BEFORE_NEXT, DIED, ForwardTest, QUICK, TIMED_OUT, UNREACHABLE, WORKER, setUpModule)


class Down(ForwardTest):
    def assert_fails_at_once(self, client: handoff.Connection, message: str):
        started = time.monotonic()
        self.assert_error(client.call("x"), UNREACHABLE, message)
        self.assertLess(time.monotonic() - started, QUICK)

    def test_calls_fail_at_once_until_the_server_is_up(self):
        server = self.forwarder("-f", f"x={self.path()}")
        client, other = self.open(server), self.open(server)
        self.assert_fails_at_once(client, self.path())
        other.result("ping")
        descriptors = handoff.descriptor_count(server.pid)
        # For so long that the pauses between its attempts are as long as they get.
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            self.assert_fails_at_once(client, rf"{self.path()}: No such file or directory$")
            self.assertEqual(other.result("ping", 1), 1)
            self.assert_silent(client, 0.02)
        self.assertEqual(handoff.descriptor_count(server.pid), descriptors)
        self.worker("-m", "x=echo 1")
        self.assertLess(self.call_until_it_succeeds(client, "x"), 2)

    def test_a_port_that_nobody_listens_on_is_refused_and_found_later(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            server = self.forwarder("-f", f"x=127.0.0.1:{port}")
            client = self.open(server)
            for _ in range(5):
                self.assert_fails_at_once(client, rf"127.0.0.1:{port}: Connection refused$")
            listener.listen()
            self.start(handoff.worker("-l", f"fd:{listener.fileno()}", "-m", "x=echo 1",
                                      pass_fds=[listener.fileno()]))
            self.assertLess(self.call_until_it_succeeds(client, "x"), 2)

    def test_many_calls_at_once_fail_too_and_the_connections_live_on(self):
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(20)]
        for client in clients:
            for _ in range(50):
                client.send("x")
            client.send("ping", "behind them")
        for client in clients:
            for _ in range(50):
                self.assert_error(client.receive(), UNREACHABLE)
            self.assertEqual(client.receive()["result"], "behind them")

    def test_a_server_that_accepts_nobody_is_given_up_at_the_deadline(self):
        self.scripted_server("deaf")
        server = self.forwarder("-f", f"x={self.path()}", "--timeout", "300ms")
        client, other = self.open(server), self.open(server)
        for _ in range(2):
            client.send("x")
            self.assertEqual(other.result("ping", 1), 1)
            self.assert_error(client.receive(), TIMED_OUT)


class Dying(ForwardTest):
    def test_a_kill_fails_the_calls_in_flight_and_the_next_ones_reconnect(self):
        gate = self.gate()
        words = ("-m", f"slow=cat {gate}", "-m", "quick=echo 1")
        backend = self.worker(*words)
        server = self.forwarder("-f", f"slow={self.path()}", "-f", f"quick={self.path()}")
        clients = [self.open(server) for _ in range(20)]
        for client in clients:
            client.send("slow")
        with gate.open("w"):
            self.assertEqual(self.open(server).result("quick"), 1)
            for client in clients:
                self.assert_silent(client)
            backend.kill(signal.SIGKILL)
            for client in clients:
                self.assert_error(client.receive(), DIED, f"{self.path()}: .+")
        backend.process.wait()
        self.assert_error(clients[0].call("quick"), UNREACHABLE, "Connection refused$")
        self.worker(*words)
        for client in clients:
            self.assertLess(self.call_until_it_succeeds(client, "quick"), 2)

    def test_only_the_calls_of_a_connection_that_ends_fail(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * 3)]
        for number, client in enumerate(clients):
            client.send("x", number)
        requests = [backend.take() for _ in clients]
        ended = requests[0].connection
        ended.shutdown(socket.SHUT_RDWR)
        for request in requests:
            if request.connection is not ended:
                request.reply("fine")
        for request in requests:
            reply = clients[request.params].receive()
            if request.connection is ended:
                self.assert_error(reply, DIED)
            else:
                self.assertEqual(reply["result"], "fine")
        self.assertEqual(len({request.connection for request in requests}), 3)

    def test_garbage_ends_the_connection_and_not_the_method(self):
        kinds = ["bytes:" + b"HTTP/1.1 400 Bad Request\r\n\r\n".hex(), "reply:no JSON", "reply:",
                 "reply:[]", "reply:{}", 'reply:{"out":"x"}', 'reply:{"out":1,"result":1}',
                 'reply:{"out":"x","result":1,"result":2}', "reply:" + "[" * 100, "bytes:ffffffff",
                 "bytes:00000000", "close", "reply:\"\\ud800\"", 'reply:{"out":"x","result":01}']
        self.scripted_server(*kinds, 'reply:{"out":"x","result":"fine"}')
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for kind in kinds:
            with self.subTest(kind):
                self.assert_error(client.call("x"), DIED, f"{self.path()}: .+")
        self.assertEqual(client.result("x"), "fine")

    def test_a_reply_that_is_cut_off_is_no_reply(self):
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        client.send("x")
        request = backend.take()
        request.connection.sendall(handoff.frame(b'{"out":"x","result":1}')[:-1])
        request.connection.shutdown(socket.SHUT_RDWR)
        self.assert_error(client.receive(), DIED)

    def test_a_reset_is_survived(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            client = self.open(self.forwarder("-f", f"x=127.0.0.1:{port}"))
            for _ in range(3):
                client.send("x")
                connection, _ = listener.accept()
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                self.assert_error(client.receive(), DIED, "Connection reset by peer$")

    def test_replies_that_nobody_waits_for_are_dropped(self):
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for number in range(3):
            client.send("x", number)
            request = backend.take()
            for stranger in (0, 999, -1, "1", None, 1e300):
                request.reply("wrong", id=stranger)
            request.reply(number)
            request.reply("again")
            self.assertEqual(client.receive(), {"out": "x", "result": number})
        self.assertEqual(len(backend.connections), 1)

    def test_a_second_reply_without_an_id_is_no_answer_to_the_next_call(self):
        replies = [handoff.frame(json.dumps({"out": "x", "result": result}).encode())
                   for result in ("first", "again", "second")]
        self.scripted_server("bytes:" + (replies[0] + replies[1]).hex(), "bytes:" + replies[2].hex())
        server = self.forwarder("-f", f"x={self.path()}")
        client = self.open(server)
        for result in ("first", "second"):
            self.assertEqual(client.result("x"), result)

    def test_a_connection_on_which_the_backend_replies_without_a_call_is_given_up(self):
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for number in range(3):
            client.send("x", number)
            request = backend.take()
            request.connection.settimeout(handoff.PATIENCE)
            request.connection.sendall(2 * handoff.frame(
                json.dumps({"out": "x", "result": number}).encode()))
            self.assertEqual(client.receive(), {"out": "x", "result": number})
            self.assertEqual(request.connection.recv(1), b"")
        self.assertEqual(len(backend.connections), 3)

    def test_a_connection_that_the_backend_closes_when_idle_is_not_missed(self):
        backend = self.worker("--idle-timeout", "30ms", "-m", "x=echo 1")
        server = self.forwarder("-f", f"x={self.path()}")
        client = self.open(server)
        client.result("ping")
        alone = [handoff.descriptor_count(each.pid) for each in (backend, server)]
        for _ in range(10):
            self.assertEqual(client.result("x"), 1)
            handoff.wait_for(
                lambda: [handoff.descriptor_count(each.pid) for each in (backend, server)] == alone,
                "the idle connection to be closed")

    def test_a_call_that_meets_the_end_of_an_idle_connection_goes_out_on_another(self):
        backend = self.backend()
        # It has read the second call when the backend closes, and sends it 300 ms later.
        tracing = self.start(handoff.Server(
            "strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto",
            "-e", "inject=sendto:delay_enter=300000:when=3", WORKER, "-l", self.path("forwarder"),
            "-f", f"x={self.path()}", env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}))
        for traced in handoff.children(tracing.pid):
            self.stack.callback(self.end, traced)
        client = self.open(tracing)
        self.exchange(client, backend, "first")
        client.send("x", "second")
        handoff.wait_for(lambda: self.unread(client) == 0, "the call to be read")
        backend.connections[0].shutdown(socket.SHUT_RDWR)
        handoff.wait_for(lambda: select.select([client.socket], [], [], 0)[0] or
                         not backend.requests.empty(), "the call")
        if not backend.requests.empty():
            request = backend.take()
            self.assertIs(request.connection, backend.connections[1])
            request.reply(request.params)
        self.assertEqual(client.receive(), {"out": "x", "result": "second"})

    @staticmethod
    def end(pid: int):
        """It would outlive strace."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def unread(client: handoff.Connection) -> int:
        return struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)))[0]

    def test_a_backend_that_drains_finishes_its_calls(self):
        gate = self.gate()
        backend = self.worker("-m", f"x=cat {gate}")
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        client.send("x")
        with gate.open("w") as opened:
            backend.kill(signal.SIGTERM)
            handoff.wait_for(lambda: not os.path.exists(self.path()), "the listener to go")
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual(backend.process.wait(handoff.PATIENCE), 0)


if __name__ == "__main__":
    handoff.run_tests()
