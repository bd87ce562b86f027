# SPDX-License-Identifier: MIT
"""What clients may send, or leave undone, without harm to a worker or to other clients."""

import os
import pathlib
import signal
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
TIMED_OUT = -32002

INVALID_JSON = [
    b"", b" ", b"{", b"}", b"[", b'{"in":"ping"', b'{"in":"ping",}', b'{"in" "ping"}', b"nul",
    b"truee", b'"open', b"'ping'", b"01", b"+1", b"1.", b".5", b"1e", b"0x10", b"NaN", b"Infinity",
    b'{"in":"ping"} x', b'{"in":"ping"}{}', b'{"in":"ping","params":[1,]}',
    b'{"in":"ping","params":[1 2]}', b'{"in":"ping","params":{"a":1,}}',
    b'{"in":"ping","params":{a:1}}', b'{"in":"ping","params":"\n"}',
    b'{"in":"ping","params":"\\x41"}', b'{"in":"ping","params":"\\u12"}',
    b'{"in":"ping","params":"\xff"}', b'{"in":"ping","params":"\xc0\x80"}',
    b'{"in":"ping","params":"\xed\xa0\x80"}', b'{"in":"ping","params":"\\ud800"}',
    b'{"in":"ping","params":"\\udc00\\ud800"}', b"[" * 100000, b'{"a":' * 100000,
    b'{"in":"ping","params":' + b"[" * 65 + b"]" * 65 + b"}", b"\xef\xbb\xbf{}", b"\x00",
]

INVALID_REQUESTS = [
    b"1", b"null", b'"ping"', b"[]", b"{}", b'{"params":1}', b'{"in":1}', b'{"in":null}',
    b'{"in":"ping","in":"echo"}', b'{"in":"ping","params":1,"params":2}',
    b'{"in":"ping","id":1,"id":2}', b'{"in":"ping","id":null}', b'{"in":"ping","id":[1]}',
]


