# SPDX-License-Identifier: MIT
"""A worker's end of the channel, full form of handoff-wire(7), in the hands of a test."""

import array
import collections
import json
import os
import socket
import struct

from channel_messages import CONNECTION, DRAIN, LISTENER, READY, RETURN, STARTED, hello, message
import handoff

ASIDE = 2  # flag of an entry: its bytes are in a memfd

Entry = collections.namedtuple("Entry", "id fd")


def entry(number: int, read: bytes = b"", flags: int = 0, size=None) -> bytes:
    """An entry without a peer's address."""
    return struct.pack("<QHBBI", number, 0, 0, flags, len(read) if size is None else size) + read


class Channel:
    """Says HELLO and READY. What is received is for those who derive from it."""

    def __init__(self, channel: socket.socket, credits: int, flags: int = 0):
        self.channel = channel
        self.channel.settimeout(handoff.PATIENCE)
        self.drained = False
        self.channel.sendmsg([hello(credits, flags=flags)])
        self.say_ready()

    def say_ready(self):
        self.send(READY)

    def send(self, kind: int, payload: bytes = b"", count: int = 0, descriptors=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self.channel.sendmsg([message(kind, payload, count)], rights if descriptors else [])

    def send_ids(self, kind: int, *ids: int):
        self.send(kind, struct.pack(f"<{len(ids)}Q", *ids), len(ids))

    def receive_message(self) -> tuple[bytes, list[int], int, int]:
        """The next packet, its descriptors, type and count."""
        packet, descriptors, _, _ = socket.recv_fds(self.channel, 128 * 1024, 64)
        assert packet, "the end of the channel"
        magic, version, kind, count, _ = struct.unpack("<2sBBHH", packet[:8])
        assert (magic, version) == (b"HO", 1), packet
        self.drained = self.drained or kind == DRAIN
        return packet, descriptors, kind, count


class ScriptedWorker(Channel):
    """A worker that accepts, starts, answers, returns, lies and dies when a test says so."""

    def __init__(self, channel: socket.socket, credits: int = 10000):
        self.held: list[Entry] = []  # connections that it was given
        self.listeners: list[socket.socket] = []
        self.asked_to_look = 0
        super().__init__(channel, credits)

    @classmethod
    def join(cls, path, **more):
        return cls(connect(path), **more)

    def receive(self) -> int:
        """The next message's type."""
        packet, descriptors, kind, count = self.receive_message()
        if kind == CONNECTION:
            self._hold(packet, descriptors[:count])
        elif kind == LISTENER:
            assert len(packet) == 8 and len(descriptors) == count, packet
            if descriptors:
                self._close_listeners()
                self.listeners = [socket.socket(fileno=number) for number in descriptors]
            else:
                self.asked_to_look += 1
        return kind

    def _hold(self, packet: bytes, descriptors):
        offset = 8
        for descriptor in descriptors:
            number, peer_size, _, flags, size = struct.unpack_from("<QHBBI", packet, offset)
            assert not flags & ASIDE
            offset += 16 + peer_size + size
            self.held.append(Entry(number, descriptor))

    def _close_listeners(self):
        for listener in self.listeners:
            listener.close()
        self.listeners = []

    def receive_until(self, condition):
        while not condition():
            self.receive()

    def hold(self, count: int) -> list[Entry]:
        """Waits until it holds so many connections, not one of them started."""
        self.receive_until(lambda: len(self.held) >= count)
        return self.held

    def take_listeners(self) -> list[socket.socket]:
        """The next ones that it is passed."""
        self._close_listeners()
        self.receive_until(lambda: self.listeners)
        return self.listeners

    def return_connection(self, number: int, connection: socket.socket):
        self.send(RETURN, entry(number), 1, [connection.fileno()])

    def start(self, *entries: Entry):
        self.send_ids(STARTED, *(one.id for one in entries))

    def answer(self, one: Entry):
        """Its first request, which must have been sent."""
        with socket.socket(fileno=os.dup(one.fd)) as connection:
            size = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))[0]
            request = json.loads(connection.recv(size, socket.MSG_WAITALL))
            reply = {"out": "pong", "result": request["params"]}
            connection.sendall(handoff.frame(json.dumps(reply).encode()))

    def die(self):
        """With what it has not read still in the channel."""
        for one in self.held:
            os.close(one.fd)
        self.held = []
        self._close_listeners()
        self.channel.close()


def connect(path) -> socket.socket:
    """To the named socket where workers join."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.connect(str(path))
    return channel
