# SPDX-License-Identifier: MIT
"""Whether a request waits behind a slow one while a worker is free: `--pass queue` with 4 workers
that each have a call at a time (-C 1) and get more than that while none of them is free.

First a method that takes 1 ms, or 100 ms one time in 20, at 60 % load. Then one that takes 50 us,
while another, of 50 ms, keeps all workers but one busy. Both are called in an open loop at random
times, other ones in each round.
"""

import concurrent.futures
import statistics

from bench_support import BENCH, LOAD_CORE, address_text, handoff, load, pass_words, run_load

WORKERS, SHARE = 4, 0.6
SHORT, TIMES, ONE_IN = 0.001, 100, 20  # as bench_worker's `vary` has it
MEAN = SHORT * (ONE_IN - 1 + TIMES) / ONE_IN
QUICK, SLOW, QUICK_RATE = 0.00005, 0.05, 1000
QUANTILES = {"p50": "p50_us", "p99": "p99_us", "p99.9": "p99.9_us"}


def master() -> handoff.Server:
    return handoff.master(*pass_words("queue"), workers=WORKERS,
                          command=[str(BENCH / "bench_worker"), "-C", "1", "--timeout", "0"])


def open_loop(server: handoff.Server, method: str, takes: float, rate: float, seed: int,
              seconds: float) -> dict:
    return run_load("-C", "64", "--rate", f"{rate:.1f}", "--seed", str(seed), "-t", str(seconds),
                    "--warm-up", "1", address_text(server), method, str(takes), core=LOAD_CORE)


def beside_slow_ones(server: handoff.Server, seed: int, seconds: float) -> dict:
    """The quick ones, which begin and end while there are slow ones."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(load, server, "wait", SLOW, connections=WORKERS - 1,
                           seconds=seconds + 3)
        quick = open_loop(server, "compute", QUICK, QUICK_RATE, seed, seconds)
        slow.result()
    return quick


def times(results: list[dict]) -> str:
    """The median of each quantile."""
    return " / ".join(f"{statistics.median(result[key] for result in results) / 1e3:.3g}"
                      for key in QUANTILES.values()) + " ms"


def measure(rounds: int = 5, seconds: float = 20):
    rate = SHARE * WORKERS / MEAN
    yield f"{WORKERS} workers with -C 1, medians of {rounds} rounds", " / ".join(QUANTILES)
    with master() as server:
        results = [open_loop(server, "vary", SHORT, rate, seed, seconds)
                   for seed in range(1, rounds + 1)]
    yield (f"{SHORT * 1e3:g} ms, or {SHORT * TIMES * 1e3:g} ms one time in {ONE_IN}, "
           f"{rate:.0f}/s", times(results))
    with master() as server:
        results = [beside_slow_ones(server, seed, seconds / 2) for seed in range(1, rounds + 1)]
    yield (f"{QUICK * 1e6:g} us, {QUICK_RATE}/s, beside {WORKERS - 1} calls of {SLOW * 1e3:g} ms",
           times(results))
