# SPDX-License-Identifier: MIT
"""The programs that the demo runs, and what it knows of the processes that they have become."""

import asyncio
import contextlib
import ctypes
import os
import shlex
import signal
import time

import handoff

PR_SET_CHILD_SUBREAPER = 36

# Long enough for a machine that is busy with other things. A step that waits longer has failed.
PATIENCE = 60.0

# How long the processes may take to end in good order before they are killed.
GRACE = 15.0


class Failure(Exception):
    """A step has failed. The text says what went wrong, with what, and why."""


class Processes:
    """Starts programs, and ends them together with all that they have started.

    A process that ends before those that it has started leaves them as orphans. The demo is a
    subreaper, so that it becomes the parent of such orphans and finds them.
    """

    def __init__(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._programs: list[asyncio.subprocess.Process] = []

    async def start(self, *words: str, **streams) -> asyncio.subprocess.Process:
        """Starts a program in a session of its own, which the terminal's ^C does not reach: the
        demo itself ends the programs, in order. A stream that is not named is /dev/null."""
        options = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.DEVNULL)
        try:
            process = await asyncio.create_subprocess_exec(
                *words, **{**options, **streams}, start_new_session=True)
        except OSError as problem:
            raise Failure(f"{words[0]} cannot be run: {problem.strerror}") from problem
        self._programs.append(process)
        return process

    async def run(self, *words: str, stdin=asyncio.subprocess.DEVNULL) -> str:
        """Runs a program to its end, and returns what it has printed. Any status but 0 is a
        failure."""
        process = await self.start(*words, stdin=stdin, stdout=asyncio.subprocess.PIPE,
                                   stderr=asyncio.subprocess.PIPE)
        try:
            output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failure(f"`{shlex.join(words)}` has not ended: waited {PATIENCE:.0f} s") from None
        if process.returncode != 0:
            why = errors.decode(errors="replace").strip().rsplit("\n", 1)[-1]
            raise Failure(f"`{shlex.join(words)}` {ending(process.returncode)}"
                          f"{': ' if why else ''}{why}")
        return output.decode().strip()

    @staticmethod
    async def end_of(process: asyncio.subprocess.Process, name: str) -> int:
        """Waits until a program has ended, and returns its status."""
        try:
            return await asyncio.wait_for(process.wait(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failure(f"{name} has not ended: waited {PATIENCE:.0f} s") from None

    async def end_all(self):
        """Asks every process to end, kills those that do not, and waits until all are gone."""
        deadline = time.monotonic() + GRACE
        asked: set[int] = set()
        while left := [pid for pid in descendants(os.getpid()) if handoff.alive(pid)]:
            late = time.monotonic() > deadline
            for pid in left if late else set(left) - asked:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            asked.update(left)
            await asyncio.sleep(0.02)
        # asyncio must have noticed their end before its loop is closed.
        for process in self._programs:
            await process.wait()


async def until(condition, what: str, check=lambda: None):
    """Waits until `condition()` is true, and returns its value. `check` raises a Failure when it is
    of no use to wait any longer. `what` completes the sentence "waited 60 s for ..."."""
    deadline = time.monotonic() + PATIENCE
    while True:
        check()
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {PATIENCE:.0f} s for {what}")
        await asyncio.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """All processes below this one; the children of a process come after it."""
    return [found for child in handoff.children(pid) for found in (child, *descendants(child))]


def ending(status: int) -> str:
    """How a process has ended, as the end of a sentence."""
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
