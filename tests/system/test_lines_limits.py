# SPDX-License-Identifier: MIT
"""Lines of text that are too long, never whole, or on a listener of another framing."""

import json
import pathlib
import select
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from lines_case import INVALID_REQUEST, LinesCase, PARSE_ERROR, PING, PONG  # noqa: E402

TIMED_OUT = -32002


class Limits(LinesCase):
    def body(self, size: int) -> bytes:
        """A request of this size."""
        return b'{"in":"methods","params":"%s"}' % (b"x" * (size - 28))

    def test_a_line_of_just_the_limit_is_served_and_one_byte_more_is_the_end(self):
        for end in (b"\n", b"\r\n"):
            self.serve("--max-frame", "1000")
            self.assertEqual(len(self.body(1000)), 1000)
            self.client.write(self.body(1000) + b"\n")
            self.assertEqual(json.loads(self.client.line())["out"], "methods")
            self.client.write(PING % 1 + b"\n" + self.body(1001) + end + PING % 2 + b"\n")
            self.assertEqual(self.client.line(), PONG % 1)
            refusal, *more = self.client.lines_to_end()
            self.assert_error(refusal, INVALID_REQUEST)
            self.assertIn(b"exceeds the limit of 1000", refusal)
            self.assertEqual(more, [])

    def test_the_limit_is_that_of_the_body_and_a_carriage_return_no_part_of_it(self):
        self.serve("--max-frame", "1000")
        self.client.write(self.body(1000) + b"\r\n")
        self.assertEqual(json.loads(self.client.line())["out"], "methods")
        self.client.write(self.body(1000) + b"\r")
        self.client.write(b"\n")
        self.assertEqual(json.loads(self.client.line())["out"], "methods")

    def test_a_line_over_the_limit_is_refused_before_its_newline(self):
        self.serve("--max-frame", "1000")
        self.client.write(b"[" + b"x" * 1000)
        refusal, = self.client.lines_to_end()
        self.assert_error(refusal, INVALID_REQUEST)

    def test_what_begins_a_line_and_never_ends_takes_no_memory(self):
        self.serve()
        self.client.write(PING % 1 + b"\n")
        self.client.line()
        before = handoff.resident_bytes(self.server.pid_of_reader)
        piece = b" " * 100000
        try:
            for _ in range(1000):
                self.client.write(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if not handoff.SANITIZED:
            self.assertLess(handoff.resident_bytes(self.server.pid_of_reader) - before,
                            8 * 1024 * 1024)
        self.assert_served()

    def test_a_line_over_the_limit_is_answered_in_the_dialect_of_the_connection(self):
        self.serve("--max-frame", "1000")
        self.client.write(b'{"jsonrpc":"2.0","method":"ping","id":1}\n' + b"x" * 2000)
        # In any order: both are of JSON-RPC.
        refusal, reply = sorted(self.client.lines_to_end())
        self.assertEqual(reply, b'{"jsonrpc":"2.0","result":null,"id":1}')
        self.assertEqual(json.loads(refusal)["error"]["code"], INVALID_REQUEST)
        self.assertIsNone(json.loads(refusal)["id"])

    def test_a_reply_over_the_limit_becomes_an_error_line(self):
        self.serve("--max-frame", "1000")
        self.client.write(b'{"in":"ping","params":"%s"}\n' % (b"x" * 975) + PING % 1 + b"\n")
        self.assertIn(b"the reply exceeds the limit of 1000 bytes", self.client.line())
        self.assertEqual(self.client.line(), PONG % 1)

    def test_a_line_that_never_gets_whole_is_answered_and_closed(self):
        self.serve("--frame-timeout", "100ms")
        for start in (b'{"jsonrpc"', PING % 1, b"{}\n", b"\n", b"\n\n\n ", b'{"in":"ping"}\r'):
            with self.subTest(start=start), self.connect() as client:
                client.write(start)
                refusal, = client.lines_to_end()
                self.assert_error(refusal, TIMED_OUT)

    def test_what_follows_a_line_and_never_gets_whole_is_answered_and_closed(self):
        self.serve("--frame-timeout", "100ms")
        self.client.write(PING % 1 + b"\n{")
        self.assertEqual(self.client.line(), PONG % 1)
        refusal, = self.client.lines_to_end()
        self.assert_error(refusal, TIMED_OUT)

    def test_bytes_that_keep_coming_do_not_move_the_deadline(self):
        self.serve("--frame-timeout", "200ms")
        while not select.select([self.client.socket], [], [], 0.01)[0]:
            self.client.write(b" ")
        self.assert_error(self.client.line(), TIMED_OUT)


class Framings(LinesCase):
    def test_lengths_and_lines_are_told_apart_on_one_listener(self):
        self.serve()
        for _ in range(3):
            with self.connect() as lines, handoff.Connection(self.server.address) as lengths:
                lengths.send("ping", 1)
                lines.write(PING % 2 + b"\n")
                self.assertEqual(lines.line(), PONG % 2)
                self.assertEqual(lengths.receive(), {"out": "pong", "result": 1})

    def test_a_connection_keeps_the_framing_that_it_began_with(self):
        self.serve()
        self.client.write(PING % 1 + b"\n" + handoff.frame(PING % 2) + b"\n" + PING % 3 + b"\n")
        self.assertEqual(self.client.line(), PONG % 1)
        self.assert_error(self.client.line(), PARSE_ERROR)
        self.assertEqual(self.client.line(), PONG % 3)
        lengths = self.open(self.server)
        self.assertEqual(lengths.result("ping", 1), 1)
        lengths.socket.sendall(PING % 2 + b"\n")
        self.assertEqual(lengths.receive()["result"]["code"], INVALID_REQUEST)
        self.assertIsNone(lengths.receive())

    def test_framing_length_refuses_text(self):
        self.serve("--framing", "length")
        for text in (PING % 1 + b"\n", b'[{"jsonrpc":"2.0","method":"ping"}]\n', b"\n\n\n\n"):
            with self.subTest(text=text), handoff.Connection(self.server.address) as client:
                client.socket.sendall(text)
                refusal = client.receive()
                self.assertEqual(refusal["result"]["code"], INVALID_REQUEST)
                self.assertIn("exceeds the limit", refusal["result"]["message"])
                self.assertIsNone(client.receive())
        with self.connect() as client:
            client.write(b"1\n")
            self.assertEqual(client.rest_of_lines(), [])
        self.assert_served()

    def test_framing_lines_refuses_lengths(self):
        self.serve("--framing", "lines")
        for body in (PING % 1, PING % 10, b"{}", b'{"in":"ping"}'.ljust(ord("\n")), b""):
            with self.subTest(body=body), self.connect() as client:
                client.write(handoff.frame(body))
                refusal, = client.rest_of_lines()
                self.assert_error(refusal, PARSE_ERROR)

    def test_framing_lines_answers_a_short_line_at_once(self):
        self.serve("--framing", "lines")
        for text in (b"{}\n", b"1\n", b"\n\r\n[\n", b"\x00\n"):
            self.client.write(text)
            self.assertEqual(json.loads(self.client.line())["out"], "error")
        self.client.write(PING % 1 + b"\n")
        self.assertEqual(self.client.line(), PONG % 1)

    def test_framing_auto_is_the_default(self):
        self.serve("--framing", "auto")
        self.client.write(PING % 1 + b"\n")
        self.assertEqual(self.client.line(), PONG % 1)
        self.assert_served()

    def test_the_highest_limit_leaves_text_to_be_told(self):
        self.serve("--max-frame", "128MiB")
        for text in (PING % 1, b"\t\t\t\t" + PING % 1, b"\n\n\n\t" + PING % 1):
            with self.subTest(text=text), self.connect() as client:
                client.write(text + b"\n")
                self.assertEqual(client.line(), PONG % 1)
        self.assert_served()


if __name__ == "__main__":
    handoff.run_tests()
