# SPDX-License-Identifier: MIT
"""How a connection moves from a worker that leaves to another, whatever it is doing just then."""

import contextlib
import json
import os
import pathlib
import random
import resource
import select
import signal
import socket
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from framings import Lines  # noqa: E402
from reload_case import TestCase, encode  # noqa: E402


class Migration(TestCase):
    """A connection in each state, while its worker is replaced."""

    def assert_moved(self, server, client, before: int):
        pid = self.pid_of(client)
        handoff.wait_for(lambda: server.worker_pids() == [pid], "the old worker to leave")
        self.assertNotEqual(server.worker_pids(), [before])

    def test_an_idle_connection_moves(self):
        server = self.start_master()
        client = self.open(server)
        before = self.pid_of(client)
        port = client.socket.getsockname()
        self.reload(server)
        self.assert_moved(server, client, before)
        self.assertEqual(client.socket.getsockname(), port)

    def test_a_connection_that_was_never_used_moves(self):
        server = self.start_master()
        client = self.open(server)
        handoff.wait_for(lambda: self.connections() == 1, "it to be passed")
        self.reload(server)
        self.assertEqual(client.result("ping", 1), 1)

    def test_a_connection_of_a_unix_socket_moves(self):
        server = self.start_on_a_path()
        client = self.open(server)
        before = self.pid_of(client)
        self.reload(server)
        self.assert_moved(server, client, before)

    def test_a_connection_moves_fifty_times(self):
        server = self.start_master()
        client = self.open(server)
        times = handoff.count(1000, 50)
        pids = {self.pid_of(client)}
        for _ in range(times):
            self.control.result("reload")
            pids.add(self.pid_of(client))
        # It may be asked before it has moved; the last time, it is waited for.
        handoff.wait_for(lambda: server.worker_pids() == [self.pid_of(client)], "the last move")
        self.assertGreater(len(pids), times // 2)
        # One that does not say anything moves as often.
        before = [handoff.descriptor_count(server.pid), self.pid_of(client)]
        for _ in range(10):
            self.reload(server)
        self.assert_moved(server, client, before[1])
        self.assertLessEqual(handoff.descriptor_count(server.pid), before[0] + 2)

    def begin(self, client, part: bytes):
        """Sends a request, and the start of the next one with it: whoever has answered the first
        has read both."""
        client.socket.sendall(handoff.frame(encode("ping", "first")) + part)
        self.assertEqual(client.receive()["result"], "first")

    def test_a_connection_with_half_a_frame_sent_moves(self):
        server = self.start_master()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x" * 1000))
        self.begin(client, frame[:500])
        before = server.worker_pids()[0]
        self.reload(server)
        client.socket.sendall(frame[500:])
        self.assertEqual(client.receive()["result"], "x" * 1000)
        self.assert_moved(server, client, before)

    def test_a_connection_moves_with_half_a_frame_sent_and_a_byte_more_each_time(self):
        server = self.start_master()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x"))
        self.begin(client, b"")
        for byte in frame[:-1]:
            client.socket.sendall(bytes([byte]))
            self.control.result("reload")
        client.socket.sendall(frame[-1:])
        self.assertEqual(client.receive()["result"], "x")

    def test_a_connection_with_half_a_header_sent_moves(self):
        server = self.start_master()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x"))
        self.begin(client, frame[:2])
        self.reload(server)
        client.socket.sendall(frame[2:])
        self.assertEqual(client.receive()["result"], "x")

    def test_a_connection_with_half_of_its_first_header_sent_moves(self):
        server = self.start_on_a_path()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x"))
        client.socket.sendall(frame[:2])
        handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
        self.reload(server)
        client.socket.sendall(frame[2:])
        self.assertEqual(client.receive()["result"], "x")

    def test_a_connection_with_most_of_a_large_frame_sent_moves(self):
        server = self.start_on_a_path()
        client = self.open(server)
        text = "".join(chr(97 + number % 26) for number in range(1000000))
        frame = handoff.frame(encode("ping", text))
        client.socket.sendall(frame[:900000])
        handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
        before = server.worker_pids()[0]
        for _ in range(3):
            self.reload(server)
        client.socket.sendall(frame[900000:])
        self.assertEqual(client.receive(), {"out": "pong", "result": text})
        self.assert_moved(server, client, before)

    def test_many_connections_with_much_sent_move(self):
        """More bytes than the channel takes at a time."""
        server = self.start_on_a_path(workers=2)
        clients = [self.open(server) for _ in range(handoff.count(200, 40))]
        sizes = [random.randrange(1000, 200000) for _ in clients]
        for client, size in zip(clients, sizes):
            frame = handoff.frame(encode("ping", "x" * size))
            client.rest = frame[size // 2:]
            client.socket.sendall(frame[:size // 2])
        handoff.wait_for(lambda: all(map(handoff.is_read, clients)), "the bytes to be read")
        self.reload(server)
        for client in clients:
            client.socket.sendall(client.rest)
        for client, size in zip(clients, sizes):
            self.assertEqual(client.receive(), {"out": "pong", "result": "x" * size})

    def reload_stopped(self, server, prepare):
        """Reloads while the old worker is stopped, after `prepare()`: it reads all that it is sent,
        and that it shall drain, at once."""
        before = server.worker_pids()[0]
        handoff.stop_process(before)
        prepare()
        self.control.result("reload")
        os.kill(before, signal.SIGCONT)
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")
        return before

    def test_a_connection_with_pipelined_requests_unread_moves(self):
        server = self.start_master()
        client = self.open(server)
        client.result("ping")
        requests = b"".join(handoff.frame(encode("ping", number)) for number in range(1000))
        before = self.reload_stopped(server, lambda: client.socket.sendall(requests))
        for number in range(1000):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        self.assert_moved(server, client, before)

    def test_a_connection_with_pipelined_requests_partly_answered_moves(self):
        """The old worker is drained while it works on them."""
        server = self.start_master()
        client = self.open(server)
        client.result("ping")
        count = 20000
        requests = b"".join(handoff.frame(encode("ping", number)) for number in range(count))
        sender = threading.Thread(target=lambda: client.socket.sendall(requests))
        sender.start()
        for number in range(count):
            if number == 1000:
                server.kill(signal.SIGHUP)
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        sender.join()
        server.wait_for_line("reloaded")

    def test_a_connection_that_was_not_yet_started_moves(self):
        server = self.start_master()
        clients = []

        def connect():
            clients.extend(self.open(server) for _ in range(300))
            for number, client in enumerate(clients):
                client.send("ping", number)

        self.reload_stopped(server, connect)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def test_a_connection_with_a_call_running_moves_after_its_reply(self):
        server = self.start_slow()
        client, idle = self.open(server), self.open(server)
        idle.result("ping")
        before = server.worker_pids()[0]
        client.send("slow")
        self.wait_until_slow_runs()
        client.send("info")
        self.control.result("reload")
        self.assert_serves_at_once(idle, before)
        self.assertTrue(handoff.alive(before))
        self.assertEqual(select.select([client.socket], [], [], 0)[0], [])
        self.let_slow_end()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(client.receive()["out"], "info")
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")
        self.assert_moved(server, client, before)

    def assert_serves_at_once(self, idle, before: int):
        """Neighbours need not wait for a call that runs."""
        idle.send("info")
        self.assertTrue(select.select([idle.socket], [], [], 10)[0], "an idle connection moves")
        self.assertNotEqual(idle.receive()["result"]["pid"], before)

    def test_a_half_closed_connection_with_a_call_running_gets_its_reply(self):
        server = self.start_slow()
        client = self.open(server)
        client.send("slow")
        client.send("ping", "behind it")
        client.socket.shutdown(socket.SHUT_WR)
        self.wait_until_slow_runs()
        before = server.worker_pids()[0]
        self.control.result("reload")
        self.let_slow_end()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(client.receive(), {"out": "pong", "result": "behind it"})
        self.assertIsNone(client.receive())
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")

    def test_a_half_closed_connection_with_pipelined_requests_unread_gets_its_replies(self):
        server = self.start_master()
        client = self.open(server)
        client.result("ping")

        def send():
            client.socket.sendall(b"".join(handoff.frame(encode("ping", number))
                                           for number in range(100)))
            client.socket.shutdown(socket.SHUT_WR)

        self.reload_stopped(server, send)
        for number in range(100):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        self.assertIsNone(client.receive())

    def test_a_half_closed_connection_with_a_line_that_lacks_its_end_gets_its_reply(self):
        server = self.start_master()
        client = self.open(server)
        lines = Lines(client.socket)
        lines.send_body(encode("ping", 1))
        self.assertEqual(lines.receive()["result"], 1)

        def send():
            client.socket.sendall(encode("ping", 2))
            client.socket.shutdown(socket.SHUT_WR)

        self.reload_stopped(server, send)
        self.assertEqual(lines.receive()["result"], 2)
        self.assertIsNone(lines.receive())

    def test_connections_that_are_reset_during_a_move_harm_no_other(self):
        server = self.start_master()
        clients = [self.open(server) for _ in range(10)]
        for client in clients:
            client.result("ping")

        def reset():
            for client in clients[:5]:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
                client.close()
            for client in clients[5:8]:
                client.close()

        self.reload_stopped(server, reset)
        for client in clients[8:]:
            self.assertEqual(client.result("ping", 1), 1)
        handoff.wait_for(lambda: self.connections() == 2, "the others to be gone")
        self.assertFalse([line for line in server.lines if "signal" in line or "status 1" in line])

    def test_a_connection_of_a_client_that_does_not_read_moves(self):
        server = self.start_master()
        client = self.open(server)
        client.result("ping")
        before = server.worker_pids()[0]
        frames = [handoff.frame(encode("ping", [number, "x" * 50000])) for number in range(400)]
        sent = bytearray(b"".join(frames))
        client.socket.settimeout(0.1)

        def fill():
            with contextlib.suppress(TimeoutError):
                while sent:
                    del sent[:client.socket.send(sent[:100000])]

        fill()
        self.assertTrue(sent, "the server does not read without end")
        self.control.result("reload")
        fill()
        client.socket.settimeout(handoff.PATIENCE)
        sender = threading.Thread(target=lambda: client.socket.sendall(sent))
        sender.start()
        for number in range(400):
            self.assertEqual(client.receive()["result"], [number, "x" * 50000])
        sender.join()
        self.assert_moved(server, client, before)
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")

    def test_a_connection_with_part_of_a_line_sent_moves(self):
        server = self.start_master()
        client = self.open(server)
        lines = Lines(client.socket)
        line = encode("ping", "x" * 100) + b"\n"
        client.socket.sendall(line + line[:50])
        self.assertEqual(lines.receive()["result"], "x" * 100)
        self.reload(server)
        client.socket.sendall(line[50:])
        self.assertEqual(lines.receive()["result"], "x" * 100)
        self.assert_moved_on_lines(server, lines)

    def assert_moved_on_lines(self, server, lines):
        lines.send_body(encode("info", None))
        self.assertEqual(server.worker_pids(), [lines.receive()["result"]["pid"]])

    def test_a_connection_with_part_of_its_first_line_sent_moves(self):
        server = self.start_on_a_path()
        for size in (1, 3, 4, 5, 20):
            with self.subTest(size), server.connect() as client:
                line = encode("ping", "x" * 100) + b"\n"
                client.socket.sendall(line[:size])
                handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
                self.reload(server)
                client.socket.sendall(line[size:])
                lines = Lines(client.socket)
                self.assertEqual(lines.receive()["result"], "x" * 100)
                self.assert_moved_on_lines(server, lines)

    def test_a_connection_keeps_its_dialect_when_it_moves(self):
        server = self.start_master()
        client = self.open(server)
        client.send_body(encode("ping", [1], 7))
        self.assertEqual(client.receive(), {"jsonrpc": "2.0", "result": [1], "id": 7})
        article = self.open(server)
        article.result("ping")
        self.reload(server)
        client.send_body(b"{nonsense")
        reply = client.receive()
        self.assertEqual((reply["jsonrpc"], reply["error"]["code"], reply["id"]),
                         ("2.0", -32700, None))
        article.send_body(b"{nonsense")
        self.assertEqual(article.receive()["out"], "error")

    def test_a_batch_that_runs_is_answered_whole_when_its_worker_is_replaced(self):
        server = self.start_slow()
        client = self.open(server)
        batch = [json.loads(encode(method, [1], number))
                 for number, method in enumerate(("ping", "slow", "ping"))]
        client.send_body(json.dumps(batch).encode())
        self.wait_until_slow_runs()
        self.control.result("reload")
        self.let_slow_end()
        replies = client.receive()
        self.assertEqual(sorted((reply["id"], reply["result"] in (1, [1])) for reply in replies),
                         [(0, True), (1, True), (2, True)])

    def test_more_connections_than_the_master_may_hold_move(self):
        """It takes from the old worker what it can pass on to the new one."""
        self.need_descriptors(2048)
        if os.geteuid() != 0:
            # test_upgrade_connections.py has this without privileges, as a user that it makes for
            # itself.
            self.skipTest("no user of its own: what other tests have on its way counts for this one")
        for spare, count in ((40, 200), (600, 1200)):
            with self.subTest(spare=spare), contextlib.ExitStack() as stack:
                server = stack.enter_context(handoff.master("-v", workers=1))
                clients = [stack.enter_context(server.connect()) for _ in range(count)]
                for client in clients:
                    client.result("ping")
                before = server.worker_pids()[0]
                _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
                limit = handoff.descriptor_count(server.pid) + spare
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, hard))
                server.kill(signal.SIGHUP)
                server.wait_for_line("reloaded, 1 worker")
                for number, client in enumerate(clients):
                    client.send("ping", number)
                for number, client in enumerate(clients):
                    self.assertEqual(client.receive()["result"], number, server.lines)
                handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")
                for client in clients:
                    self.assertNotEqual(self.pid_of(client), before)


if __name__ == "__main__":
    handoff.run_tests()
