# SPDX-License-Identifier: MIT
"""What the tests of lines share: a client that sends and receives them, and a server of any
--pass."""

import json
import socket

import handoff

PARSE_ERROR = -32700
INVALID_REQUEST = -32600

PING = b'{"in":"ping","params":%d}'
PONG = b'{"out":"pong","result":%d}'


class Lines(handoff.Connection):
    def __init__(self, address):
        super().__init__(address)
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.stream.close()
        super().close()

    def write(self, data: bytes):
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line without its newline; at the end of the connection nothing."""
        line = self.stream.readline()
        assert line == b"" or line.endswith(b"\n"), line[-100:]
        return line[:-1]

    def rest(self) -> list[bytes]:
        """Says that no more requests come, and gives the replies that still do."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.to_end()

    def to_end(self) -> list[bytes]:
        return list(iter(self.line, b""))


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
