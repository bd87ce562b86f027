# SPDX-License-Identifier: MIT
"""Twelve workers get SIGKILL, one after another, while 800 clients stay connected: here and with
servers of others, how many of them notice?

Before each kill the worker is stopped and eight clients send a request, which some of them have at
that worker: those wait in the sockets unread. Peers that are not installed are named as missing.
"""

import collections
import os
import resource
import shutil
import signal

from bench_support import handoff
from measure_reload import REQUEST, Http
from peers import KILLED_PEERS

CLIENTS = 800
WORKERS = 4
KILLS = 12
REQUESTS = 8  # before each kill


class Ours(handoff.Connection):
    def ask(self):
        self.send("ping", 1)

    def answer(self):
        if self.receive() != {"out": "pong", "result": 1}:
            raise EOFError


class Theirs(Http):
    def ask(self):
        self.socket.sendall(REQUEST)

    def answer(self):
        self.read_reply()


def works(*steps) -> bool:
    try:
        for step in steps:
            step()
        return True
    except (OSError, EOFError):
        return False


def workers_of(pid: int) -> list[int]:
    return handoff.children(pid)


def wait_for_workers(pid: int, count: int, killed: int):
    """Until there are so many again, or the server has given up."""
    def are_there():
        workers = set(workers_of(pid)) - {killed}
        return not handoff.alive(pid) or len(workers) >= count
    handoff.wait_for(are_there, "the workers")


def kill_workers(client, address, pid: int) -> dict[str, int]:
    """What was lost of each kind."""
    clients = [client(address) for _ in range(CLIENTS)]
    for each in clients:
        each.ask()
        each.answer()
    count = dict(idle=0, unread=0)
    victims = collections.deque(workers_of(pid))
    workers = len(victims)
    for number in range(KILLS):
        victims.extend(sorted(set(workers_of(pid)) - set(victims)))
        asked = clients[number * REQUESTS:(number + 1) * REQUESTS]
        if victims:  # one that gives up after a kill has none any more
            # No kill is to hit the instant after a reply, in which nobody can tell what was sent.
            handoff.wait_for(lambda: handoff.sleeps(victims[0]), "the worker to have nothing to do")
            handoff.stop_process(victims[0])
        sent = [each for each in asked if works(each.ask)]
        if victims:
            os.kill(victims[0], signal.SIGKILL)
            wait_for_workers(pid, workers, victims.popleft())
        count["unread"] += len(asked) - sum(works(each.answer) for each in sent)
    asked = clients[KILLS * REQUESTS:]
    count["idle"] = len(asked) - sum(works(each.ask, each.answer) for each in asked)
    for each in clients:
        each.close()
    return count


def rows_of(name: str, count: dict):
    sent = KILLS * REQUESTS
    yield f"{KILLS} kills, {name}: idle connections lost, of {CLIENTS - sent}", f"{count['idle']}"
    yield f"{KILLS} kills, {name}: lost with a request unread, of {sent}", f"{count['unread']}"


def measure():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * CLIENTS)), hard))
    for words in ((), ("--pass", "queue")):
        with handoff.master(*words, "--backoff", "1ms:20ms", workers=WORKERS) as server:
            name = " ".join(["handoff", *words])
            yield from rows_of(name, kill_workers(Ours, server.address, server.pid))
    for name, (start, program) in KILLED_PEERS.items():
        if not shutil.which(program):
            yield f"{KILLS} kills, {name}", "not installed"
            continue
        with start(workers=WORKERS) as server:
            yield from rows_of(name, kill_workers(Theirs, server.address, server.pid))
