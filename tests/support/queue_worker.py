#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker of `--pass queue` in Python, that goes step by step and may lie: for tests.

As a program, the first worker of a master does as the first words say, and all others are the
command behind --:

    queue_worker.py DEED [WORD...] -- rpc-worker
"""

import contextlib
import fcntl
import json
import mmap
import os
import pathlib
import random
import signal
import sys

from channel_messages import (  # noqa: F401, for those who import this module
    CONNECTION, DRAIN, FINISHED, HELLO, LEAVE, LISTENER, QUEUE, READY, REFUSED, REQUESTS, RETURN,
    STARTED, message)
from queue_channel import (  # noqa: F401
    Gone, HEEDS, LOOK_AGAIN, Memory, NOT_BEGUN, QueueWorker, READ, RECORDS, REPLY_HEADER,
    REQUEST_HEADER, REVOKED_FROM, Request, SLEEPING, STARVED, STEPS, WRITTEN)

# What the first worker may do, by name. Each gets the words behind it.

def die(step: str, marker: str, log: str):
    """Serves, and says in `log` what it executes. The first that comes so far as this step with a
    request named `victim`, or has no request then, kills itself."""
    held = []

    def after(name: str):
        before_requests = STEPS.index(name) <= STEPS.index("asleep")
        if name != step or not (before_requests or held and b"victim" in held[-1].params):
            return
        with contextlib.suppress(FileExistsError):
            with open(marker, "x", encoding="ascii") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

    worker = QueueWorker.spawned(step=after)
    worker.begin()
    with open(log, "ab", buffering=0) as executed:
        while worker.wait():
            copied = worker.step
            worker.step = lambda name: None
            request = worker.copy()
            worker.step = copied
            held.append(request)
            after("copied")
            worker.release()
            executed.write(request.params + b"\n")
            after("executed")
            worker.echo(request)
            held.pop()


def answer_late(going: str, gate: str):
    """Says in `going` that it has a request, waits until somebody writes to `gate`, answers."""
    worker = QueueWorker.spawned(calls=2)
    worker.begin()
    first = worker.take()
    pathlib.Path(going).write_text("1")
    pathlib.Path(gate).read_text()
    worker.answer(first.ticket, b'"late"')
    worker.serve()


def hold(going: str, gate: str, log: str):
    """Serves, and says in `log` what it executes and what it gives back. A request named `hold` it
    begins, says so in `going`, and answers only when somebody writes to `gate`."""
    worker = QueueWorker.spawned(heeds=True)
    worker.begin()
    with open(log, "ab", buffering=0) as executed:
        while worker.wait():
            request = worker.copy()
            if not worker.release():
                executed.write(b"not " + request.params + b"\n")
                worker.give_back(request.ticket)
                worker.publish()
                continue
            executed.write(request.params + b"\n")
            if b"hold" in request.params:
                pathlib.Path(going).write_text("1")
                pathlib.Path(gate).read_text()
            worker.write(request.ticket, request.params, took=1000)
            worker.publish()


def begun() -> tuple[QueueWorker, Request]:
    """A worker that has a request."""
    worker = QueueWorker.spawned()
    worker.begin()
    request = worker.take()
    if request is None:
        raise Gone  # there is nothing to lie about
    return worker, request


def scribble(seed: str):
    """Random bytes over all that it can write, again and again, also over what it says."""
    chance = random.Random(int(seed))
    worker, _ = begun()
    while not worker.drained:
        worker.receive(0)
        for _ in range(100):
            start = chance.choice((0, 0, RECORDS, chance.randrange(worker.replies.size - 8)))
            size = min(chance.choice((8, 64, 140, 5000)), worker.replies.size - start)
            worker.replies.bytes[start:start + size] = chance.randbytes(size)
        worker.wake()


def say_written(offset: str):
    """`written` so far from where it was."""
    worker, _ = begun()
    worker.replies.store(WRITTEN, worker.written + int(offset))
    worker.wake()
    worker.stay()


def say_read(offset: str):
    """`read` so far from where it was."""
    worker, request = begun()
    worker.replies.store(READ, worker.read + int(offset))
    worker.echo(request)
    worker.stay()


def say_size(size: str):
    """A record that says to be so long, and is not."""
    worker, request = begun()
    text = request.params
    worker.write_record(REPLY_HEADER.pack(request.ticket, 0, len(text), 0, 0) + text,
                        size=int(size))
    worker.publish()
    worker.stay()


def say_sizes(json_size: str, message_size: str):
    """A reply whose parts say to be so long, and are not."""
    worker, request = begun()
    worker.write_record(REPLY_HEADER.pack(request.ticket, 0, int(json_size), int(message_size), 0)
                        + request.params)
    worker.publish()
    worker.stay()


def say_little(size: str):
    """A record that is shorter than any reply."""
    worker, _ = begun()
    worker.write_record(b"\0" * int(size))
    worker.publish()
    worker.stay()


def answer_others(gate: str):
    """When somebody opens the gate, answers every request that another worker may have."""
    worker, request = begun()
    pathlib.Path(gate).read_text()
    for generation in range(1, 5):
        for slot in range(64):
            ticket = slot | generation << 32
            if ticket != request.ticket:
                worker.write(ticket, b'"of another"')
    worker.publish()
    worker.stay()


def answer_unknown(ticket: str):
    """A ticket that there is not counts as an old one; more replies than requests do not."""
    worker, request = begun()
    worker.write(int(ticket), b'"unknown"')
    worker.write(request.ticket, request.params)
    worker.publish()
    worker.stay()


def answer_twice():
    worker, request = begun()
    worker.write(request.ticket, request.params)
    worker.write(request.ticket, request.params)
    worker.publish()
    worker.stay()


def give_back_what_it_has_begun():
    worker, request = begun()
    worker.give_back(request.ticket)
    worker.publish()
    worker.stay()


def answer_badly(text: str):
    """With a result that is no JSON."""
    worker, request = begun()
    worker.answer(request.ticket, text.encode("utf-8", "surrogateescape"))
    worker.stay()


def fail_badly(text: str):
    """With an error whose data are no JSON."""
    worker, request = begun()
    worker.answer(request.ticket, text.encode(), code=-32001, why=b"why")
    worker.stay()


def fail_strangely():
    """With errors that are allowed, whatever they say."""
    worker = QueueWorker.spawned()
    worker.begin()
    while request := worker.take():
        worker.answer(request.ticket, b'{"\\u0000":[1]}', code=-2**31, why=b'\xff"\\\0\n\xc3')


def send_message(kind: str, payload: str = "", count: str = "0", descriptors: str = "0"):
    """A message that has no place here."""
    worker, _ = begun()
    worker.send(int(kind), bytes.fromhex(payload), int(count),
                [os.open("/dev/null", os.O_RDONLY) for _ in range(int(descriptors))])
    worker.stay()


def never_read():
    """Answers all and never says that it has read anything."""
    worker = QueueWorker.spawned(calls=4)
    worker.begin()
    while worker.wait():
        worker.echo(worker.copy())


def claim_sleep():
    """Says with each look that it sleeps, and reads no message as long as its master lives."""
    worker = QueueWorker.spawned(calls=4)
    worker.begin()
    master = os.getppid()
    while not worker.drained and os.getppid() == master:
        worker.sleeps += 2
        worker.replies.store_word(SLEEPING, worker.sleeps | 1)
        if worker.has_request():
            request = worker.copy()
            worker.release()
            worker.echo(request)
        elif worker.taken > 2000:
            worker.receive(LOOK_AGAIN)


def errno_of(attempt) -> int:
    try:
        attempt()
    except OSError as error:
        return error.errno
    return 0


def fallocate(descriptor: int, mode: int, size: int):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    if libc.fallocate(descriptor, mode, 0, size) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def mprotect_writable(memory: Memory):
    """Of a mapping that is to read."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    mapped = libc.mmap(None, memory.size, mmap.PROT_READ, mmap.MAP_SHARED, memory.descriptor, 0)
    if libc.mprotect(mapped, memory.size, mmap.PROT_READ | mmap.PROT_WRITE) < 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def attack(result: str):
    """Tries what it may not, writes the errno of each attempt to `result`, and serves on."""
    keep_size, punch_hole, zero_range = 1, 2, 16
    worker = QueueWorker.spawned()
    worker.begin()
    errors = {}
    for name, memory in (("requests", worker.requests), ("replies", worker.replies)):
        descriptor, size = memory.descriptor, memory.size
        attempts = {
            "smaller": lambda: os.ftruncate(descriptor, size // 2),
            "empty": lambda: os.ftruncate(descriptor, 0),
            "larger": lambda: os.ftruncate(descriptor, 2 * size),
            "append": lambda: os.pwrite(descriptor, b"x", size),
            "grow": lambda: fallocate(descriptor, 0, 2 * size),
            "unseal": lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        }
        if name == "requests":
            attempts.update({
                "write": lambda: os.pwrite(descriptor, b"x", 0),
                "map": lambda: mmap.mmap(descriptor, size, mmap.MAP_SHARED,
                                         mmap.PROT_READ | mmap.PROT_WRITE),
                "protect": lambda: mprotect_writable(memory),
                "punch": lambda: fallocate(descriptor, keep_size | punch_hole, size),
                "zero": lambda: fallocate(descriptor, keep_size | zero_range, size),
                # Opened again it is the same file.
                "open and write": lambda: os.pwrite(
                    os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR), b"x", 0),
            })
        errors[name] = {what: errno_of(attempt) for what, attempt in attempts.items()}
    pathlib.Path(result + ".new").write_text(json.dumps(errors))
    os.rename(result + ".new", result)
    worker.serve()


DEEDS = {deed.__name__: deed for deed in (
    die, answer_late, hold, scribble, say_written, say_read, say_size, say_sizes, say_little,
    answer_others, answer_unknown, answer_twice, give_back_what_it_has_begun,
    answer_badly, fail_badly, fail_strangely,
    send_message, never_read, claim_sleep, attack)}


def main():
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    if os.environ["HANDOFF_WORKER"] != "1" and end < len(words):
        os.execv(words[end + 1], words[end + 1:])
    with contextlib.suppress(Gone, BrokenPipeError, ConnectionResetError):
        DEEDS[words[0]](*words[1:end])


if __name__ == "__main__":
    main()
