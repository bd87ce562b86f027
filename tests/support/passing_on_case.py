# SPDX-License-Identifier: MIT
"""What the tests share in which a worker has connections that it has not started: scripted
workers, which speak the full channel of handoff-wire(7) as far as a test wants it, and then stop
to."""

import collections
import json
import os
import select
import socket
import struct

import handoff
from scripted_worker import CONNECTION, Channel, STARTED, connect

ASIDE = 2  # flag of an entry: its bytes are in a memfd

Entry = collections.namedtuple("Entry", "id fd")


def entry(number: int, read: bytes = b"", flags: int = 0, size=None) -> bytes:
    """An entry without a peer's address."""
    return struct.pack("<QHBBI", number, 0, 0, flags, len(read) if size is None else size) + read


class ScriptedWorker(Channel):
    """One that a test has answer, die and lie."""

    def __init__(self, channel: socket.socket, credits: int = 10000):
        self.held: list[Entry] = []
        super().__init__(channel, credits)

    @classmethod
    def join(cls, path):
        return cls(connect(path))

    def receive(self) -> list:
        """The entries of the next message; none of one that has none."""
        packet, descriptors, kind, count = self.receive_message()
        if kind != CONNECTION:
            return []
        entries = []
        offset = 8
        for descriptor in descriptors[:count]:
            number, peer_size, _, flags, size = struct.unpack_from("<QHBBI", packet, offset)
            assert not flags & ASIDE
            offset += 16 + peer_size + size
            entries.append(Entry(number, descriptor))
        self.held += entries
        return entries

    def receive_until(self, count: int) -> list:
        """Until so many connections are held, not one of them started."""
        while len(self.held) < count:
            self.receive()
        return self.held

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
        self.channel.close()


def end_of(client) -> bytes:
    """What still comes until the end of the connection."""
    received = b""
    try:
        while piece := client.socket.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def is_unanswered(client) -> bool:
    return not select.select([client.socket], [], [], 0)[0]


class PassingOn(handoff.TestCase):
    def clients(self, server, count: int, method: str = "ping") -> list:
        clients = [self.open(server) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(method, number)
        return clients

    def assert_answered_once(self, client, result):
        self.assertEqual(client.receive(), {"out": "pong", "result": result})
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(end_of(client), b"", "and not again")

    def join(self, path) -> ScriptedWorker:
        worker = ScriptedWorker.join(path)
        self.addCleanup(worker.die)
        return worker

    def open_door(self, *options: str, workers: int = 0):
        """A master that workers can join."""
        path = str(self.directory / "join")
        spawned = ["-n", str(workers), "--", handoff.tool("rpc-worker")] if workers else []
        words = [handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-j", path, *options, *spawned]
        server = self.start(handoff.Server(*words, ready=False))
        line = server.wait_for_line(r": ready, .* on ")
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        return server, path
