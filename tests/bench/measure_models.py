# SPDX-License-Identifier: MIT
"""Handlers whose time varies, on 4 workers that each have a call at a time (-C 1), at 60 % load.

A call takes 1 ms, or 100 ms one time in 20. What waits behind a long one waits because its
connection, or it itself, was given to that worker. The load is an open loop at random times: each
request on one of 64 connections that stay, or on a connection of its own. All models and both kinds
of clients are measured at the same time, since their workers only wait. Drawn as
BUILD/bench/models.svg and .png.
"""

import concurrent.futures
import contextlib

from bench_support import BENCH, address_text, handoff, pass_words, run_load

WORKERS, SHARE = 4, 0.6
SHORT, TIMES, ONE_IN = 0.001, 100, 20  # as bench_worker's `vary` has it
MEAN = SHORT * (ONE_IN - 1 + TIMES) / ONE_IN
CALLS = f"{SHORT * 1e3:g} ms, or {SHORT * TIMES * 1e3:g} ms one time in {ONE_IN}"
# What is passed, the options of the master, and of the workers.
MODELS = {"connection, round-robin": ("connection", ("-b", "round-robin"), ()),
          "connection, least": ("connection", ("-b", "least"), ()),
          "listener, wake one": ("listener", (), ("--wake", "one")),
          "listener, wake all": ("listener", (), ("--wake", "all")),
          "queue": ("queue", (), ())}
CLIENTS = {"64 connections that stay": ("-C", "64"),
           "a connection for each request": ("-C", "4000", "--reconnect")}
QUANTILES = {"p50": "p50_us", "p99": "p99_us", "p99.9": "p99.9_us"}


def start(stack: contextlib.ExitStack, what: str, options: tuple,
          worker_options: tuple) -> handoff.Server:
    return stack.enter_context(handoff.master(
        *pass_words(what), *options, workers=WORKERS,
        command=[str(BENCH / "bench_worker"), "-C", "1", "--timeout", "0", *worker_options]))


def measure(seconds: float = 40):
    rate = SHARE * WORKERS / MEAN
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(16))
        runs = {}
        for model, way in MODELS.items():
            for clients, words in CLIENTS.items():
                server = start(stack, *way)
                runs[clients, model] = pool.submit(
                    run_load, *words, "--rate", f"{rate:.1f}", "-t", str(seconds), "--warm-up", "2",
                    address_text(server), "vary", str(SHORT), errors=True)
        results = {case: run.result() for case, run in runs.items()}
    yield f"calls of {CALLS}, {rate:.0f}/s", " / ".join(QUANTILES)
    for (clients, model), result in results.items():
        times = " / ".join(f"{result[key] / 1e3:.0f}" for key in QUANTILES.values())
        failed = f", {result['errors']} failed" if result["errors"] else ""
        yield f"{clients}: {model}{failed}", f"{times} ms"
    return {"calls": CALLS, "rate": rate, "share": SHARE, "workers": WORKERS,
            "quantiles": QUANTILES,
            "clients": {clients: {model: result for (at, model), result in results.items()
                                  if at == clients} for clients in CLIENTS}}
