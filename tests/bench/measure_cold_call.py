# SPDX-License-Identifier: MIT
"""A whole process for one call: rpc-call beside nc doing the same exchange.

Drawn as BUILD/bench/cold_call.svg and .png.
"""

import functools
import pathlib
import statistics
import subprocess
import tempfile
import time

from bench_support import handoff, in_turns

PING = handoff.frame(b'{"in":"ping","params":null}')


def seconds(words: list[str], request: pathlib.Path) -> float:
    with request.open("rb") as stdin:
        started = time.perf_counter()
        subprocess.run(words, stdin=stdin, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started


def measure(rounds: int = 300):
    with tempfile.TemporaryDirectory(prefix="handoff-") as directory:
        request = pathlib.Path(directory, "request")
        request.write_bytes(PING)
        path = str(pathlib.Path(directory, "bench.sock"))
        commands = {"rpc-call": [handoff.tool("rpc-call"), path, "ping"],
                    "nc": ["nc", "-N", "-U", path], "true": ["/bin/true"]}
        with handoff.worker("-l", path):
            times = in_turns(rounds, {name: functools.partial(seconds, words, request)
                                      for name, words in commands.items()})
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        yield f"cold process, {name}", f"{value * 1e3:.2f} ms"
    yield "cold process, rpc-call / nc", f"{medians['rpc-call'] / medians['nc']:.2f}"
    return {"times": times}
