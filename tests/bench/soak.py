# SPDX-License-Identifier: MIT
"""Reloads, upgrades and kills under load for a long time:

    python3 tests/bench/soak.py BUILD [MINUTES]

Every five seconds the descriptors and the memory of the master and of its workers are written down;
in the end they are drawn to BUILD/bench/soak.svg. They should be flat. Prints what clients saw.
"""

import collections
import csv
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
os.environ["HANDOFF_BIN"] = str(build / "bin")
import handoff  # noqa: E402

MINUTES = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
RELOAD, KILL, UPGRADE, SAMPLE = 5.0, 3.0, 60.0, 5.0
LONG_LIVED = ONE_SHOT = 8

seen: collections.Counter = collections.Counter()
over = threading.Event()


def long_lived(address):
    """Pipelines calls on one connection, for as long as it lasts."""
    while not over.is_set():
        try:
            with handoff.Connection(address) as client:
                number = 0
                while not over.is_set():
                    for i in range(8):
                        client.send("ping", number + i)
                    for i in range(8):
                        reply = client.receive()
                        if reply is None or reply["result"] != number + i:
                            raise EOFError
                        seen["long-lived: replies"] += 1
                    number += 8
                    over.wait(0.01)
        except (OSError, EOFError):
            seen["long-lived: lost connections"] += 1


def one_shot(address):
    """A call a connection."""
    while not over.is_set():
        try:
            with handoff.Connection(address) as client:
                if client.call("ping", 1) != {"out": "pong", "result": 1}:
                    raise EOFError
                seen["one-shot: replies"] += 1
        except (OSError, EOFError):
            seen["one-shot: failures"] += 1
        over.wait(0.01)


def control(path: str, method: str):
    with handoff.Connection(path) as client:
        return client.result(method)


def act(path: str, pidfile: pathlib.Path):
    """Reloads, kills and upgrades, each in its rhythm."""
    started = time.monotonic()
    due = {"reload": RELOAD, "kill": KILL, "upgrade": UPGRADE}
    periods = dict(due)
    while not over.wait(0.05):
        for action, when in due.items():
            if time.monotonic() - started < when:
                continue
            due[action] += periods[action]
            try:
                if action == "kill":
                    pids = [worker["pid"] for worker in control(path, "workers") if worker["pid"]]
                    os.kill(random.choice(pids), signal.SIGKILL)
                elif action == "reload":
                    os.kill(int(pidfile.read_text()), signal.SIGHUP)
                else:
                    control(path, "upgrade")
                seen[action] += 1
            except (OSError, AssertionError, EOFError, ProcessLookupError) as error:
                seen[f"{action}: {error}"[:80]] += 1


def sample(pidfile: pathlib.Path):
    master = int(pidfile.read_text())
    workers = handoff.children(master)
    return (handoff.descriptor_count(master), handoff.resident_bytes(master),
            sum(map(handoff.descriptor_count, workers)) / max(1, len(workers)),
            sum(map(handoff.resident_bytes, workers)) / max(1, len(workers)))


def draw(rows, path: pathlib.Path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plot
    times = [row[0] / 60 for row in rows]
    figure, axes = plot.subplots(2, 1, sharex=True, figsize=(9, 6))
    for axis, columns, unit, scale in ((axes[0], (1, 3), "descriptors", 1),
                                       (axes[1], (2, 4), "resident memory, MiB", 2**20)):
        for column, name in zip(columns, ("master", "worker (mean)")):
            axis.plot(times, [row[column] / scale for row in rows], label=name)
        axis.set_ylabel(unit)
        axis.set_ylim(bottom=0)
        axis.legend()
    axes[1].set_xlabel("minutes")
    figure.suptitle("Reloads, upgrades and kills under load")
    figure.savefig(path)


def main():
    directory = build / "bench"
    directory.mkdir(exist_ok=True)
    sockets = directory / "soak"
    sockets.mkdir(exist_ok=True)
    path, pidfile = str(sockets / "ctl"), sockets / "pid"
    rows = []
    server = handoff.master("-c", path, "--pidfile", str(pidfile), workers=4)
    threads = [threading.Thread(target=long_lived, args=(server.address,))
               for _ in range(LONG_LIVED)]
    threads += [threading.Thread(target=one_shot, args=(server.address,))
                for _ in range(ONE_SHOT)]
    threads.append(threading.Thread(target=act, args=(path, pidfile)))
    for thread in threads:
        thread.start()
    started = time.monotonic()
    while time.monotonic() - started < MINUTES * 60:
        over.wait(SAMPLE)
        try:
            rows.append((time.monotonic() - started, *sample(pidfile)))
        except (OSError, AttributeError):
            pass  # a process has just ended
    over.set()
    for thread in threads:
        thread.join()
    os.kill(int(pidfile.read_text()), signal.SIGTERM)
    with (directory / "soak.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("seconds", "master_fds", "master_rss", "worker_fds",
                                     "worker_rss"), *rows])
    draw(rows, directory / "soak.svg")
    print(json.dumps(dict(sorted(seen.items())), indent=2))


main()
