# SPDX-License-Identifier: MIT
"""System calls for each request, ours beside the raw epoll loop's: `strace -c`, whose tables are
left in BUILD/bench/strace/. Drawn as BUILD/bench/system_calls.svg and .png.

Under strace a server is slow, so more of its clients wait for it than otherwise, and an epoll_wait
finds more of them.
"""

import contextlib
import re
import shutil
import signal
import subprocess

from bench_support import BENCH, handoff
from targets import RAW, Target, Targets

LOADS = {"64 connections": ("-C", "64"),
         "64 connections, 16 in flight": ("-C", "64", "-P", "16"),
         "one connection": ("-C", "1"),
         "one request a connection": ("-C", "64", "--reconnect")}


@contextlib.contextmanager
def counted(target: Target, table):
    """Has the calls of all its processes counted meanwhile."""
    pids = [word for pid in target.pids() for word in ("-p", str(pid))]
    with subprocess.Popen(["strace", "-c", "-f", "-o", table, *pids], stderr=subprocess.PIPE,
                          text=True) as strace:
        # "strace: Process 4711 attached", for each thread: the first of the last process
        for _ in target.pids():
            strace.stderr.readline()
        yield
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=handoff.PATIENCE)


def calls_in(table: str) -> dict[str, int]:
    """By name, of a table of strace's: the fourth column is the number."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", table, re.M)
    return {name: int(number) for number, name in rows if name != "total"}


def measure_one(target: Target, words: tuple, name: str, seconds: float) -> dict[str, float]:
    table = BENCH / "strace" / f"{re.sub('[^a-z0-9]+', '-', name)}.txt"
    with counted(target, table):
        replies = target.load(*words, "--warm-up", "0", seconds=seconds)["replies"]
    return {call: number / replies for call, number in calls_in(table.read_text()).items()}


def text_of(calls: dict[str, float], least: float = 0.005) -> str:
    shares = sorted(((share, call) for call, share in calls.items() if share >= least),
                    reverse=True)
    return ", ".join(f"{call} {share:.2f}" for share, call in shares)


def measure(seconds: float = 0.5):
    if not shutil.which("strace"):
        yield "system calls a request", "strace is missing"
        return None
    (BENCH / "strace").mkdir(exist_ok=True)
    found = {}
    with Targets() as targets:
        servers = {RAW: targets.raw(), f"{RAW}, passed": targets.raw("--pass"), **targets.ours()}
        for load, words in LOADS.items():
            for name, target in servers.items():
                if "passed" in name and "--reconnect" not in words:
                    continue
                calls = measure_one(target, words, f"{load} {name}", seconds)
                found.setdefault(load, {})[name] = calls
                waits = calls.get("epoll_wait", 0) + calls.get("epoll_pwait2", 0)
                yield (f"{load}: {name}, calls a request + waits",
                       f"{sum(calls.values()) - waits:.2f} + {waits:.2f}")
                yield f"    {text_of(calls)}", ""
    return {"loads": found}
