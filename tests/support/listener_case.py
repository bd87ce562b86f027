# SPDX-License-Identifier: MIT
"""What the tests of --pass listener share: a scripted worker, and a look at who watches a
listener."""

import contextlib
import os
import pathlib
import re
import signal

import handoff
from load import Load
from scripted_worker import ScriptedWorker

MASTER = handoff.tool("rpc-master")
WORKER = handoff.tool("rpc-worker")

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0

OWN = 1 << 63

EPOLLEXCLUSIVE = 1 << 28
LISTENING = "0A"


def numbers_of(pid: int, inode: str) -> list[int]:
    """The descriptors of a process that are this socket."""
    numbers = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}") == f"socket:[{inode}]":
                numbers.append(int(name))
    return sorted(numbers)


class ListenerTest(handoff.TestCase):
    doors = 0

    def start(self, server: handoff.Server) -> handoff.Server:
        started = super().start(server)
        self.stack.callback(self.end, started)
        return started

    @staticmethod
    def end(server):
        """Workers that are stopped, or know nothing of us, would outlive a failed test."""
        pids = handoff.children(server.pid)
        if server.process.poll() is None:
            server.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def master(self, *options: str, **more) -> handoff.Server:
        return self.start(handoff.master("--pass", "listener", *options, **more))

    def open_door(self, *options: str, workers: int = 0, listen: str = "127.0.0.1:0"):
        """A master that workers can join."""
        self.doors += 1
        path = str(self.directory / f"join{self.doors}")
        spawned = ["-n", str(workers), "--", WORKER] if workers else []
        server = self.start(handoff.Server(MASTER, "--pass", "listener", "-l", listen, "-j", path,
                                           *options, *spawned, ready=False))
        line = server.wait_for_line(r": ready, .* on ").split(" (")[0]
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        return server, path

    def join(self, path: str, credits: int = 1000) -> ScriptedWorker:
        worker = ScriptedWorker.join(path, credits=credits)
        self.addCleanup(worker.die)
        return worker

    def joined(self, path: str, *options: str) -> handoff.Server:
        worker = self.start(handoff.Server(WORKER, "-j", path, *options, ready=False))
        worker.wait_for_line("joined, on ")
        # It accepts when it holds the listener in its epoll.
        handoff.wait_for(lambda: self.watches(worker.pid), "the worker to have the listener")
        return worker

    @staticmethod
    def watches(pid: int) -> int:
        """The events that it waits for on listeners, together."""
        listening = set()
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            if line.split()[3] == LISTENING:
                listening.add(line.split()[9])
        numbers = {number for inode in listening for number in numbers_of(pid, inode)}
        events = 0
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(FileNotFoundError):
                text = pathlib.Path(f"/proc/{pid}/fdinfo/{name}").read_text()
                for number, mask in re.findall(r"^tfd:\s+(\d+) events:\s+([0-9a-f]+)", text, re.M):
                    if int(number) in numbers:
                        events |= int(mask, 16)
        return events

    def open_with_others_stopped(self, server, pid: int, others) -> handoff.Connection:
        """A connection that the worker `pid` has accepted."""
        for other in others:
            handoff.stop_process(other)
        client = self.open(server)
        self.assertEqual(client.result("info")["pid"], pid)
        for other in others:
            os.kill(other, signal.SIGCONT)
        return client

    def asking(self, server, count: int) -> list[handoff.Connection]:
        """Clients that have sent a request."""
        clients = [self.open(server) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        return clients

    def assert_answered(self, clients):
        """Each has its reply, which may be the last one of a server that stops."""
        for number, client in enumerate(clients):
            reply = client.receive()
            self.assertEqual(reply, {**reply, "out": "pong", "result": number})
            self.assertLessEqual(reply.keys(), {"out", "result", "last"})

    def connect_anyhow(self, address) -> handoff.Connection:
        """As soon as somebody listens."""
        def connected():
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                client = self.stack.enter_context(handoff.Connection(address))
                return client if client.call("ping", 1) else None
            return None
        return handoff.wait_for(connected, "the socket to be listened on", patience=QUICK)


class Answers(Load):
    """Of calls that are made without a pause; what fails is an answer too."""

    def __init__(self, ask, clients: int = 2):
        super().__init__([self._ask_on] * clients)
        self._ask = ask
        self.all: list[str] = []

    def _ask_on(self, _, number: int):
        while not self.is_over():
            try:
                self.all.append(self._ask())
            except Exception as problem:  # pylint: disable=broad-except
                self.all.append(repr(problem))
            self.answered[number] += 1

    def wait_for(self, count: int):
        """So many more."""
        wanted = len(self.all) + count
        handoff.wait_for(lambda: len(self.all) >= wanted, "answers")
