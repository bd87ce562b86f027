# SPDX-License-Identifier: MIT
"""What the server takes for JSON: in params, as whole bodies, and from commands."""

import itertools
import json
import pathlib
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from json_documents import (  # noqa: E402
    INVALID, MAX_DEPTH, SPACE, VALID, VALUE_AND_MEMBERS, nested)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
FAILED = -32001
NOT_JSON = "the command's output is not JSON"

# Where params may stand in a request.
ENVELOPES = [b'{"in":"echo","params":%s}', b'{"params":%s,"in":"echo"}']

# A request is built around params by putting bytes together. `1,"x":2` is no document, but behind
# `"params":` it is a value and one more member of a valid request, and so are the others here.
INVALID_PARAMS = [document for document in INVALID if document not in VALUE_AND_MEMBERS]

# What comes back: the white space around params is not part of them, and what a command prints
# loses that at its end.
TRIMMED = [document.strip(SPACE) for document in VALID]
TRIMMED_AT_END = [document.rstrip(SPACE) for document in VALID]

# A command that prints nothing but white space has the result null.
INVALID_OUTPUT = [document for document in INVALID if document.strip(SPACE)]


class Documents(handoff.TestCase):
    def setUp(self):
        super().setUp()
        (self.directory / "documents").mkdir()
        # `id` gives its params back; `file` prints the file that has its params for a name.
        self.server = self.start(handoff.behind_any(
            "-m", "id=cat", "-m", f'file=cat "{self.directory}/documents/$(cat)"'))
        self.client = self.open(self.server)

    def exchange(self, bodies: list[bytes]) -> list[bytes]:
        """Sends the requests without waiting for replies, and gives the bodies of the replies."""
        requests = b"".join(map(handoff.frame, bodies))
        sender = threading.Thread(target=self.client.socket.sendall, args=(requests,), daemon=True)
        sender.start()
        replies = [self.receive_body() for _ in bodies]
        sender.join()
        return replies

    def receive_body(self) -> bytes:
        header = self.client.read(4)
        self.assertIsNotNone(header, "the connection stays usable")
        return self.client.read(struct.unpack("<I", header)[0])

    def exchange_between_pings(self, bodies: list[bytes]) -> list[bytes]:
        """The same with a ping behind each request."""
        pings = [b'{"in":"ping","params":%d}' % number for number in range(len(bodies))]
        replies = self.exchange(list(itertools.chain(*zip(bodies, pings))))
        self.assertEqual(replies[1::2],
                         [b'{"out":"pong","result":%d}' % number for number in range(len(bodies))])
        return replies[::2]

    def assert_results(self, method: bytes, results: list[bytes], replies: list[bytes]):
        for result, body in zip(results, replies, strict=True):
            with self.subTest(result=result[:100], size=len(result)):
                expected = b'{"out":"%s","result":%s}' % (method, result)
                self.assertTrue(body == expected, body[:200])

    def assert_errors(self, code: int, documents: list[bytes], replies: list[bytes],
                      message: str = ""):
        for document, body in zip(documents, replies, strict=True):
            with self.subTest(document=document[:100], size=len(document)):
                self.assertTrue(body.startswith(b'{"out":"error",'), body[:200])
                error = json.loads(body)["result"]
                self.assertEqual(error["code"], code, error)
                self.assertIn(message, error["message"])

    def write(self, documents: list[bytes]) -> list[bytes]:
        """Requests that have `file` print the documents."""
        for number, document in enumerate(documents):
            (self.directory / "documents" / str(number)).write_bytes(document)
        return [b'{"in":"file","params":%d}' % number for number in range(len(documents))]


class Lists(handoff.TestCase):
    def test_no_document_is_there_twice(self):
        self.assertEqual(len(set(VALID + INVALID)), len(VALID) + len(INVALID))


