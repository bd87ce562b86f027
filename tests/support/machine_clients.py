# SPDX-License-Identifier: MIT
"""Clients that call servers on other machines: what fails is counted, and they go on."""

import collections
import json
import select
import socket
import struct
import time

import handoff
from load import Load

# A call that takes longer has failed.
DEADLINE = 5.0
PAUSE = 0.004

ENDED = "session ended"


class Session:
    """A client's connection. A protocol says how a call is made."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.is_last = False  # whether the last reply said that no other follows it

    def has_ended(self) -> bool:
        """Whether the server has ended the session, before it got another request."""
        return self.is_last or bool(select.select([self.socket], [], [], 0)[0])

    def exactly(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError("the end came instead of the reply")
        return data

    def close(self):
        self.file.close()
        self.socket.close()


class Article(Session):
    """It knows the member "last"."""

    def call(self, params):
        self.socket.sendall(handoff.frame(json.dumps({"in": "ping", "params": params}).encode()))
        reply = json.loads(self.exactly(struct.unpack("<I", self.exactly(4))[0]))
        if (reply["out"], reply["result"]) != ("pong", params):
            raise ValueError(f"{reply}")
        self.is_last = "last" in reply


class Http(Session):
    """It knows `Connection: close`."""

    def call(self, _):
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.exactly(1).lower()
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0].decode())
        self.exactly(int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
        self.is_last = b"\r\nconnection: close\r\n" in head


class MachineLoad:
    """So many clients that keep their session, and so many that make one for each call, in the
    network of `client`. None of them calls anything twice."""

    def __init__(self, client, address, stay: int = 24, come_and_go: int = 24, protocol=Article):
        self._client, self._address, self._protocol = client, address, protocol
        self._load = Load([self._stay] * stay + [self._come_and_go] * come_and_go)
        self._last_reply = [0.0] * (stay + come_and_go)
        self._silences = [0.0] * (stay + come_and_go)

    def __enter__(self):
        self._load.__enter__()
        return self

    def __exit__(self, *exception):
        self._load.__exit__(*exception)

    def go_on(self, calls: int = 3):
        self._load.go_on(calls)

    @property
    def calls(self) -> int:
        return sum(self._load.answered)

    @property
    def failures(self) -> collections.Counter:
        """What went wrong, how often."""
        return self._load.total_errors() - self._ended() + collections.Counter(self._load.problems)

    @property
    def ended_sessions(self) -> int:
        """How many sessions were ended, each by the server and between two calls."""
        return self._ended()[ENDED]

    @property
    def longest_silence(self) -> float:
        """The longest time in seconds for which a client had no reply, though it kept calling."""
        return max(self._silences)

    def _ended(self) -> collections.Counter:
        return collections.Counter({ENDED: self._load.total_errors()[ENDED]})

    def _stay(self, load: Load, number: int):
        self._client.enter()
        session = None
        self._last_reply[number] = time.monotonic()
        while not load.is_over(PAUSE):
            if session is not None and session.has_ended():
                load.errors[number][ENDED] += 1
                session.close()
                session = None
            session = self._call(load, number, session)
        if session is not None:
            session.close()

    def _come_and_go(self, load: Load, number: int):
        self._client.enter()
        self._last_reply[number] = time.monotonic()
        while not load.is_over(PAUSE):
            session = self._call(load, number, None)
            if session is not None:
                session.close()

    def _call(self, load: Load, number: int, session):
        """A call in this session, or in a new one. Gives the session, unless the call fails."""
        try:
            if session is None:
                session = self._protocol(self._address)
            session.call([number, load.answered[number]])
        except (OSError, EOFError, ValueError) as problem:
            load.errors[number][f"call failed: {problem!r}"] += 1
            if session is not None:
                session.close()
            return None
        now = time.monotonic()
        self._silences[number] = max(self._silences[number], now - self._last_reply[number])
        self._last_reply[number] = now
        load.answered[number] += 1
        return session
