# SPDX-License-Identifier: MIT
"""Measures, side by side with others in one run, and prints a table: `make bench`.

Machines are noisy: what is compared runs in turns, and medians and ratios are what counts. The table
is also written to BUILD/bench/results.txt.
"""

import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
os.environ["HANDOFF_BIN"] = str(build / "bin")
import handoff  # noqa: E402

PING = handoff.frame(b'{"in":"ping","params":null}')


def private_bytes(pid: int) -> int:
    """Memory that this process alone uses."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_\w+:\s+(\d+) kB", text)) * 1024


def seconds(words: list[str], request: pathlib.Path) -> float:
    with request.open("rb") as stdin:
        started = time.perf_counter()
        subprocess.run(words, stdin=stdin, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started


def cold_call(directory: pathlib.Path, rounds: int = 300):
    """A whole process for one call: rpc-call beside nc doing the same exchange."""
    request = directory / "request"
    request.write_bytes(PING)
    path = str(directory / "bench.sock")
    with handoff.worker("-l", path):
        commands = {"rpc-call": [handoff.tool("rpc-call"), path, "ping"],
                    "nc": ["nc", "-N", "-U", path], "true": ["/bin/true"]}
        times = {name: [] for name in commands}
        for _ in range(rounds):
            for name, words in commands.items():
                times[name].append(seconds(words, request))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        yield f"cold process, {name}", f"{value * 1e3:.2f} ms"
    yield "cold process, rpc-call / nc", f"{medians['rpc-call'] / medians['nc']:.2f}"


def idle_connections(number: int = 9000):
    """What an idle connection that was used once costs a worker and the master."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with handoff.master(workers=2) as server:
        for _ in range(2):
            with server.connect() as client:
                client.result("ping")
        workers = server.worker_pids()
        before = [private_bytes(pid) for pid in [server.pid, *workers]]
        clients = [server.connect() for _ in range(number)]
        for client in clients:
            client.result("ping")
        after = [private_bytes(pid) for pid in [server.pid, *workers]]
        for client in clients:
            client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield f"{number} idle connections, master", f"{(after[0] - before[0]) / number:.0f} bytes each"
    yield (f"{number} idle connections, worker",
           f"{(sum(after[1:]) - sum(before[1:])) / number:.0f} bytes each")


def replacement(rounds: int = 50):
    """From the SIGKILL of the only worker to the reply that its successor gives."""
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
    yield "a killed worker is replaced and serving, median", f"{statistics.median(times) * 1e3:.1f} ms"
    yield "a killed worker is replaced and serving, worst", f"{max(times) * 1e3:.1f} ms"


def passing(rounds: int = 3):
    """Descriptors a second from one process to another."""
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        done = subprocess.run([build / "bench" / "passing"], capture_output=True, text=True,
                              check=True)
        for line in done.stdout.splitlines():
            batch, rate = re.match(r"(\d+ a message): ([\d.]+) million", line).groups()
            rates.setdefault(batch, []).append(float(rate))
    for batch, values in rates.items():
        yield f"descriptors passed, {batch}", f"{statistics.median(values):.2f} M a second"


def main():
    directory = build / "bench"
    directory.mkdir(exist_ok=True)
    rows = []
    for measure in (cold_call(directory), idle_connections(), replacement(), passing()):
        for name, value in measure:
            print(f"{name:52} {value:>16}", flush=True)
            rows.append(f"{name:52} {value:>16}\n")
    (directory / "results.txt").write_text("".join(rows))


main()
