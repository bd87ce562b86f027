# SPDX-License-Identifier: MIT
"""A reload and an upgrade by the number of connections: six workers, six processes of clients, each
with an address of its own, which call 300 times a second each.

1,000 to 10,000 connections; with HANDOFF_STRESS set, to as many as the limit of open files lets six
processes have, 100,000 at most. A reload is over when no connection waits and the new workers have
all; the longest silence is what one client waited for one reply.
"""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from bench_support import handoff

PROCESSES = 6
RATE = 300
COUNTS = (1_000, 3_000, 10_000, 30_000, 100_000)
IDLE_CLIENTS = pathlib.Path(__file__).with_name("idle_clients.py")

# Of a worker and of a process of clients: what is not a connection.
OTHER_DESCRIPTORS = 300


def counts() -> list[int]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = PROCESSES * (hard - OTHER_DESCRIPTORS)
    wanted = COUNTS if handoff.STRESS else COUNTS[:3]
    return [min(count, most) // PROCESSES * PROCESSES for count in wanted
            if count < most or count == min(each for each in wanted if each >= most)]


class Clients:
    """One process of them."""

    def __init__(self, address, count: int):
        host, port = address
        self.process = subprocess.Popen(
            [sys.executable, IDLE_CLIENTS, host, str(port), str(count), str(RATE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def said(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a process of clients has ended")
        return json.loads(line)

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def ask_all(clients: list[Clients]) -> list[dict]:
    for each in clients:
        each.ask()
    return [each.said() for each in clients]


@contextlib.contextmanager
def clients_of(server: handoff.Server, total: int):
    with contextlib.ExitStack() as stack:
        clients = []
        for address in server.addresses:
            clients.append(Clients(address, total // PROCESSES))
            stack.callback(clients[-1].close)
        for each in clients:
            each.said()
        yield clients


def status_of(control: str) -> dict:
    """Empty while a master hands over."""
    with contextlib.suppress(OSError, EOFError, AssertionError):
        with handoff.Connection(control) as client:
            return client.result("status")
    return {}


def has_all(status: dict, total: int, old: set[int]) -> bool:
    workers = status.get("workers", [])
    return (len(workers) == PROCESSES and status["waiting"] == 0 and
            not old & {worker["pid"] for worker in workers} and
            sum(worker["connections"] for worker in workers) >= total)


def measure_one(action: str, total: int) -> dict:
    with tempfile.TemporaryDirectory() as directory:
        control = f"{directory}/control"
        listen = [word for number in range(PROCESSES) for word in ("-l", f"127.0.0.{number + 1}:0")]
        with handoff.master(*listen, "-c", control, workers=PROCESSES) as server:
            with clients_of(server, total) as clients:
                handoff.wait_for(lambda: has_all(status_of(control), total, set()),
                                 "all connections to be passed", 60)
                time.sleep(1)
                return perform(action, total, server, control, clients)


def perform(action: str, total: int, server, control: str, clients) -> dict:
    status = status_of(control)
    old = {worker["pid"] for worker in status["workers"]}
    used = handoff.cpu_seconds(status["pid"])
    ask_all(clients)
    began = time.monotonic()
    with handoff.Connection(control, timeout=120) as client:
        client.send(action)
        with contextlib.suppress(OSError, EOFError):
            client.receive()
    handoff.wait_for(lambda: has_all(status_of(control), total, old), "it to be over", 120)
    seconds = time.monotonic() - began
    time.sleep(0.5)
    said = ask_all(clients)
    master = status_of(control)["pid"]
    cpu = handoff.cpu_seconds(master) - (used if master == status["pid"] else 0)
    kept = [line for line in server.lines if "cannot keep a copy" in line]
    result = dict(connections=total, seconds=seconds, cpu=cpu,
                  megabytes=handoff.resident_bytes(master) / 2**20,
                  worst=max(each["worst"] for each in said),
                  lost=sum(each["lost"] for each in said), kept=kept[:1])
    if master != status["pid"]:
        os.kill(master, 15)
        handoff.wait_for(lambda: server.process.poll() is not None, "it to stop")
    return result


def measure():
    measured = {}
    for action in ("reload", "upgrade"):
        measured[action] = []
        for total in counts():
            one = measure_one(action, total)
            measured[action].append(one)
            yield (f"{action} with {total:,} connections: over, longest silence, lost",
                   f"{one['seconds']:.2f} s, {one['worst']:.2f} s, {one['lost']}")
            yield (f"{action} with {total:,} connections: CPU, memory of the master",
                   f"{one['cpu']:.2f} s, {one['megabytes']:.0f} MB")
            for line in one["kept"]:
                yield f"{action} with {total:,} connections: {line.split(': ', 2)[-1]}", ""
    return measured
