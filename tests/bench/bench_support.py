# SPDX-License-Identifier: MIT
"""What the subjects share: the programs of the build, cores, load from many clients, and turns."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

BENCH = handoff.BIN.parent / "bench"

# A server has a core, and so has the load; the same one where there is no other.
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]

# What a master may give its workers; the first is the default.
PASSES = ("connection", "listener", "queue")


@contextlib.contextmanager
def on_core(core: int | None):
    """What is started meanwhile runs there, and what it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def bench_worker(*options: str) -> handoff.Server:
    """The worker whose methods take a known time, alone."""
    return handoff.Server(str(BENCH / "bench_worker"), "-l", "127.0.0.1:0", *options)


def raw_echo(*options: str) -> handoff.Server:
    """The raw epoll loop, which the others are measured against."""
    return handoff.Server(str(BENCH / "raw_echo"), "-l", "127.0.0.1:0", *options)


def pass_words(what: str) -> tuple[str, ...]:
    """The options of rpc-master."""
    return () if what == PASSES[0] else ("--pass", what)


def address_text(server: handoff.Server) -> str:
    if isinstance(server.address, str):
        return server.address
    host, port = server.address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def processes_of(pid: int) -> list[int]:
    """The process and all that it has started."""
    return [pid, *(found for child in handoff.children(pid) for found in processes_of(child))]


def run_load(*words: str, core: int | None = None, errors: bool = False) -> dict:
    """What the program `load` prints; an error reply is an exception, unless they are expected."""
    with on_core(core):
        done = subprocess.run([BENCH / "load", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 and not (errors and done.stdout):
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def load(server: handoff.Server, method: str, params=None, connections: int = 1,
         in_flight: int = 1, seconds: float = 2) -> dict:
    """Has so many connections with so many requests under way on each call the method again and
    again."""
    return run_load("-C", str(connections), "-P", str(in_flight), "-t", str(seconds),
                    address_text(server), method, json.dumps(params))


def in_turns(rounds: int, cases: dict) -> dict:
    """Calls each of `cases` once a round, so that what disturbs the machine meets all alike. Gives
    for each the list of what it gave."""
    given = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            given[name].append(case())
    return given


def median_of(results: list[dict], key: str) -> float:
    return statistics.median(result[key] for result in results)


def ratio_of(results: list[dict], base: list[dict], key: str) -> float:
    """The median of the quotients: what ran in the same round met the same machine."""
    return statistics.median(mine[key] / its[key] for mine, its in zip(results, base))
