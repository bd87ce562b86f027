# SPDX-License-Identifier: MIT
"""Clients of a server whose workers are killed: those that wait, those with one long call, and
those that call without a pause. Each kind knows what a kill may cost it."""

import json
import struct

import handoff
from handoff import Connection
from load import Load

WORKER_DIED = -32004

# What each worker of such a server needs: a call that does not end by itself.
SLOW = ("--timeout", "0", "-m", "slow=sleep 1000")


class Idle:
    """Clients that think. None of them may notice anything."""

    def __init__(self, test: handoff.TestCase, address, count: int):
        self.clients = [test.stack.enter_context(Connection(address)) for _ in range(count)]
        self.sent = 0
        self.waiting: list[Connection] = []
        self.ping(self.clients)
        self.answer(self.clients)

    def ping(self, clients):
        for client in clients:
            client.send("ping", self.sent)

    @staticmethod
    def answer(clients):
        for client in clients:
            reply = client.receive()
            assert reply is not None and reply["out"] == "pong", reply

    def send_some(self, count: int):
        """A request on each of the next `count` clients, whose replies check() waits for."""
        for _ in range(count):
            client = self.clients[self.sent % len(self.clients)]
            self.sent += 1
            if client not in self.waiting:
                client.send("ping", self.sent)
                self.waiting.append(client)

    def answer_waiting(self):
        self.answer(self.waiting)
        self.waiting = []

    def check(self):
        """All are answered: first what was sent before, and then one more request of each."""
        self.answer_waiting()
        self.ping(self.clients)
        self.answer(self.clients)


class LongCall:
    """A client with one call that lasts, in one framing and dialect, with an id or without."""

    KINDS = [(framing, dialect, call_id) for framing in ("length", "lines")
             for dialect in ("article", "json-rpc") for call_id in ("a-ß\"", 17)]
    KINDS += [("length", "article", None), ("lines", "article", None)]

    def __init__(self, test: handoff.TestCase, address, kind):
        self.framing, self.dialect, self.id = kind
        self.connection = test.stack.enter_context(Connection(address))
        self.socket = self.connection.socket
        self.errors = 0
        assert self.call("ping") == "answered"

    def send(self, method: str):
        article = {"in": method} if self.id is None else {"in": method, "id": self.id}
        json_rpc = {"jsonrpc": "2.0", "method": method, "id": self.id}
        body = json.dumps(article if self.dialect == "article" else json_rpc).encode()
        self.socket.sendall(handoff.frame(body) if self.framing == "length" else body + b"\n")

    def receive(self) -> str:
        """`answered`, or `died` when its worker has; all else fails, an end too."""
        reply = json.loads(self.receive_body())
        assert reply.get("id") == self.id, reply
        if self.dialect == "json-rpc":
            assert reply["jsonrpc"] == "2.0", reply
            error = reply.get("error")
        else:
            assert "jsonrpc" not in reply, reply
            error = reply["result"] if reply["out"] == "error" else None
        assert error is None or error["code"] == WORKER_DIED, reply
        return "died" if error else "answered"

    def receive_body(self) -> bytes:
        if self.framing == "length":
            header = self.connection.read(4)
            assert header, "the connection has ended"
            return self.connection.read(struct.unpack("<I", header)[0])
        line = b""
        while not line.endswith(b"\n"):
            piece = self.socket.recv(1)
            assert piece, "the connection has ended"
            line += piece
        return line

    def call(self, method: str) -> str:
        self.send(method)
        return self.receive()

    def begin(self):
        self.send("slow")

    def begin_again_if_it_died(self):
        """Once the error is here the connection goes on, and gets the next call."""
        if not handoff.unread(self.socket):
            return
        assert self.receive() == "died"
        self.errors += 1
        assert self.call("ping") == "answered"
        self.begin()


class Busy(Load):
    """Clients that call without a pause, and come back when they are cut off: within a call, that
    is, and not with a wrong reply."""

    def __init__(self, address, count: int):
        super().__init__([self._call_on] * count)
        self.address = address

    def lost(self) -> int:
        """How many connections were cut off."""
        return self.total_errors()["lost"]

    def _call_on(self, _, number: int):
        count = 0
        while not self.is_over():
            with Connection(self.address) as client:
                is_connected = True
                while is_connected and not self.is_over():
                    count += 1
                    is_connected = self._call(client, number, [number, count])

    def _call(self, client, number: int, params) -> bool:
        """Whether the connection is still there."""
        try:
            reply = client.call("echo", params)
        except (ConnectionError, EOFError):
            reply = None
        if reply is None:
            self.errors[number]["lost"] += 1
            return False
        assert reply == {"out": "echo", "result": params}, reply
        self.answered[number] += 1
        return True


def ready_workers(control: str) -> list[int]:
    with Connection(control) as client:
        return [worker["pid"] for worker in client.result("status")["workers"]
                if worker["state"] == "ready"]
