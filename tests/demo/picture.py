# SPDX-License-Identifier: MIT
"""The picture of the demo: the server and its clients in lines that fit a window."""

import enum
import itertools
import time

from screen import Line, Style

TITLE = "handoff: {} clients stay while every process of their server is replaced"

# The columns of a window that has room for labels and for the processes of before.
WIDE = 70

# One character for a ping, by its time: up to so many milliseconds, and above the last one.
LIMITS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
BARS = {True: "▁▂▃▄▅▆▇█", False: "_.,-=+*#"}
BLOCK = {True: "█", False: "#"}


class Progress(enum.Enum):
    """How far a step is. The value is its mark, in UTF-8 and in ASCII."""
    to_come = "  "
    under_way = ">>"
    done = "✓+"
    failed = "✗!"


STYLES = {Progress.to_come: Style.faint, Progress.under_way: Style.bold,
          Progress.done: Style.good, Progress.failed: Style.bad}


def bar_of(milliseconds: float, utf8: bool) -> str:
    return BARS[utf8][sum(milliseconds > limit for limit in LIMITS)]


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def picture(story, width: int, height: int, utf8: bool) -> list[Line]:
    """All of the picture, or as much as fits into a window of this size."""
    ranked = [*title(story, width), *steps(story, utf8), (9, []),
              *workers(story, width, utf8), (9, []),
              *clients(story, width), *pings(story, width, utf8), (9, []), *counts(story)]
    # Each line comes with its rank. Those with the lowest ranks stay, in the order of the picture.
    room = max(1, height - 1)
    kept = sorted(sorted(range(len(ranked)), key=lambda index: (ranked[index][0], index))[:room])
    return [ranked[index][1] for index in kept]


def title(story, width: int):
    passed = f" {clock(time.monotonic() - story.begun)}"
    room = max(0, width - 1 - len(passed))
    yield 5, [(f"{TITLE.format(len(story.load.clients)):{room}.{room}}", Style.bold),
              (passed, Style.faint)]
    yield 9, []


def steps(story, utf8: bool):
    for step in story.steps:
        style = STYLES[step.progress]
        rank = 0 if step.progress in (Progress.under_way, Progress.failed) else 7
        yield rank, [(f"{step.progress.value[0 if utf8 else 1]} {step.name:10}", style),
                     (step.text, Style.faint if step.progress is Progress.to_come else Style.plain)]


def workers(story, width: int, utf8: bool):
    """The master and each worker with its process id, its connections, and the process that it
    replaces or has replaced. A narrow window has no room for the latter."""
    server, wide = story.server, width >= WIDE
    before = f"before: {story.old_master}" if story.old_master and wide else ""
    yield 4, [(f"{'master':{12 if wide else 7}}", Style.bold),
              (f"{server.pid or '':<{44 if wide else 9}}", Style.plain), (before, Style.faint)]
    for number in range(1, server.count + 1):
        # While one process replaces another, the one that serves is shown first.
        rows = sorted((worker for worker in server.workers if worker["worker"] == number),
                      key=lambda worker: worker["state"] != "ready")
        label = f"worker {number}  " if wide else f"{number} "
        if rows:
            pid, state = rows[0]["pid"], rows[0]["state"]
            count = story.load.held()[pid]
            bar = BLOCK[utf8] * min(count, 20 if wide else max(0, width - 25))
            yield 1, [(f"{label}{server.letters.get(pid, '-')} ", Style.bold),
                      (f"{pid or '':<8}", Style.plain),
                      (f"{state:9}", Style.good if state == "ready" else Style.cyan),
                      (f"{f'{bar} {count}':{25 if wide else 0}}", Style.cyan),
                      (other_processes(server, number, rows) if wide else "", Style.faint)]
        else:
            yield 1, [(label, Style.faint)]


def other_processes(server, number: int, rows: list[dict]) -> str:
    """The processes with this number that are there besides the first one, or the one before it."""
    if rows[1:]:
        return ", ".join(f"{server.letters.get(row['pid'], '-')} {row['pid'] or ''} {row['state']}"
                         for row in rows[1:])
    return "".join(f"before: {server.letters[pid]} {pid}" for pid in server.pids_of(number)[-2:-1])


def clients(story, width: int):
    """A character for each connection: the letter of the process that has answered it last."""
    letters = "".join(story.server.letters.get(client.pid, ".") for client in story.load.clients)
    label = "clients     " if width >= WIDE else ""
    room = max(1, width - 1 - len(label))
    for row, start in enumerate(range(0, len(letters), room)):
        yield 2 if row == 0 else 6, [(label if row == 0 else " " * len(label), Style.bold),
                                     (letters[start:start + room], Style.cyan)]


def pings(story, width: int, utf8: bool):
    times = story.pings.times
    label = "pings       " if width >= WIDE else ""
    room = max(1, width - 1 - len(label))
    shown = itertools.islice(times, max(0, len(times) - room), None)
    yield 3, [(label, Style.bold), ("".join(bar_of(each, utf8) for each in shown), Style.good)]
    if times:
        yield 8, [(" " * len(label), Style.plain),
                  (f"{times[-1]:.2f} ms, slowest {story.pings.slowest:.2f} ms; one character a "
                   "ping, 20 a second", Style.faint)]


def counts(story):
    load = story.load
    killed = f", but for {load.closed_by_kill} with the worker" if load.closed_by_kill else ""
    yield 0, [(f"{load.calls:,} calls, {load.lost} lost", Style.bold),
              (f"; {load.closed} connections closed{killed}", Style.plain)]
