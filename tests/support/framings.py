# SPDX-License-Identifier: MIT
"""Clients that see the bytes of each message, in both framings."""

import json
import socket
import struct

import handoff


class Lengths(handoff.Connection):
    """Bodies with a length in front."""

    def receive_body(self):
        """The next reply's bytes, or None at the end of the connection."""
        header = self.read(4)
        return None if header is None else self.read(struct.unpack("<I", header)[0])

    def receive(self):
        body = self.receive_body()
        return None if body is None else json.loads(body)

    def end(self):
        """Says that no more requests come."""
        self.socket.shutdown(socket.SHUT_WR)

    def rest(self) -> list:
        """All replies that still come when there are no more requests."""
        self.end()
        return list(iter(self.receive, None))


class Lines(Lengths):
    """Bodies with a newline after each."""

    def __init__(self, address):
        super().__init__(address)
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.stream.close()
        super().close()

    def write(self, data: bytes):
        self.socket.sendall(data)

    def send_body(self, body: bytes):
        self.write(body.replace(b"\n", b" ") + b"\n")

    def line(self) -> bytes:
        """The next line without its newline; at the end of the connection nothing."""
        line = self.stream.readline()
        assert line == b"" or line.endswith(b"\n"), line[-100:]
        return line[:-1]

    def receive_body(self):
        return self.line() or None

    def lines_to_end(self) -> list[bytes]:
        return list(iter(self.line, b""))

    def rest_of_lines(self) -> list[bytes]:
        """All lines that still come when there are no more requests."""
        self.end()
        return self.lines_to_end()
