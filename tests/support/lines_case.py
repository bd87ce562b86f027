# SPDX-License-Identifier: MIT
"""What the tests of lines share: a client that sends and receives them, and a server of any
--pass."""

import json

import handoff
from framings import Lines

PARSE_ERROR = -32700
INVALID_REQUEST = -32600

PING = b'{"in":"ping","params":%d}'
PONG = b'{"out":"pong","result":%d}'


class LinesCase(handoff.TestCase):
    def serve(self, *options: str):
        self.server = self.start(handoff.behind_any(*options))
        self.client = self.connect()

    def connect(self) -> Lines:
        return self.stack.enter_context(Lines(self.server.address))

    def assert_error(self, line: bytes, code: int):
        """Of the article's dialect."""
        reply = json.loads(line)
        self.assertEqual((reply["out"], reply["result"]["code"]), ("error", code), line)

    def assert_served(self):
        """Other clients are."""
        with handoff.Connection(self.server.address) as other:
            self.assertEqual(other.result("ping", 1), 1)
