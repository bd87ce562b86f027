# SPDX-License-Identifier: MIT
"""Clients that call without a pause while a test does something to the server."""

import collections
import json
import struct
import threading

import handoff


class Load:
    """Runs each client in a thread of its own, from the beginning of the `with` block to its end.

    A client is a function of the load and of its own number, from 0. It calls until is_over() or
    until it has made all its calls, and counts what it has in `answered` and `errors`. What it
    raises is a problem, which the test reads: nothing else ends the load early.
    """

    def __init__(self, clients, patience: float = 2 * handoff.PATIENCE):
        self.problems: list[str] = []
        self.answered = [0] * len(clients)
        # Of each client, what did not succeed and was allowed not to, by its code or name.
        self.errors = [collections.Counter() for _ in clients]
        self._patience = patience  # until a client must have ended
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(client, number), daemon=True)
                         for number, client in enumerate(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()

    def _run(self, client, number: int):
        try:
            client(self, number)
        except Exception as problem:  # whatever it is: the test tells
            self.problems.append(f"client {number}, call {self.answered[number]}: {problem!r}")

    def is_over(self, pause: float = 0) -> bool:
        """Whether the client is to end, after a pause of so many seconds."""
        return self._over.wait(pause) if pause else self._over.is_set()

    def total_errors(self) -> collections.Counter:
        return sum(self.errors, collections.Counter())

    def go_on(self, calls: int = 3):
        """Waits until each client has had so many more replies."""
        before = list(self.answered)
        handoff.wait_for(
            lambda: self.problems or all(now >= then + calls
                                         for now, then in zip(self.answered, before)),
            "every client to be answered")

    def join(self):
        """Waits until all clients have ended."""
        for thread in self._threads:
            thread.join(self._patience)
        if any(thread.is_alive() for thread in self._threads):
            self.problems.append("a client waits for ever")


def one_shot(address, pause: float = 0):
    """A client that opens a new connection for each call."""
    def call(load: Load, number: int):
        while not load.is_over(pause):
            params = [number, load.answered[number]]
            with handoff.Connection(address) as client:
                reply = client.call("ping", params)
            if reply != {"out": "pong", "result": params}:
                raise AssertionError(f"{reply} for {params}")
            load.answered[number] += 1
    return call


def long_lived(address, ahead: int = 1, pause: float = 0, calls: int | None = None, allowed=(),
               timeout: float = handoff.PATIENCE):
    """A client that keeps its connection, and sends so many requests at a time. It makes so many
    calls, or goes on without end. Each reply must be the right one, or an error whose code is
    allowed."""
    def call(load: Load, number: int):
        with handoff.Connection(address, timeout) as client:
            own_address = client.socket.getsockname()
            received = client.socket.makefile("rb", 65536)
            while not load.is_over(pause) and load.answered[number] != calls:
                first = load.answered[number]
                client.socket.sendall(b"".join(
                    handoff.frame(b'{"in":"ping","params":"%d-%d"}' % (number, first + i))
                    for i in range(ahead)))
                for i in range(ahead):
                    code = _error_in(received,
                                     b'{"out":"pong","result":"%d-%d"}' % (number, first + i))
                    if code is not None and code not in allowed:
                        raise AssertionError(f"the error {code} for call {first + i}")
                    if code is not None:
                        load.errors[number][code] += 1
                    load.answered[number] += 1
            if client.socket.getsockname() != own_address:
                raise AssertionError("another connection")
    return call


def _error_in(received, expected: bytes) -> int | None:
    """The code of the next reply if that is an error; None if it is the expected one."""
    header = received.read(4)
    if len(header) < 4:
        raise EOFError("the connection was closed")
    body = received.read(struct.unpack("<I", header)[0])
    if body == expected:
        return None
    reply = json.loads(body)
    if reply["out"] != "error":
        raise AssertionError(f"{body!r} instead of {expected!r}")
    return reply["result"]["code"]