class Bodies(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start(handoff.behind_any())
        self.client = self.open(self.server)

    def assert_refused(self, body: bytes, code: int):
        self.client.send_body(body)
        reply = self.client.receive()
        self.assertEqual((reply["out"], reply["result"]["code"]), ("error", code), body[:80])

    def test_invalid_json_is_refused_and_the_connection_lives_on(self):
        for body in INVALID_JSON:
            self.assert_refused(body, PARSE_ERROR)
        self.assertEqual(self.client.result("ping", "alive"), "alive")

    def test_valid_json_that_is_no_request_is_refused_and_the_connection_lives_on(self):
        for body in INVALID_REQUESTS:
            self.assert_refused(body, INVALID_REQUEST)
        self.assertEqual(self.client.result("ping", "alive"), "alive")

    def test_what_is_valid_comes_back_byte_for_byte(self):
        for params in (b"[1.0, 1E+2,-0 ]", b'"\\u00e9\xc3\xa9\\ud83d\\ude00"',
                       b'{"b":1,"a":{"b":1},"b":2}', b"123456789012345678901234567890",
                       b"[" * 63 + b"]" * 63, b' "spaces around" '):
            self.client.send_body(b'{"in":"echo","params":' + params + b"}")
            header = self.client.read(4)
            body = self.client.read(struct.unpack("<I", header)[0])
            self.assertEqual(body, b'{"out":"echo","result":' + params.strip() + b"}")

    def test_names_of_any_kind_are_only_names(self):
        for name in ("../../bin/sh", "a;b", "nul\0inside", "x" * 10000, "", "é\n"):
            reply = self.client.call(name, id=1)
            self.assertEqual(reply["result"]["code"], METHOD_NOT_FOUND)
            self.assertEqual(reply["id"], 1)
            self.assertLess(len(reply["result"]["message"]), 200)


class Frames(handoff.TestCase):
    def test_a_length_over_the_limit_is_answered_then_closed_and_takes_no_memory(self):
        server = self.start(handoff.behind_any())
        self.open(server).result("ping")
        before = handoff.resident_bytes(server.pid_of_reader)
        for length in (0xFFFFFFFF, 1024 * 1024 + 1):
            client = self.open(server)
            client.socket.sendall(struct.pack("<I", length) + b"x" * 100000)
            reply = client.receive()
            self.assertEqual(reply["result"]["code"], INVALID_REQUEST)
            self.assertIn("exceeds the limit", reply["result"]["message"])
            self.assertIsNone(client.receive())
        if not handoff.SANITIZED:
            self.assertLess(handoff.resident_bytes(server.pid_of_reader) - before, 1024 * 1024)

    def test_a_body_of_just_the_limit_is_served(self):
        server = self.start(handoff.behind_any("--max-frame", "1000"))
        client = self.open(server)
        for length, out in ((1000, "methods"), (1001, "error")):
            body = '{"in":"methods","params":"' + "x" * (length - 28) + '"}'
            self.assertEqual(len(body), length)
            client.send_body(body.encode())
            self.assertEqual(client.receive()["out"], out)

    def test_a_reply_over_the_limit_becomes_an_error(self):
        server = self.start(handoff.behind_any("--max-frame", "1000"))
        client = self.open(server)
        body = b'{"in":"ping","params":"' + b"x" * 975 + b'"}'
        self.assertEqual(len(body), 1000)
        client.send_body(body)
        self.assertEqual(client.receive()["result"]["message"],
                         "the reply exceeds the limit of 1000 bytes")
        self.assertEqual(client.result("ping", 1), 1)

    def test_a_megabyte_goes_through_in_pieces(self):
        server = self.start(handoff.behind_any())
        client = self.open(server)
        params = "x" * 1000000
        self.assertEqual(client.call("echo", params)["result"], params)

    def test_replies_before_a_bad_length_are_not_lost(self):
        server = self.start(handoff.behind_any())
        client = self.open(server)
        good = handoff.frame(b'{"in":"ping","params":1}')
        client.socket.sendall(good * 3 + b"\xff\xff\xff\xff")
        self.assertEqual([client.receive()["out"] for _ in range(4)], ["pong"] * 3 + ["error"])
        self.assertIsNone(client.receive())


class Deadlines(handoff.TestCase):
    def test_a_frame_that_never_gets_whole_is_answered_and_closed(self):
        server = self.start(handoff.behind_any("--frame-timeout", "100ms"))
        for start in (b"\x20", struct.pack("<I", 32), struct.pack("<I", 32) + b'{"in"'):
            client = self.open(server)
            client.socket.sendall(start)
            self.assertEqual(client.receive()["result"]["code"], TIMED_OUT)
            self.assertIsNone(client.receive())

    def test_many_slow_clients_are_closed_and_others_served(self):
        server = self.start(handoff.behind_any("--frame-timeout", "500ms"))
        slow = [self.open(server) for _ in range(handoff.count(10000, 100))]
        for client in slow:
            client.socket.sendall(b"\x20")
        self.assertEqual(self.open(server).result("ping", 1), 1)
        for client in slow:
            self.assertEqual(client.receive()["result"]["code"], TIMED_OUT)

    def test_an_idle_connection_is_closed_at_its_deadline_and_a_busy_one_is_not(self):
        server = self.start(handoff.behind_any("--idle-timeout", "300ms"))
        idle, busy = self.open(server), self.open(server)
        idle.result("ping")
        idle.socket.settimeout(0.05)
        ended = False
        while not ended:
            busy.result("ping")
            try:
                ended = idle.receive() is None
            except TimeoutError:
                pass
        self.assertEqual(busy.result("ping", 1), 1)

    def test_a_client_that_pipelines_and_never_reads_is_cut_off(self):
        server = self.start(handoff.behind_any("--write-timeout", "300ms"))
        client = self.open(server)
        before = handoff.resident_bytes(server.pid_of_reader)
        batch = handoff.frame(b'{"in":"echo","params":"' + b"x" * 50000 + b'"}') * 10
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            while True:
                client.socket.sendall(batch)
        if not handoff.SANITIZED:
            most = 8 * 1024 * 1024
            if handoff.PASS == "queue":
                # Its two memories, and 128 calls that are under way: what was sent, and its reply.
                most += 5 * 1024 * 1024 + 2 * 128 * 50000
            self.assertLess(handoff.resident_bytes(server.pid_of_reader) - before, most)
        self.assertEqual(self.open(server).result("ping", 1), 1)


class Clients(handoff.TestCase):
    def test_a_client_that_resets_in_mid_reply_harms_nobody(self):
        server = self.start(handoff.behind_any())
        other = self.open(server)
        body = b'{"in":"echo","params":"' + b"x" * 900000 + b'"}'
        for _ in range(handoff.count(1000, 20)):
            client = self.open(server)
            client.socket.sendall(handoff.frame(body))
            client.socket.recv(1000)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            self.assertEqual(other.result("ping", 1), 1)

    def test_a_socket_error_ends_its_connection_and_no_other(self):
        words = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto",
                 "-e", "inject=sendto:error=ENOBUFS:when=2", handoff.tool("rpc-worker"),
                 "-l", "127.0.0.1:0"]
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        with handoff.Server(*words, env=environment) as server:
            other, client = server.connect(), server.connect()
            self.assertEqual(other.result("ping", 1), 1)
            self.assertIsNone(client.call("ping"))
            self.assertEqual(other.result("ping", 2), 2)
            os.kill(handoff.children(server.pid)[0], signal.SIGTERM)
            self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
            other.close()
            client.close()

    def test_replies_that_wait_for_a_slow_call_take_bounded_memory(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.start(handoff.behind_any("-m", f"slow=cat {gate}", "--write-timeout", "1s"))
        client = self.open(server)
        client.send("slow")
        before = handoff.resident_bytes(server.pid_of_reader)
        batch = handoff.frame(b'{"in":"echo","params":"' + b"x" * 50000 + b'"}') * 10
        client.socket.settimeout(1)
        with gate.open("w") as opened, self.assertRaises(TimeoutError):
            while True:
                client.socket.sendall(batch)
        if not handoff.SANITIZED:
            self.assertLess(handoff.resident_bytes(server.pid_of_reader) - before, 16 * 1024 * 1024)
        opened.close()

    def test_a_command_that_says_too_much_while_the_worker_is_stopped_is_answered(self):
        started = self.directory / "started"
        os.mkfifo(started)
        server = self.start(handoff.worker(
            "--max-frame", "2000", "-m", f"big=echo >{started}; head -c 3000 /dev/zero"))
        client = self.open(server)
        client.send("big")
        handoff.wait_for(lambda: handoff.children(server.pid), "the command")
        os.kill(server.pid, signal.SIGSTOP)
        child = handoff.children(server.pid)[0]
        started.read_text()
        handoff.wait_for(lambda: not handoff.alive(child), "the command to end")
        os.kill(server.pid, signal.SIGCONT)
        self.assertIn("output exceeds the limit", client.receive()["result"]["message"])

    def test_a_half_closed_client_gets_its_replies(self):
        server = self.start(handoff.behind_any("-m", "one=echo 1"))
        client = self.open(server)
        client.send("one")
        client.send("ping", 2)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual([client.receive()["result"], client.receive()["result"]], [1, 2])
        self.assertIsNone(client.receive())

    def test_thousands_of_idle_connections_are_served(self):
        number = handoff.count(10000, 1000)
        server = self.start(handoff.master(workers=2))
        clients = [self.open(server) for _ in range(number)]
        for client in clients:
            client.send("ping", 1)
        for client in clients:
            self.assertEqual(client.receive()["result"], 1)


if __name__ == "__main__":
    handoff.run_tests()
