# SPDX-License-Identifier: MIT
"""Ten reloads under load, here and under nginx and Node's cluster: what do clients notice?

16 clients stay connected and call every 10 ms; 16 threads make a connection for each call. A
connection counts as lost when the server ends it, announced or not. Peers that are not installed
are left out (`make bench-deps`).
"""

import contextlib
import functools
import socket
import tempfile
import threading
import time

from bench_support import handoff
from peers import HTTP_PEERS

CLIENTS = 16
RELOADS = 10
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Http:
    """A client of HTTP with one connection."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, 10)
        self.file = self.socket.makefile("rb")

    def call(self):
        self.socket.sendall(REQUEST)
        self.read_reply()

    def read_reply(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            if not line:
                raise EOFError
            head += line.lower()
        size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        self.file.read(size)
        if b"connection: close" in head:
            raise EOFError

    def close(self):
        self.socket.close()


class Article(handoff.Connection):
    def call(self):
        if handoff.Connection.call(self, "ping", 1) != {"out": "pong", "result": 1}:
            raise EOFError


def load(client, address, lost, failed, over):
    """Starts the clients' threads."""
    def stay():
        while not over.is_set():
            with contextlib.suppress(OSError, EOFError):
                connection = client(address)
                try:
                    while not over.is_set():
                        connection.call()
                        over.wait(0.01)
                    return
                finally:
                    connection.close()
            lost.append(1)

    def come_and_go():
        while not over.is_set():
            try:
                connection = client(address)
                connection.call()
                connection.close()
            except (OSError, EOFError):
                failed.append(1)
            over.wait(0.01)

    threads = [threading.Thread(target=target) for target in (stay, come_and_go)
               for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    return threads


@contextlib.contextmanager
def our_server():
    with tempfile.TemporaryDirectory() as directory:
        control = f"{directory}/ctl"
        with handoff.master("-c", control, workers=2) as server:
            def reload():
                with handoff.Connection(control) as client:
                    client.result("reload")
            yield Article, server.address, server.pid, reload


@contextlib.contextmanager
def peer(start):
    with start(workers=2) as server:
        yield Http, server.address, server.pid, server.reload


def servers():
    """Those that are installed, by name."""
    return {"handoff": our_server,
            **{name: functools.partial(peer, start) for name, start in HTTP_PEERS.items()}}


def reload_under_load(server, reloads: int) -> tuple[int, int, int]:
    """How many connections of those that stay were lost, how many calls of those that come and go
    failed, and how many old workers were alive a second after each reload, all reloads together."""
    old = 0
    lost, failed, over = [], [], threading.Event()
    with server() as (client, address, pid, reload):
        threads = load(client, address, lost, failed, over)
        try:
            time.sleep(0.5)
            for _ in range(reloads):
                before = handoff.children(pid)
                reload()
                time.sleep(1)
                old += sum(handoff.alive(worker) for worker in before)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return len(lost), len(failed), old


def measure():
    for name, server in servers().items():
        lost, failed, old = reload_under_load(server, RELOADS)
        yield f"{RELOADS} reloads, {name}: long-lived connections lost", f"{lost}"
        yield f"{RELOADS} reloads, {name}: one-shot calls failed", f"{failed}"
        yield f"{RELOADS} reloads, {name}: old workers alive 1 s later", f"{old}"
