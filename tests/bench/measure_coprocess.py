# SPDX-License-Identifier: MIT
"""A method that is a command kept running (-k), beside one that is started for each call (-m)."""

import contextlib
import functools

from bench_support import handoff, in_turns, load, median_of

KEPT = ("-k", "f=jq -c --unbuffered .")
COMMANDS = {"-k": KEPT, "-k, --pool 4": (*KEPT, "--pool", "4"), "-m": ("-m", "f=jq -c .")}
PARAMS = {"name": "value", "numbers": [1, 2, 3]}


def measure(rounds: int = 5, seconds: float = 2):
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(handoff.worker(*words))
                   for name, words in COMMANDS.items()}
        results = in_turns(rounds, {
            (name, in_flight): functools.partial(load, server, "f", PARAMS, in_flight=in_flight,
                                                 seconds=seconds)
            for in_flight in (1, 16) for name, server in servers.items()})
    rates = {case: median_of(given, "requests_per_second") for case, given in results.items()}
    for (name, in_flight), rate in rates.items():
        yield f"jq as a method, {name}, {in_flight} in flight", f"{rate:.0f} calls/s"
    for in_flight in (1, 16):
        ratio = rates["-k", in_flight] / rates["-m", in_flight]
        yield f"jq as a method, -k / -m, {in_flight} in flight", f"{ratio:.1f}"
