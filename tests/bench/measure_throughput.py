# SPDX-License-Identifier: MIT
"""Requests per second of server CPU, of 64-byte params, and as ratios to a raw epoll loop.

The servers have one core, which master and worker share, and the load has another. What counts is
the CPU time that all processes of a server have used, so that a load that can't keep up does no
harm. Drawn as BUILD/bench/throughput.svg and .png.

nginx and Node's cluster speak HTTP, and return a constant of 64 bytes; the article's server is
Python, with a thread for each connection.
"""

import functools

from bench_support import in_turns, median_of, ratio_of
from targets import ARTICLE, RAW, Targets

KEY = "requests_per_cpu_second"
ONE_EACH = "one request a connection"
LOADS = {"64 connections": ("-C", "64"),
         "64 connections, 16 in flight": ("-C", "64", "-P", "16"),
         "1,000 connections": ("-C", "1000"),
         "one connection": ("-C", "1"),
         ONE_EACH: ("-C", "64", "--reconnect")}
PASSED = f"{RAW}, passed"


def start_servers(targets: Targets) -> dict:
    ours = targets.ours()
    one_at_a_time = {}
    for name in ours:
        *_, what = name.split("--pass ")
        one_at_a_time[f"{name}, -C 1"] = (targets.master(what, "-C", "1") if "--pass" in name
                                          else targets.worker("-C", "1"))
    return {RAW: targets.raw(), PASSED: targets.raw("--pass"), **ours, **one_at_a_time,
            **targets.others()}


def is_of_interest(name: str, load: str) -> bool:
    """What was passed is served alike, and the article's backlog takes seconds for 1,000."""
    return not (name == PASSED and load != ONE_EACH or name == ARTICLE and load.startswith("1,000"))


def cases_of(servers: dict, seconds: float) -> dict:
    return {(load, name): functools.partial(server.load, *words, seconds=seconds)
            for load, words in LOADS.items() for name, server in servers.items()
            if is_of_interest(name, load)}


def measure(rounds: int = 5, seconds: float = 0.6):
    with Targets() as targets:
        results = in_turns(rounds, cases_of(start_servers(targets), seconds))
    yield "requests per second of server CPU", "and / raw"
    for (load, name), given in results.items():
        ratio = ratio_of(given, results[load, RAW], KEY)
        yield f"{load}: {name}", f"{median_of(given, KEY):,.0f}  {ratio:.2f}"
    for name, given, base in (("passed, acknowledged", "--pass connection", "rpc-worker alone"),
                              (PASSED, PASSED, RAW)):
        ratio = ratio_of(results[ONE_EACH, given], results[ONE_EACH, base], KEY)
        yield f"{ONE_EACH}: {name} / accepted by who serves it", f"{ratio:.2f}"
    return {"raw": RAW, "key": KEY,
            "loads": {load: {name: results[load, name] for at, name in results if at == load}
                      for load in LOADS}}
