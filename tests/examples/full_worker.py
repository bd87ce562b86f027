#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker in Python, with all of the channel: `rpc-master -- ./full_worker.py`.

It answers `ping` and `upper`. Its connections move to another worker when it is replaced, and no
client notices. It serves its clients one request after the other, as handoff-wire(7) has it.
"""
import errno
import json
import os
import selectors
import socket
import struct
import time

HELLO, READY, CONNECTION, STARTED, _, FINISHED, RETURN, _, _, DRAIN, _, REQUESTS = range(1, 13)
ANSWERS_REQUESTS = GIVE_BACK = 1
ASIDE = 2  # the bytes that were read are in a file that comes behind the socket
UNKNOWN, LENGTH, LINES = range(3)
TEXT = bytes(range(32, 127)) + b"\t\r\n"

METHODS = {"ping": lambda params: params, "upper": lambda params: str(params).upper()}


def message(kind: int, count: int = 0, flags: int = 0, body: bytes = b"") -> bytes:
    return struct.pack("<2sBBHH", b"HO", 1, kind, count, flags) + body


def answer(body: bytes) -> bytes:
    try:
        request = json.loads(body)
        name = request["in"]
        out = "pong" if name == "ping" else name
        reply = {"out": out, "result": METHODS[name](request.get("params"))}
    except KeyError:
        reply = {"out": "error", "result": {"code": -32601, "message": "no such method"}}
    except (ValueError, TypeError):
        reply = {"out": "error", "result": {"code": -32700, "message": "not a request"}}
    return json.dumps(reply).encode()


class Connection:
    """A client, and all that the next worker has to know of it."""

    def __init__(self, client: socket.socket, entry: tuple, unread: bytes, peer: bytes):
        self.client = client
        self.number, _, self.framing, self.flags, _ = entry
        self.unread = unread
        self.peer = peer

    def entry(self) -> bytes:
        return struct.pack("<QHBBI", self.number, len(self.peer), self.framing,
                           self.flags & ~ASIDE, len(self.unread)) + self.peer + self.unread

    def next_request(self) -> bytes | None:
        if self.framing == UNKNOWN and (len(self.unread) >= 4 or b"\n" in self.unread):
            self.framing = LINES if all(byte in TEXT for byte in self.unread[:4]) else LENGTH
        if self.framing == LINES and b"\n" in self.unread:
            body, _, self.unread = self.unread.partition(b"\n")
            return body
        if self.framing == LENGTH and len(self.unread) >= 4:
            end = 4 + int.from_bytes(self.unread[:4], "little")
            if len(self.unread) >= end:
                body, self.unread = self.unread[4:end], self.unread[end:]
                return body
        return None

    def answer_all(self) -> int:
        """Answers the whole requests among the bytes that were read, and gives their number."""
        count = 0
        while (body := self.next_request()) is not None:
            if self.framing == LINES and not body.strip():
                continue
            count += 1
            reply = answer(body)
            self.client.sendall(reply + b"\n" if self.framing == LINES else
                                struct.pack("<I", len(reply)) + reply)
        return count


class Worker:
    def __init__(self, channel: socket.socket):
        self.channel = channel
        self.events = selectors.DefaultSelector()
        self.connections: dict[int, Connection] = {}
        self.requests = 0
        self.drains = False

    def send(self, data: bytes, fds: tuple = ()):
        while True:
            try:
                socket.send_fds(self.channel, [data], fds)
                return
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:
                    raise
                time.sleep(0.01)  # more descriptors are under way than this user may have there

    def run(self):
        self.events.register(self.channel, selectors.EVENT_READ, None)
        self.send(message(HELLO, flags=ANSWERS_REQUESTS,
                          body=struct.pack("<III", os.getpid(), 1000, 1)))
        self.send(message(READY))
        while not (self.drains and not self.connections):
            for key, _ in self.events.select():
                if key.data is None:
                    self.read_channel()
                elif key.data.number in self.connections:
                    self.read_client(key.data)

    def read_channel(self):
        data, fds, _, _ = socket.recv_fds(self.channel, 128 * 1024, 32)
        if not data:  # the master is gone: what is idle has nobody to go to
            return self.drain(give_back=False)
        _, _, kind, count, flags = struct.unpack_from("<2sBBHH", data)
        if kind == CONNECTION:
            self.take(data[8:], count, iter(fds))
        elif kind == DRAIN:
            self.drain(bool(flags & GIVE_BACK))
        elif kind == REQUESTS:
            self.send(message(REQUESTS, body=struct.pack("<Q", self.requests)))
        return None

    def take(self, data: bytes, count: int, fds):
        taken = []
        for _ in range(count):
            entry = struct.unpack_from("<QHBBI", data)
            _, peer_size, _, flags, size = entry
            peer, data = data[16:16 + peer_size], data[16 + peer_size:]
            client = socket.socket(fileno=next(fds))
            if flags & ASIDE:
                with open(next(fds), "rb") as file:
                    unread = file.read(size)
            else:
                unread, data = data[:size], data[size:]
            taken.append(Connection(client, entry, unread, peer))
        self.send(message(STARTED, count, body=b"".join(struct.pack("<Q", each.number)
                                                        for each in taken)))
        for connection in taken:
            self.connections[connection.number] = connection
            self.events.register(connection.client, selectors.EVENT_READ, connection)
            self.requests += connection.answer_all()

    def read_client(self, connection: Connection):
        try:
            data = connection.client.recv(64 * 1024)
            connection.unread += data or b"\n" * (connection.framing == LINES)
            self.requests += connection.answer_all()
        except OSError:
            data = b""
        if not data:
            self.close(connection)

    def close(self, connection: Connection):
        self.forget(connection)
        try:
            connection.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.client.close()
        self.send(message(FINISHED, 1, body=struct.pack("<Q", connection.number)))

    def forget(self, connection: Connection):
        del self.connections[connection.number]
        self.events.unregister(connection.client)

    def drain(self, give_back: bool):
        """Every request that was read is answered: nothing is under way."""
        self.drains = True
        for connection in list(self.connections.values()):
            if not give_back:
                self.close(connection)
                continue
            self.forget(connection)
            self.send(message(RETURN, 1, body=connection.entry()), (connection.client.fileno(),))
            connection.client.close()


if __name__ == "__main__":
    Worker(socket.socket(fileno=int(os.environ["HANDOFF_CHANNEL_FD"]))).run()
