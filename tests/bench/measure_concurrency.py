# SPDX-License-Identifier: MIT
"""One worker process and 64 clients, a call at a time (-C 1) and 64 (-C 64).

When the handler waits for a backend, other calls go on meanwhile; when it computes, they can't.
Both take 1 ms. Drawn as BUILD/bench/concurrency.svg and .png.
"""

import contextlib
import functools

from bench_support import address_text, bench_worker, handoff, in_turns, load, median_of

CLIENTS = 64
CONCURRENCIES = (1, 64)
HANDLING = 0.001  # seconds
HANDLERS = {"wait": f"waits {HANDLING * 1e3:g} ms for a backend",
            "compute": f"computes for {HANDLING * 1e3:g} ms"}


def measure(rounds: int = 5, seconds: float = 2):
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(bench_worker())
        servers = {}
        for number in CONCURRENCIES:
            forward = ("-f", f"wait={address_text(backend)}")
            concurrency = ("-C", str(number))
            servers["wait", number] = stack.enter_context(handoff.worker(*forward, *concurrency))
            servers["compute", number] = stack.enter_context(bench_worker(*concurrency))
        results = in_turns(rounds, {
            (method, number): functools.partial(load, server, method, HANDLING,
                                                connections=CLIENTS, seconds=seconds)
            for (method, number), server in servers.items()})
    for method, words in HANDLERS.items():
        rates = []
        for number in CONCURRENCIES:
            given = results[method, number]
            rates.append(median_of(given, "requests_per_second"))
            yield f"handler {words}, -C {number}", f"{rates[-1]:.0f} requests/s"
            yield (f"handler {words}, -C {number}, p99",
                   f"{median_of(given, 'p99_us') / 1e3:.1f} ms")
        few, many = CONCURRENCIES
        yield f"handler {words}, -C {many} / -C {few}", f"{rates[1] / rates[0]:.2f}"
    return {"clients": CLIENTS,
            "handlers": {words: {number: results[method, number] for number in CONCURRENCIES}
                         for method, words in HANDLERS.items()}}
