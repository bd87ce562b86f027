# SPDX-License-Identifier: MIT
"""From the SIGKILL of the only worker to the reply that its successor gives."""

import os
import signal
import statistics
import time

from bench_support import handoff


def measure(rounds: int = 50):
    times = []
    with handoff.master("--backoff", "0:1ms", workers=1) as server:
        for _ in range(rounds):
            victim = server.worker_pids()[0]
            started = time.perf_counter()
            os.kill(victim, signal.SIGKILL)
            answered = False
            while not answered:
                try:
                    with server.connect() as client:
                        answered = client.result("info")["pid"] != victim
                except (AssertionError, ConnectionError):
                    pass
            times.append(time.perf_counter() - started)
    median = statistics.median(times)
    yield "a killed worker is replaced and serving, median", f"{median * 1e3:.1f} ms"
    yield "a killed worker is replaced and serving, worst", f"{max(times) * 1e3:.1f} ms"
