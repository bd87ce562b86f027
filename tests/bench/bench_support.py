# SPDX-License-Identifier: MIT
"""What the subjects share: the programs of the build, load from many clients, and turns."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

BENCH = handoff.BIN.parent / "bench"


def load_warning(limit: float = 0.5) -> str:
    load = os.getloadavg()[0]
    if load <= limit:
        return ""
    return (f"warning: a load average of {load:.2f} at the start: other programs run, or ran just "
            "before, and spoil the numbers")


# Made before anything runs; empty when the machine was idle.
LOAD_WARNING = load_warning()


def bench_worker(*options: str) -> handoff.Server:
    """The worker whose methods take a known time, alone."""
    return handoff.Server(str(BENCH / "bench_worker"), "-l", "127.0.0.1:0", *options)


def address_text(server: handoff.Server) -> str:
    if isinstance(server.address, str):
        return server.address
    host, port = server.address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def load(server: handoff.Server, method: str, params=None, connections: int = 1,
         in_flight: int = 1, seconds: float = 2) -> dict:
    """Has so many connections with so many requests under way on each call the method again and
    again. Gives what the program `load` prints; an error reply is an exception."""
    done = subprocess.run([BENCH / "load", "-C", str(connections), "-P", str(in_flight),
                           "-t", str(seconds), address_text(server), method, json.dumps(params)],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def in_turns(rounds: int, cases: dict) -> dict:
    """Calls each of `cases` once a round, so that what disturbs the machine meets all alike. Gives
    for each the list of what it gave."""
    given = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            given[name].append(case())
    return given


def draw(subject: str):
    """Has draw_SUBJECT.py draw BUILD/bench/SUBJECT.json, with Debian's Python, whichever runs us:
    Debian's matplotlib is for that one."""
    subprocess.run(["/usr/bin/python3", pathlib.Path(__file__).with_name(f"draw_{subject}.py"),
                    BENCH / f"{subject}.json"], check=True)


def median_of(results: list[dict], key: str) -> float:
    return statistics.median(result[key] for result in results)
