# SPDX-License-Identifier: MIT
"""Descriptors a second from one process to another."""

import re
import statistics
import subprocess

from bench_support import BENCH


def measure(rounds: int = 3):
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        done = subprocess.run([BENCH / "passing"], stdout=subprocess.PIPE, text=True, check=True)
        for line in done.stdout.splitlines():
            batch, rate = re.match(r"(\d+ a message): ([\d.]+) million", line).groups()
            rates.setdefault(batch, []).append(float(rate))
    for batch, values in rates.items():
        yield f"descriptors passed, {batch}", f"{statistics.median(values):.2f} M a second"
