# SPDX-License-Identifier: MIT
"""A conversation that one program begins and another one ends, on the same connection."""

import asyncio
import hashlib
import json
import os
import pathlib
import socket

from processes import PATIENCE, Failure, Processes, ending

CALLS = 200

GIVE_ON = "fdsend --wait --ack ./second 0"

# The first program is a shell script. It answers half of the calls, and gives its connection away.
# `read` takes no byte beyond the end of a line, so that nothing is lost with the shell.
SCRIPT = r"""
calls=0
while [ "$calls" -lt "$1" ] && IFS= read -r line; do
  params=${line#*\"params\":}
  printf '{"out":"pong","result":%s}\n' "${params%\}}"
  calls=$((calls + 1))
done
exec """ + GIVE_ON

FIRST = ("fdrecv", "./first", "--", "sh", "first.sh", str(CALLS // 2))
SECOND = ("fdrecv", "./second", "--", "rpc-worker", "--stdio")
GIVE = ("fdsend", "--wait", "--ack", "./first")


class Conversation:
    """The client's side, one line for a call and one for its reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell):
        self._reader, self._writer, self._tell = reader, writer, tell
        self._count = 0
        self.asked, self.answered = hashlib.sha256(), hashlib.sha256()

    def begin(self) -> bytes:
        """The line of the next call."""
        params = os.urandom(16).hex()
        self.asked.update(params.encode())
        return json.dumps({"in": "ping", "params": params}, separators=(",", ":")).encode() + b"\n"

    def send(self, data: bytes):
        self._writer.write(data)

    async def receive(self) -> dict:
        try:
            line = await asyncio.wait_for(self._reader.readline(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failure(f"waited {PATIENCE:.0f} s for a reply") from None
        if not line:
            raise Failure("the connection was closed in the middle of the conversation")
        return json.loads(line)

    async def end(self):
        reply = await self.receive()
        if reply["out"] != "pong":
            raise Failure(f"a call was answered with {reply}")
        self.answered.update(reply["result"].encode())
        self._count += 1
        self._tell(f"{self._count} calls on one connection: "
                   f"{'=' * (self._count // 10)}>")

    async def calls(self, count: int, pause: float):
        for _ in range(count):
            self.send(self.begin())
            await self.end()
            await asyncio.sleep(pause)


async def hand_over(processes: Processes, pause: float, tell) -> tuple[int, int, str, str]:
    """Returns the process ids of both programs, and the SHA-256 of all that was asked and of all
    that was answered. The connection moves while half of a request lies in it. `tell` is called
    with a line about the state of things after each call."""
    pathlib.Path("first.sh").write_text(SCRIPT)
    ours, theirs = socket.socketpair()
    first = await processes.start(*FIRST)
    second = await processes.start(*SECOND)
    with theirs:
        await processes.run(*GIVE, stdin=theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        talk = Conversation(reader, writer, tell)
        await talk.calls(CALLS // 2 - 1, pause)
        last, next_one = talk.begin(), talk.begin()
        talk.send(last + next_one[:20])
        await talk.end()
        if status := await processes.end_of(first, f"`{GIVE_ON}`"):
            raise Failure(f"`{GIVE_ON}` {ending(status)}")
        talk.send(next_one[20:])
        await talk.end()
        await talk.calls(CALLS - CALLS // 2 - 1, pause)
        talk.send(b'{"in":"info"}\n')
        answered_by = (await talk.receive())["result"]["pid"]
    finally:
        writer.close()
    if answered_by != second.pid:
        raise Failure(f"process {answered_by} answered, and not {second.pid}, which is rpc-worker")
    if talk.asked.digest() != talk.answered.digest():
        raise Failure("the results are not what was asked for: their SHA-256 differ")
    await processes.end_of(second, "rpc-worker")
    return first.pid, second.pid, talk.asked.hexdigest(), talk.answered.hexdigest()
