# SPDX-License-Identifier: MIT
"""What the tests share in which rpc-worker forwards methods to another server: backends that a
test plays, and servers to forward to."""

import contextlib
import json
import os
import pathlib
import queue
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import handoff

SUPPORT = handoff.ROOT / "tests" / "support"
WORKER = handoff.tool("rpc-worker")
NO_METHOD = -32601
FAILED = -32001
TIMED_OUT = -32002
DIED = -32004
UNREACHABLE = -32006

# How many connections a forwarder makes to one server, and calls on each before there is another.
MAX_LINKS = 8
CALLS_BEFORE_NEXT = 4

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0


def setUpModule():
    # As many descriptors as clients and a server in this process need.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


class Backend:
    """A server in this process. Each request is kept until the test takes it and answers it."""

    def __init__(self, path: str, listens: bool = True):
        self.requests: queue.Queue = queue.Queue()
        self.connections: list[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        if listens:
            self.listen()

    def listen(self):
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with contextlib.suppress(OSError):  # closed by the test
            while header := connection.recv(4, socket.MSG_WAITALL):
                body = connection.recv(struct.unpack("<I", header)[0], socket.MSG_WAITALL)
                self.requests.put(Request(connection, json.loads(body)))

    def take(self) -> "Request":
        return self.requests.get(timeout=handoff.PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in [self.listener, *self.connections]:
            # Threads that wait in it are woken by this, and not by close().
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Request:
    def __init__(self, connection: socket.socket, body: dict):
        self.connection = connection
        self.method = body["in"]
        self.params = body["params"]
        self.id = body.get("id")

    def send(self, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.sendall(handoff.frame(text))

    def reply(self, result, **more):
        self.send({"out": self.method, "result": result, "id": self.id, **more})

    def reply_without_id(self, result):
        self.send({"out": self.method, "result": result})


class ForwardTest(handoff.TestCase):
    def path(self, name: str = "backend") -> str:
        return str(self.directory / name)

    def worker(self, *options: str, name: str = "backend") -> handoff.Server:
        return self.start(handoff.worker("-l", self.path(name), *options))

    def forwarder(self, *options: str) -> handoff.Server:
        return self.worker(*options, name="forwarder")

    def backend(self, name: str = "backend", **options) -> Backend:
        return self.stack.enter_context(Backend(self.path(name), **options))

    def article_server(self, *options: str) -> subprocess.Popen:
        server = subprocess.Popen(
            [sys.executable, "-B", SUPPORT / "article_server.py", "--unix", self.path(), *options],
            stdout=subprocess.PIPE)
        self.stack.callback(server.stdout.close)
        self.stack.callback(server.wait)
        self.stack.callback(server.kill)
        server.stdout.readline()
        return server

    def scripted_server(self, *actions: str) -> handoff.Server:
        words = [sys.executable, "-B", str(SUPPORT / "scripted_server.py"), self.path(), *actions]
        server = self.start(handoff.Server(*words, ready=False))
        server.wait_for_line("^ready, on ")
        return server

    def gate(self, name: str = "gate") -> pathlib.Path:
        """A command that reads it waits until the test writes to it."""
        path = self.directory / name
        os.mkfifo(path)
        return path

    def assert_error(self, reply, code: int, message: str = ""):
        self.assertIsNotNone(reply, "the connection of the caller has ended")
        self.assertEqual(reply["out"], "error", reply)
        self.assertEqual(reply["result"]["code"], code, reply)
        self.assertRegex(reply["result"]["message"], message or ".")

    def assert_silent(self, client: handoff.Connection, seconds: float = 0):
        self.assertEqual(select.select([client.socket], [], [], seconds)[0], [])

    def stop(self, pid: int):
        """SIGSTOP, and waits until none of its threads runs any more."""
        os.kill(pid, signal.SIGSTOP)

        def is_stopped() -> bool:
            return all("\nState:\tT" in (task / "status").read_text()
                       for task in pathlib.Path(f"/proc/{pid}/task").iterdir())

        handoff.wait_for(is_stopped, "the process to stop")

    def exchange(self, client: handoff.Connection, backend: Backend, params):
        """A call of `x`, from the client to the backend and back."""
        client.send("x", params)
        handoff.wait_for(lambda: select.select([client.socket], [], [], 0)[0] or
                         not backend.requests.empty(), "the call")
        if backend.requests.empty():
            self.fail(f"it was not forwarded: {client.receive()}")
        request = backend.take()
        request.reply(params)
        self.assertEqual((request.params, client.receive()),
                         (params, {"out": "x", "result": params}))

    def call_until_it_succeeds(self, client: handoff.Connection, method: str) -> float:
        """How many seconds that took."""
        started = time.monotonic()
        handoff.wait_for(lambda: client.call(method)["out"] == method, f"{method} to succeed")
        return time.monotonic() - started
