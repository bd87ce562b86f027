#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker with a ledger in Python, that goes step by step and may lie: for tests.

As a program, the first worker of a master does as the first words say, and all others are the
command after --:

    ledger_worker.py DEED [WORD...] -- rpc-worker
"""

import contextlib
import mmap
import os
import random
import signal
import socket
import struct
import sys

from channel_messages import CONNECTION, LEDGER
import scripted_worker

WANTS_LEDGER, COUNTS_METHODS = 2, 8
FREE, PASSED, RECEIVED, IDLE, RUNNING, SILENT, BUSY, CLOSED, TAKEN = range(9)
HEADER = struct.Struct("=4s5I")
HEADER_SIZE = 64
ENTRY = NAME = 64
COUNTERS = 384  # of a thread
KEPT = 1 << 62  # of an id
OWED = 4  # of an entry of CONNECTION: a reply comes along


class LedgerWorker(scripted_worker.Channel):
    """A worker that a master has started. It has said READY, and has its ledger."""

    def __init__(self, credits: int = 1000, flags: int = WANTS_LEDGER):
        self.clients: dict[int, socket.socket] = {}
        channel = socket.socket(fileno=int(os.environ["HANDOFF_CHANNEL_FD"]))
        super().__init__(channel, credits, flags=flags)
        self.channel.settimeout(None)

    def say_ready(self):
        """When it has its ledger."""
        _, descriptors, kind, _ = self.receive_message()
        assert kind == LEDGER, kind
        self.memory = mmap.mmap(descriptors[0], os.fstat(descriptors[0]).st_size)
        os.close(descriptors[0])
        magic, version, passed, accepted, threads, self.methods = HEADER.unpack_from(self.memory)
        assert (magic, version) == (b"HOLG", 1)
        self.first_entry = HEADER_SIZE + threads * COUNTERS
        self.first_name = self.first_entry + ENTRY * (passed + accepted)
        self.first_method = self.first_name + NAME * self.methods
        assert len(self.memory) == self.first_method + threads * self.methods * COUNTERS
        self.entries = passed
        super().say_ready()

    def take(self):
        """Waits for the next CONNECTION, and takes what it brings."""
        kind = 0
        while kind != CONNECTION:
            packet, descriptors, kind, count = self.receive_message()
            if self.drained:
                sys.exit()
        start = 8
        for descriptor in descriptors[:count]:
            number, peer, _, flags, read = struct.unpack_from("<QHBBI", packet, start)
            start += 16 + peer + read
            if flags & OWED:
                start += 2 + struct.unpack_from("<H", packet, start)[0]
            self.clients[number] = socket.socket(fileno=descriptor)
            if number & KEPT:
                self.store(number, RECEIVED)

    def store(self, number: int, state: int, framing: int = 1, request: bytes = b""):
        """What the entry of this connection says, as the real one does."""
        start = self.first_entry + ENTRY * (number & 0xffffffff)
        generation = number >> 32 & 0xffff
        self.memory[start + 4] = len(request)
        self.memory[start + 5:start + 5 + len(request)] = request
        struct.pack_into("=I", self.memory, start, state | framing << 8 | generation << 16)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_the_first():
    """Without having touched it."""
    LedgerWorker().take()
    kill_itself()


def scribble(seed: str, wanted: str):
    """When it has so many connections, random bytes over all of its ledger, and then random states
    of them; then it dies."""
    chance = random.Random(int(seed) ^ os.getpid())
    worker = LedgerWorker()
    while len(worker.clients) < int(wanted):
        worker.take()
    for _ in range(100):
        size = chance.choice((4, 64, 5000))
        start = chance.randrange(len(worker.memory) - size)
        worker.memory[start:start + size] = chance.randbytes(size)
    used = ENTRY * len(worker.clients)
    worker.memory[worker.first_entry:worker.first_entry + used] = chance.randbytes(used)
    for number in list(worker.clients)[::2]:
        request = chance.choice((b"", b"1", b'"', b"{}", b"[1]", b'"\xff"', b'1,"x":2', b"null"))
        worker.store(number, chance.randrange(12), chance.randrange(4), request)
    kill_itself()


def invent_methods():
    """Names that no other worker has, false ones among them, and the greatest numbers; until the
    master has had enough."""
    worker = LedgerWorker(credits=1, flags=WANTS_LEDGER | COUNTS_METHODS)
    worker.memory[worker.first_method:] = b"\xff" * (len(worker.memory) - worker.first_method)
    for slot in range(worker.methods):
        own = f'"\\{os.getpid()}.{slot}'.encode()
        name = (own, b"a\nb", b"\xff\xfe", b"x" * NAME, b"\xe2\x80\xae")[max(slot - 58, 0) % 5]
        start = worker.first_name + NAME * slot
        worker.memory[start + 1:start + NAME] = name[:NAME - 1].ljust(NAME - 1, b"\0")
        worker.memory[start] = len(name)
    while not worker.drained:
        worker.receive_message()


DEEDS = {deed.__name__: deed for deed in (die_with_the_first, scribble, invent_methods)}


def main():
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    if os.environ["HANDOFF_WORKER"] != "1" and end < len(words):
        os.execv(words[end + 1], words[end + 1:])
    with contextlib.suppress(AssertionError, BrokenPipeError, ConnectionResetError):
        DEEDS[words[0]](*words[1:end])


if __name__ == "__main__":
    main()
