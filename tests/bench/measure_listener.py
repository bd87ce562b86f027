# SPDX-License-Identifier: MIT
"""Do workers that share a listener make the busy ones busier?

64 clients come one after another and stay; `info` tells each the process that has its connection.
For 4 workers, their connections, the most first. Workers that accept for themselves wake for each
connection one at a time (EPOLLEXCLUSIVE), or all; a master gives them in turn, or to who has least.
Drawn as BUILD/bench/listener.svg and .png.
"""

import collections
import contextlib
import functools
import statistics

from bench_support import handoff, in_turns

CLIENTS, WORKERS = 64, 4
# The options of the master, and of the workers.
WAYS = {"--pass listener, --wake one": (("--pass", "listener"), ("--wake", "one")),
        "--pass listener, --wake all": (("--pass", "listener"), ("--wake", "all")),
        "--pass connection, round-robin": (("-b", "round-robin"), ()),
        "--pass connection, least": (("-b", "least"), ())}


def connections_of_workers(options: tuple, worker_options: tuple) -> list[int]:
    """The most first."""
    owners: collections.Counter = collections.Counter()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(handoff.master(
            *options, workers=WORKERS, command=[handoff.tool("rpc-worker"), *worker_options]))
        for _ in range(CLIENTS):
            client = stack.enter_context(server.connect())
            owners[client.result("info")["pid"]] += 1
    return [*sorted(owners.values(), reverse=True), *[0] * (WORKERS - len(owners))]


def measure(rounds: int = 15):
    given = in_turns(rounds, {name: functools.partial(connections_of_workers, *way)
                              for name, way in WAYS.items()})
    medians = {name: [statistics.median(ranks) for ranks in zip(*results)]
               for name, results in given.items()}
    for name, ranks in medians.items():
        yield (f"{CLIENTS} clients, {WORKERS} workers: {name}",
               " / ".join(f"{rank:.0f}" for rank in ranks))
    return {"clients": CLIENTS, "workers": WORKERS, "ways": given}