class Params(Documents):
    def test_valid_params_come_back_byte_for_byte(self):
        for envelope in ENVELOPES:
            replies = self.exchange_between_pings([envelope % document for document in VALID])
            self.assert_results(b"echo", TRIMMED, replies)

    def test_invalid_params_are_refused_and_the_connection_lives_on(self):
        for envelope in ENVELOPES:
            replies = self.exchange_between_pings(
                [envelope % document for document in INVALID_PARAMS])
            self.assert_errors(PARSE_ERROR, INVALID_PARAMS, replies)

    def test_a_value_with_further_members_behind_it_is_params_and_ignored_fields(self):
        for document in VALUE_AND_MEMBERS:
            with self.subTest(document=document):
                reply = json.loads(self.exchange([ENVELOPES[0] % document])[0])
                self.assertEqual(reply["result"], json.loads(b'{"params":%s}' % document)["params"])

    def test_params_nest_one_level_less_than_a_body(self):
        deepest, too_deep = nested(MAX_DEPTH - 1), nested(MAX_DEPTH)
        for envelope in ENVELOPES:
            replies = self.exchange_between_pings([envelope % each for each in deepest + too_deep])
            self.assert_results(b"echo", deepest, replies[:len(deepest)])
            self.assert_errors(PARSE_ERROR, too_deep, replies[len(deepest):])


class Bodies(Documents):
    def test_a_valid_body_that_is_no_request_is_told_from_an_invalid_one(self):
        self.assert_errors(INVALID_REQUEST, VALID, self.exchange_between_pings(VALID))

    def test_an_invalid_body_is_refused_and_the_connection_lives_on(self):
        self.assert_errors(PARSE_ERROR, INVALID, self.exchange_between_pings(INVALID))

    def test_a_body_nests_64_levels_and_no_more(self):
        for levels, code in ((64, INVALID_REQUEST), (65, PARSE_ERROR)):
            bodies = nested(levels)
            self.assert_errors(code, bodies, self.exchange_between_pings(bodies))

    def test_a_body_that_is_cut_off_is_not_completed_by_the_frame_behind_it(self):
        # The lowest byte of the next frame's length would complete it.
        for cut, missing in ((b"[1", b"]"), (b'{"in":"ping"', b"}"), (b'"a', b'"'), (b"tru", b"e"),
                             (b"nul", b"l"), (b"-", b"1"), (b"1.", b"0"), (b"1e", b"5"),
                             (b'[1,"a"', b"]"), (b'{"a":{}', b"}"), (b'"\\', b'"'),
                             (b'"\xc3', b"\xa9"), (b'{"in":"ping","params":nul', b"l")):
            ping = b'{"in":"ping","params":""}'.rjust(missing[0])
            self.assertEqual(handoff.frame(ping)[:1], missing)
            replies = self.exchange([cut, ping])
            self.assert_errors(PARSE_ERROR, [cut], replies[:1])
            self.assertEqual(replies[1], b'{"out":"pong","result":""}')


class Commands(Documents):
    def test_valid_params_go_through_a_command_unchanged(self):
        replies = self.exchange([b'{"in":"id","params":%s}' % document for document in VALID])
        self.assert_results(b"id", TRIMMED, replies)

    def test_valid_output_is_the_result(self):
        self.assert_results(b"file", TRIMMED_AT_END, self.exchange(self.write(VALID)))

    def test_invalid_output_is_an_error(self):
        replies = self.exchange(self.write(INVALID_OUTPUT))
        self.assert_errors(FAILED, INVALID_OUTPUT, replies, NOT_JSON)

    def test_output_nests_one_level_less_than_a_body(self):
        deepest, too_deep = nested(MAX_DEPTH - 1), nested(MAX_DEPTH)
        replies = self.exchange(self.write(deepest + too_deep))
        self.assert_results(b"file", deepest, replies[:len(deepest)])
        self.assert_errors(FAILED, too_deep, replies[len(deepest):], NOT_JSON)


if __name__ == "__main__":
    handoff.run_tests()
