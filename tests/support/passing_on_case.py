# SPDX-License-Identifier: MIT
"""What the tests share in which a worker has connections that it has not started."""

import select
import socket

import handoff
from scripted_worker import ScriptedWorker


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
