# SPDX-License-Identifier: MIT
"""An rpc-master with its workers, and an rpc-ping beside it."""

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import signal
import string
import struct

import handoff
from processes import Failure, Processes, ending, until

# The processes of workers, old and new, are told apart by a letter.
LETTERS = string.ascii_uppercase + string.ascii_lowercase

WORKER = ("rpc-worker", "-m", "words=wc -w")


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    size, = struct.unpack("<I", await reader.readexactly(4))
    return await reader.readexactly(size)


class Server:
    """A running rpc-master, as its own control socket describes it ten times a second."""

    def __init__(self, processes: Processes, name: str, workers: int, *options: str):
        self.address, self.control = f"./{name}", f"./{name}.ctl"
        self.count = workers
        self.words = ("rpc-master", *options, "-l", self.address, "-c", self.control,
                      "-n", str(workers), "--ready-timeout", "1m", "--", *WORKER)
        self.status: dict = {}
        self._log = pathlib.Path(f"{name}.log")
        self._processes = processes
        self._process = None
        self._watch = None
        self._stopping = False
        self.letters: dict[int, str] = {}
        self._pids: dict[int, list[int]] = collections.defaultdict(list)

    async def start(self):
        """Starts it, and waits until all workers are ready."""
        with open(self._log, "ab") as log:
            self._process = await self._processes.start(*self.words, stderr=log)
        self._watch = asyncio.create_task(self._ask_again_and_again())
        await until(self.is_complete, f"{self.count} workers to be ready", self.check)

    async def _ask_again_and_again(self):
        """The control socket of a master that is replaced ends its connections, and its successor
        then listens on the same path."""
        request = handoff.frame(json.dumps({"in": "status"}).encode())
        while True:
            with contextlib.suppress(OSError, EOFError):
                reader, writer = await asyncio.open_unix_connection(self.control)
                try:
                    while True:
                        writer.write(request)
                        reply = json.loads(await read_frame(reader))
                        if reply["out"] == "status":
                            self._take(reply["result"])
                        await asyncio.sleep(0.1)
                finally:
                    writer.close()
            await asyncio.sleep(0.02)

    def _take(self, status: dict):
        """Gives each worker process that is seen for the first time the next letter."""
        self.status = status
        for worker in self.workers:
            if worker["pid"]:
                self.letters.setdefault(worker["pid"], LETTERS[len(self.letters) % len(LETTERS)])
                if worker["pid"] not in self._pids[worker["worker"]]:
                    self._pids[worker["worker"]].append(worker["pid"])

    def pids_of(self, number: int) -> list[int]:
        """The processes that are or were the worker with this number, the oldest first."""
        return self._pids[number]

    @property
    def pid(self) -> int:
        return self.status.get("pid", 0)

    @property
    def workers(self) -> list[dict]:
        return self.status.get("workers", [])

    def ready_pids(self) -> dict[int, int]:
        """The process id of each worker that serves, by its number."""
        return {worker["worker"]: worker["pid"] for worker in self.workers
                if worker["state"] == "ready"}

    def is_complete(self) -> bool:
        """Whether exactly the workers that there should be are there, and all of them serve."""
        return (self.status.get("state") == "ready"
                and [worker["state"] for worker in self.workers] == ["ready"] * self.count)

    def check(self):
        """Fails when the server has ended by itself. The process that was started lives as long as
        the server, also after upgrades."""
        status = self._process.returncode
        if status is not None and not self._stopping:
            raise Failure(f"rpc-master, pid {self._process.pid}, {ending(status)}")

    async def stop(self):
        """Has it end in good order."""
        self.check()
        self._stopping = True
        self._watch.cancel()
        family = {self.pid, *(worker["pid"] for worker in self.workers)}
        self._process.send_signal(signal.SIGTERM)
        await until(lambda: not any(map(handoff.alive, family)), "the server to stop")
        if status := await self._processes.end_of(self._process, "rpc-master"):
            raise Failure(f"rpc-master, pid {self._process.pid}, {ending(status)} when it was stopped")

    def log_tail(self, lines: int = 10) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return self._log.read_text(errors="replace").splitlines()[-lines:]
        return []


class Pings:
    """An rpc-ping on one connection, twenty times a second from the beginning to the end."""

    def __init__(self, processes: Processes, address: str):
        self.words = ("rpc-ping", "-J", "-i", "50ms", "-W", "1m", address)
        self.times: collections.deque[float] = collections.deque(maxlen=1000)
        self.received, self.slowest = 0, 0.0
        self._lost: str | None = None
        self._processes = processes
        self._process = None
        self._reading = None

    async def start(self):
        self._process = await self._processes.start(*self.words, stdout=asyncio.subprocess.PIPE)
        self._reading = asyncio.create_task(self._read())
        await until(lambda: self.received, "the first pong", self.check)

    async def _read(self):
        async for line in self._process.stdout:
            found = json.loads(line)
            if found["type"] == "pong":
                self.received += 1
                # Pongs are numbered, so that a gap would show a loss even without a line about it.
                if found["seq"] != self.received and self._lost is None:
                    self._lost = f"pong {found['seq']} came where {self.received} was due"
                self.times.append(found["rtt_ms"])
                self.slowest = max(self.slowest, found["rtt_ms"])
            elif found["type"] == "lost" and self._lost is None:
                self._lost = f"ping {found['seq']}: {found['reason']}"

    def check(self):
        """Fails when a ping was lost, or when rpc-ping has ended by itself."""
        if self._lost is not None:
            raise Failure(f"a ping was lost: {self._lost}")
        if self._process.returncode is not None:
            raise Failure(f"rpc-ping, pid {self._process.pid}, {ending(self._process.returncode)}")

    async def stop(self):
        """Ends rpc-ping. A ping whose pong is still on its way at this moment counts neither as
        answered nor as lost."""
        self.check()
        self._process.send_signal(signal.SIGINT)
        await self._processes.end_of(self._process, "rpc-ping")
        self._reading.cancel()
