# SPDX-License-Identifier: MIT
"""What the tests of --pass queue share: a load, gates that hold workers up, and errors."""

import os
import pathlib
import select
import signal
import socket

import handoff
from load import Load, long_lived

WORKER = handoff.tool("rpc-worker")
QUEUE_WORKER = str(handoff.ROOT / "tests" / "support" / "queue_worker.py")

HANDLER_FAILED, TIMED_OUT, BUSY, WORKER_DIED = -32001, -32002, -32003, -32004

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0
MIB = 1024 * 1024


def clients_of(address, connections: int = 4, ahead: int = 8, timeout: float = QUICK,
               **options) -> Load:
    """Clients that stay connected, whose options are those of load.long_lived."""
    client = long_lived(address, ahead, timeout=timeout, **options)
    return Load([client] * connections, patience=60 * handoff.PATIENCE)


class QueueTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.control = self.path("control")
        self.gates: dict[str, int] = {}
        self.addCleanup(self.open_gates)  # commands that wait would keep servers from ending

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def launch(self, *options: str, workers: int = 2, command=(WORKER,), **server):
        return self.start(handoff.master("--pass", "queue", "-c", self.control, *options,
                                         workers=workers, command=list(command), **server))

    def ask(self, method: str, params=None):
        with handoff.Connection(self.control) as client:
            return client.result(method, params)

    def queue(self) -> dict:
        return self.ask("status")["queue"]

    def wait_for_queue(self, **expected: int) -> dict:
        def as_expected():
            counts = self.queue()
            return counts if expected.items() <= counts.items() else None
        return handoff.wait_for(as_expected, f"the queue to have {expected}", QUICK)

    def gate(self, name: str = "gate") -> str:
        """Whoever reads it waits until the test opens it: what then comes is its end."""
        path = self.path(name)
        os.mkfifo(path)
        self.gates[path] = os.open(path, os.O_RDWR)
        return path

    def open_gates(self):
        for path in list(self.gates):
            self.open_gate(path)

    def open_gate(self, path: str):
        """For all who wait there, and all who come."""
        pathlib.Path(path + ".open").touch()
        os.rename(path + ".open", path)
        os.close(self.gates.pop(path))

    def clients(self, server, count: int) -> list:
        return [self.open(server) for _ in range(count)]

    @staticmethod
    def waiting_at(gate: str) -> str:
        """A command that waits there."""
        return f"cat {gate}; echo '\"opened\"'"

    def assert_unanswered(self, clients, seconds: float = 0.1):
        readable = select.select([client.socket for client in clients], [], [], seconds)[0]
        self.assertEqual(readable, [])

    def assert_whole(self, server, limit: int, workers=None):
        """No place in the queue is lost: as many calls as may be are in it, and are answered."""
        self.wait_for_queue(waiting=0, running=0)
        pids = workers or server.worker_pids()
        clients = self.clients(server, limit)
        for pid in pids:
            handoff.stop_process(pid)
        try:
            for number, client in enumerate(clients):
                client.send("ping", number)
            handoff.wait_for(lambda: self.queue()["waiting"] + self.queue()["running"] == limit,
                             f"{limit} calls to be in the queue", QUICK)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
            client.close()
        self.wait_for_queue(waiting=0, running=0)

    def assert_error(self, reply, code: int):
        self.assertEqual(reply["out"], "error", reply)
        self.assertEqual(reply["result"]["code"], code, reply)


def answers(address, sent: bytes) -> bytes:
    """All that comes back."""
    with handoff.Connection(address) as client:
        client.socket.sendall(sent)
        client.socket.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.socket.recv(65536):
            received += piece
        return received
