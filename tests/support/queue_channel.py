# SPDX-License-Identifier: MIT
"""A worker of `--pass queue` in Python, step by step: its end of the channel, handoff-wire(7), and
the memories that it shares with its master."""

import array
import collections
import contextlib
import mmap
import os
import select
import socket
import struct
import time

from channel_messages import DRAIN, QUEUE, READY, REQUESTS, hello, message

# Of a memory: where its parts are, as lib/pass/ring.hpp has them.
WRITTEN, READ, SLEEPING, STARVED, HEEDS, REVOKED_FROM = 0, 64, 128, 132, 136, 192
RECORDS = 4096

REQUEST_HEADER = struct.Struct("=QqIIII")
REPLY_HEADER = struct.Struct("=QiIII")

# What a reply says instead of how long its method took, when the request was not begun.
NOT_BEGUN = 2**32 - 1

# How long a wait may be before it looks again: what is tested is the other side.
LOOK_AGAIN = 0.02

# What a worker does from its start to its first reply; it can die after each.
STEPS = ["begin", "hello", "ready", "received", "mapped", "asleep", "copied", "begun", "executed",
         "written", "published", "woken"]

Request = collections.namedtuple("Request", "ticket deadline method params id peer")


class Memory:
    """One side's memory. Numbers are stored and loaded in one piece."""

    def __init__(self, descriptor: int, writable: bool):
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self.bytes = mmap.mmap(descriptor, self.size, mmap.MAP_SHARED, protection)
        self.capacity = self.size - RECORDS
        self._quads = memoryview(self.bytes).cast("Q")
        self._words = memoryview(self.bytes).cast("I")

    def load(self, offset: int) -> int:
        return self._quads[offset // 8]

    def store(self, offset: int, value: int):
        self._quads[offset // 8] = value & (2**64 - 1)

    def load_word(self, offset: int) -> int:
        return self._words[offset // 4]

    def store_word(self, offset: int, value: int):
        self._words[offset // 4] = value

    def copy_out(self, at: int, size: int) -> bytes:
        start = at & (self.capacity - 1)
        first = min(size, self.capacity - start)
        return (self.bytes[RECORDS + start:RECORDS + start + first] +
                self.bytes[RECORDS:RECORDS + size - first])

    def copy_in(self, at: int, data: bytes):
        start = at & (self.capacity - 1)
        first = min(len(data), self.capacity - start)
        self.bytes[RECORDS + start:RECORDS + start + first] = data[:first]
        self.bytes[RECORDS:RECORDS + len(data) - first] = data[first:]


class Gone(Exception):
    """The master has closed the channel, or wants us to leave."""


class QueueWorker:
    """`step` is told each of STEPS when it was done. One that heeds revocations asks release()
    whether it may begin a request."""

    def __init__(self, channel: socket.socket, calls: int = 1, step=lambda name: None,
                 heeds: bool = False):
        self.channel = channel
        self.calls = calls
        self.heeds = heeds
        self.step = step
        self.drained = False
        self.memories: list[int] = []
        self.requests = None
        self.replies = None
        self.read = 0     # of the requests, what was copied
        self.start = 0    # of the request that was copied last
        self.written = 0  # of the replies
        self.sleeps = 0
        self.woken = 0
        self.taken = 0

    @classmethod
    def spawned(cls, **options):
        return cls(socket.socket(fileno=int(os.environ["HANDOFF_CHANNEL_FD"])), **options)

    @classmethod
    def join(cls, path, **options):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.connect(str(path))
        return cls(channel, **options)

    # The channel.

    def send(self, kind: int, payload: bytes = b"", count: int = 0, descriptors=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self.channel.sendmsg([message(kind, payload, count)], rights if descriptors else [])

    def greet(self):
        self.step("begin")
        self.channel.sendmsg([hello(1000, self.calls)])
        self.step("hello")
        self.send(READY)
        self.step("ready")

    def receive(self, timeout=None) -> bool:
        """One message of the master's; false when there was none in time."""
        if not select.select([self.channel], [], [], timeout)[0]:
            return False
        packet, descriptors, _, _ = socket.recv_fds(self.channel, 128 * 1024, 64)
        if not packet:
            raise Gone
        kind = packet[3]
        self.drained = self.drained or kind == DRAIN
        if kind == REQUESTS:
            self.send(REQUESTS, struct.pack("<Q", self.taken))
        if kind == QUEUE and descriptors:
            self.step("received")
            self.memories = list(descriptors)
            self.requests = Memory(descriptors[0], writable=False)
            self.replies = Memory(descriptors[1], writable=True)
            self.replies.store_word(HEEDS, int(self.heeds))
            self.step("mapped")
        return True

    def begin(self):
        """Until the memories are here."""
        self.greet()
        while self.requests is None:
            self.receive()
            if self.drained:
                raise Gone

    # Requests.

    def has_request(self) -> bool:
        return self.requests.load(WRITTEN) != self.read

    def wait(self, timeout: float = float("inf")) -> bool:
        """For a request, as the protocol has it; false when there is none by then."""
        until = time.monotonic() + timeout
        while not self.has_request():
            if self.drained or time.monotonic() > until:
                return False
            self.sleeps += 1
            self.replies.store_word(SLEEPING, self.sleeps)
            self.step("asleep")
            if not self.has_request():
                self.receive(LOOK_AGAIN)
            self.sleeps += 1
            self.replies.store_word(SLEEPING, self.sleeps)
        return True

    def copy(self) -> Request:
        """The next request, which is not begun until release()."""
        (size,) = struct.unpack("=Q", self.requests.copy_out(self.read, 8))
        record = self.requests.copy_out(self.read + 8, size)
        self.start = self.read
        self.read += (8 + size + 7) & ~7
        ticket, deadline, *sizes = REQUEST_HEADER.unpack_from(record)
        texts = []
        at = REQUEST_HEADER.size
        for size in sizes:
            texts.append(record[at:at + size])
            at += size
        self.taken += 1
        self.step("copied")
        return Request(ticket, deadline, *texts)

    def release(self) -> bool:
        """Whether what was copied may be begun: for one that heeds revocations."""
        self.replies.store(READ, self.read)
        self.step("begun")
        revoked_from = self.requests.load(REVOKED_FROM)
        return revoked_from == 0 or self.start + 1 < revoked_from

    def take(self, timeout: float = float("inf")):
        """The next request, begun; None when there is none by then, or we shall leave."""
        if not self.wait(timeout):
            return None
        request = self.copy()
        self.release()
        return request

    # Replies.

    def write_record(self, record: bytes, size=None):
        self.replies.copy_in(self.written, struct.pack("=Q", len(record) if size is None else size)
                             + record)
        self.written += (8 + len(record) + 7) & ~7
        self.step("written")

    def write(self, ticket: int, text: bytes, code: int = 0, why: bytes = b"", took: int = 0):
        self.write_record(REPLY_HEADER.pack(ticket, code, len(text), len(why), took) + text + why)

    def give_back(self, ticket: int):
        self.write(ticket, b"", took=NOT_BEGUN)

    def publish(self):
        self.replies.store(WRITTEN, self.written)
        self.step("published")
        sleeping = self.requests.load_word(SLEEPING)
        if sleeping % 2 == 1 and sleeping != self.woken:
            self.woken = sleeping
            self.wake()
        self.step("woken")

    def wake(self):
        with contextlib.suppress(BlockingIOError):
            self.channel.sendmsg([message(QUEUE)], [], socket.MSG_DONTWAIT)

    def answer(self, ticket: int, text: bytes, code: int = 0, why: bytes = b""):
        self.write(ticket, text, code, why)
        self.publish()

    def echo(self, request: Request):
        self.answer(request.ticket, request.params)

    def serve(self, execute=lambda request: None):
        """Echoes until the end."""
        while request := self.take():
            execute(request)
            self.step("executed")
            self.echo(request)

    def stay(self):
        """Does nothing more, until it shall leave or is killed."""
        while not self.drained:
            self.receive()
