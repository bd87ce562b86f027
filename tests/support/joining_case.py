# SPDX-License-Identifier: MIT
"""What the tests share in which workers join a running master (-j)."""

import contextlib
import os
import pathlib
import re
import signal
import socket

import handoff

WORKER = handoff.tool("rpc-worker")
MASTER = handoff.tool("rpc-master")
NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped


class JoiningTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.door = str(self.directory / "join")

    def master(self, *options: str, command=(), listen: str = "127.0.0.1:0") -> handoff.Server:
        """That workers can join; without a command unless there is one."""
        words = [MASTER, "-l", listen, "-j", self.door, *options]
        server = self.start(handoff.Server(*words, *(["--", *command] if command else []),
                                           ready=False))
        line = server.wait_for_line(": ready, .* on ")
        bound = re.search(r" on (.*?)( \(|$)", line).group(1)
        server.addresses = [handoff.parse_address(word) for word in bound.split()]
        return server

    def joined(self, *options: str, door: str | None = None) -> handoff.Server:
        """A worker that has joined."""
        server = self.start(handoff.Server(WORKER, "-j", door or self.door, *options, ready=False))
        server.wait_for_line("(joined, on|connected to) ")
        return server

    def wait_until_serving(self, master: handoff.Server, workers: list[handoff.Server]):
        """They say that they have joined before the master knows that they are ready."""
        wanted = {worker.pid for worker in workers}
        handoff.wait_for(lambda: wanted <= set(self.pids(master, 2 * len(wanted))),
                         "the workers to serve")

    @staticmethod
    def wait_for_status(master: handoff.Server, pattern: str) -> str:
        """Asks by USR1 until a worker's line matches, and gives that."""
        said = len(master.lines)

        def matching():
            master.kill(signal.SIGUSR1)
            return next((line for line in master.lines[said:] if re.search(pattern, line)), None)

        return handoff.wait_for(matching, f"{pattern} in the status")

    @staticmethod
    def pids(master: handoff.Server, connections: int) -> list[int]:
        """Who answers on so many connections, one after another."""
        found = []
        for _ in range(connections):
            with master.connect() as client:
                found.append(client.result("info")["pid"])
        return found

    def door_of(self, kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
        """A connection to the master's named socket."""
        channel = self.stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        channel.settimeout(handoff.PATIENCE)
        channel.connect(self.door)
        return channel

    def assert_closed(self, channel: socket.socket):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while packet := channel.recv(1000):
                self.assertEqual(packet[:3], b"HO\1")

    def assert_ends(self, server: handoff.Server, status: int):
        self.assertEqual(server.process.wait(handoff.PATIENCE), status, server.lines)

    @staticmethod
    def has_left(client: handoff.Connection, pid: int) -> bool:
        """Whether that worker has let the client go: it sees the end, or another one answers it."""
        try:
            reply = client.call("info")
        except ConnectionError:
            return True
        return reply is None or reply["result"]["pid"] != pid

    def gate(self) -> pathlib.Path:
        """A command that reads it waits until the test writes to it."""
        path = self.directory / "gate"
        os.mkfifo(path)
        return path
