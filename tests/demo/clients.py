# SPDX-License-Identifier: MIT
"""Clients that stay connected and call again and again, and a count of all that happens to them."""

import asyncio
import collections
import json
import struct
import time

import handoff
from processes import Failure

REQUEST = handoff.frame(json.dumps({"in": "info"}).encode())

# The code of the error that the master of a queue answers a call with whose worker has died.
WORKER_DIED = -32004


class Client(asyncio.Protocol):
    """One connection. Each reply tells which process has answered, so that the picture shows who
    really has the connection."""

    def __init__(self, load: "Load", number: int):
        self.load, self.number = load, number
        self.pid: int | None = None  # of the worker that has answered last
        self.answers = 0
        self._transport = self._next_call = None
        self._buffer = b""
        self._begun = 0.0
        self.waits = False  # for the reply to a call

    def connection_made(self, transport):
        self._transport = transport
        self._buffer = b""
        self.call()

    def call(self):
        if not self.load.over and not self._transport.is_closing():
            self.load.calls += 1
            self.waits, self._begun = True, time.monotonic()
            self._transport.write(REQUEST)

    def data_received(self, data: bytes):
        self._buffer += data
        if len(self._buffer) < 4:
            return
        end = 4 + struct.unpack_from("<I", self._buffer)[0]
        if len(self._buffer) >= end:
            reply, self._buffer = json.loads(self._buffer[4:end]), self._buffer[end:]
            self._answered(reply)

    def _answered(self, reply: dict):
        self.waits = False
        self.load.slowest = max(self.load.slowest, time.monotonic() - self._begun)
        if reply["out"] == "info":
            self.load.answered += 1
            self.answers += 1
            self.pid = reply["result"]["pid"]
        elif reply["result"].get("code") == WORKER_DIED and self.load.doomed:
            self.load.died_of += 1
        else:
            self.load.lost += 1
            self.load.fail(f"client {self.number} got an error: {reply['result']}")
        self._next_call = asyncio.get_running_loop().call_later(self.load.interval, self.call)

    def connection_lost(self, problem: Exception | None):
        if self._next_call:
            self._next_call.cancel()
        if not self.load.over:
            self.load.on_closed(self, problem)

    def close(self):
        self._transport.close()


class Load:
    """So many clients of one server, each on a connection that it means to keep for ever.

    `doomed` is the process id of a worker that the demo is about to kill: what is lost together
    with that process is counted apart. Anything else that is lost makes check() fail.
    """

    def __init__(self, address: str, count: int, interval: float):
        self.interval = interval
        self.clients = [Client(self, number) for number in range(count)]
        self.calls = self.answered = 0
        self.slowest = 0.0  # seconds
        self.doomed = 0
        self.closed_by_kill = self.unanswered_by_kill = 0
        self.died_of = 0  # calls that were answered with the error "worker died"
        self.closed = self.lost = 0  # connections and calls, apart from those of the kill
        self.problem: str | None = None  # the first one
        self.over = False
        self._address = address
        self._tasks: set[asyncio.Task] = set()

    def connect(self):
        for client in self.clients:
            self._connect(client)

    def _connect(self, client: Client):
        task = asyncio.create_task(self._dial(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, client: Client):
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: client, self._address)
        except OSError as problem:
            self.fail(f"client {client.number} was refused: {problem}")

    def on_closed(self, client: Client, problem: Exception | None):
        if client.pid != self.doomed or not self.doomed:
            self.closed += 1
            self.lost += client.waits
            self.fail(f"the connection of client {client.number} was closed: "
                      f"{problem or 'end of file'}")
            return
        self.closed_by_kill += 1
        self.unanswered_by_kill += client.waits
        client.waits, client.pid = False, None
        self._connect(client)

    def fail(self, problem: str):
        self.problem = self.problem or problem

    def check(self):
        """Fails when anything was lost but what a killed worker took along."""
        if self.problem is not None:
            raise Failure(f"{self.problem} (connections closed: {self.closed}, calls lost: "
                          f"{self.lost})")

    def held(self) -> collections.Counter:
        """How many connections each process has, by its id."""
        return collections.Counter(client.pid for client in self.clients if client.pid)

    def answers(self) -> list[int]:
        return [client.answers for client in self.clients]

    def all_answered_since(self, before: list[int]) -> bool:
        """Whether each client has had two answers since then; it has asked for the second one later
        than that."""
        return all(client.answers >= then + 2 for client, then in zip(self.clients, before))

    def all_served_by(self, pids) -> bool:
        return all(client.pid in pids for client in self.clients)

    def are_quiet(self) -> bool:
        return not any(client.waits for client in self.clients)

    def close(self):
        for client in self.clients:
            client.close()
