# SPDX-License-Identifier: MIT
"""What an idle connection that was used once costs a master and its workers, and a raw epoll loop,
in memory of their processes. Drawn as BUILD/bench/idle_connections.svg and .png."""

import functools
import pathlib
import re
import resource

from bench_support import PASSES, handoff, pass_words, processes_of, raw_echo
from targets import RAW


# As the raw epoll loop knows it.
PING = b'{"in":"ping","params":null}'


def private_bytes(pid: int) -> int:
    """Memory that this process alone uses."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_\w+:\s+(\d+) kB", text)) * 1024


def bytes_each(server: handoff.Server, number: int) -> list[int]:
    """For the first process of the server, and for the rest of them together."""
    def use(clients):
        for client in clients:
            client.send_body(PING)
            client.receive()

    # Buffers that all connections share are there from the first one on.
    warm = [server.connect() for _ in range(8)]
    use(warm)
    pids = processes_of(server.pid)
    before = [private_bytes(pid) for pid in pids]
    clients = [server.connect() for _ in range(number)]
    use(clients)
    grown = [private_bytes(pid) - old for pid, old in zip(pids, before)]
    for client in warm + clients:
        client.close()
    return [round(grown[0] / number), round(sum(grown[1:]) / number)]


def starters() -> dict:
    return {RAW: raw_echo, "rpc-worker alone": handoff.worker,
            **{f"--pass {what}": functools.partial(handoff.master, *pass_words(what), workers=2)
               for what in PASSES}}


def measure(number: int = 10_000):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    servers = {}
    for name, start in starters().items():
        with start() as server:
            servers[name] = bytes_each(server, number)
        first, rest = servers[name]
        yield (f"{number} idle connections, {name}: it + its workers",
               f"{first} + {rest} bytes")
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    return {"number": number, "servers": servers}
