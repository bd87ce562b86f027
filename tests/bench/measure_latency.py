# SPDX-License-Identifier: MIT
"""Times of replies: at half of the greatest load, and as rpc-ping sees them; and whether rpc-ping
and `load`, which has nothing of its code, agree on what a server can do.

The greatest load of a server is what it, or the raw epoll loop if that is less, gave in a closed
loop. At half of it, requests are due at random times, and are timed from then; the raw epoll loop
gets as many beside it. Drawn as BUILD/bench/latency.svg and .png.
"""

import functools
import json
import re
import statistics
import subprocess

from bench_support import LOAD_CORE, handoff, in_turns, median_of, on_core, ratio_of
from targets import RAW, SIZE, Target, Targets

CLIENTS = ("-C", "64")
ALIKE = 0.05


def rpc_ping(target: Target, *options: str, seconds: float) -> str:
    with on_core(LOAD_CORE):
        return subprocess.run([handoff.tool("rpc-ping"), "-q", "-w", f"{seconds}s",
                               "-s", str(SIZE), *options, target.address],
                              stdout=subprocess.PIPE, text=True, check=True).stdout


def flood(target: Target, seconds: float) -> dict:
    """With one probe under way on each connection."""
    before = target.cpu_seconds()
    text = rpc_ping(target, "-f", "-P", "1", *CLIENTS, seconds=seconds)
    used = target.cpu_seconds() - before
    received, ms = map(int, re.search(r"(\d+) received, .*time (\d+)ms", text).groups())
    return {"requests_per_second": received / ms * 1e3, "requests_per_cpu_second": received / used}


def ping_time(target: Target, seconds: float) -> dict:
    """Of one probe at a time."""
    summary = json.loads(rpc_ping(target, "-A", "-J", seconds=seconds).splitlines()[-1])
    return {"p50_us": summary["rtt_ms"]["p50"] * 1e3}


def half_of_greatest(servers: dict) -> dict[str, float]:
    """Requests a second for each."""
    results = in_turns(3, {name: functools.partial(server.load, *CLIENTS, seconds=0.5)
                           for name, server in servers.items()})
    greatest = {name: median_of(given, "requests_per_second") for name, given in results.items()}
    return {name: min(rate, greatest[RAW]) / 2 for name, rate in greatest.items()}


def measure_half_load(servers: dict, rounds: int, seconds: float, measured: dict):
    rates = half_of_greatest(servers)
    results = in_turns(rounds, {
        (name, who): functools.partial(servers[who].load, *CLIENTS, "--rate", f"{rate:.0f}",
                                       seconds=seconds, errors=True)
        for name, rate in rates.items() if name != RAW for who in (RAW, name)})
    yield "half of the greatest load, open loop: p50, p99", "p99 / raw"
    for (name, who), given in results.items():
        failed = sum(result["errors"] for result in given)
        yield (f"{rates[name]:,.0f}/s: {who}, {median_of(given, 'p50_us'):.0f} us, "
               f"{median_of(given, 'p99_us'):.0f} us" + (f", {failed} failed" if failed else ""),
               f"{ratio_of(given, results[name, RAW], 'p99_us'):.2f}")
        measured.setdefault(name, {"rate": rates[name], "results": {}})["results"][who] = given


def measure_agreement(servers: dict, rounds: int, seconds: float):
    """On requests per second of server CPU: a second on the clock has as many as the load makes,
    and rpc-ping, which checks each reply, needs more time for one."""
    for name, server in servers.items():
        rates = in_turns(rounds, {"rpc-ping": functools.partial(flood, server, seconds),
                                  "load": functools.partial(server.load, *CLIENTS,
                                                            seconds=seconds)})
        for program, given in rates.items():
            yield (f"64 connections, {name}: {program} makes "
                   f"{median_of(given, 'requests_per_second'):,.0f}/s, per CPU second",
                   f"{median_of(given, 'requests_per_cpu_second'):,.0f}")
        ratio = ratio_of(rates["rpc-ping"], rates["load"], "requests_per_cpu_second")
        verdict = "agree" if abs(ratio - 1) <= ALIKE else "DISAGREE"
        yield f"64 connections, {name}: rpc-ping / load", f"{verdict} {ratio:.3f}"


def measure_round_trip(servers: dict, rounds: int, seconds: float, measured: dict):
    for name, server in servers.items():
        times = in_turns(rounds, {"rpc-ping": functools.partial(ping_time, server, seconds),
                                  "load": functools.partial(server.load, seconds=seconds)})
        measured[name] = times
        seen = {program: median_of(given, "p50_us") for program, given in times.items()}
        added = statistics.median(mine["p50_us"] - its["p50_us"]
                                  for mine, its in zip(times["rpc-ping"], times["load"]))
        yield (f"round trip, {name}: load {seen['load']:.1f} us, rpc-ping "
               f"{seen['rpc-ping']:.1f} us, adds", f"{added:.1f} us")


def measure(rounds: int = 9, seconds: float = 0.6):
    with Targets() as targets:
        servers = {RAW: targets.raw(), **targets.masters()}
        measured: dict = {"size": SIZE, "half_load": {}, "round_trip": {}}
        yield from measure_half_load(servers, rounds, 1.5 * seconds, measured["half_load"])
        two = {name: servers[name] for name in (RAW, "--pass connection")}
        yield from measure_round_trip(two, rounds, seconds / 2, measured["round_trip"])
        yield from measure_agreement(two, rounds, seconds)
    return measured
