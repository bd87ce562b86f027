# SPDX-License-Identifier: MIT
"""Very many kills of workers at any moment, under clients of all kinds: no idle one notices, no
call gets another's answer, and nothing is left behind. HANDOFF_KILLS says how many."""

import contextlib
import os
import pathlib
import random
import select
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import survivors  # noqa: E402
from load import Load  # noqa: E402
from survivors import Busy, Idle  # noqa: E402

WORKERS = 4
KILLS = int(os.environ.get("HANDOFF_KILLS", handoff.count(100_000, 200)))
KILLS_A_ROUND = 20
WORKER = (handoff.tool("rpc-worker"), *survivors.SLOW, "-m", "nap=sleep 0.01; cat")


def caller(address):
    """A client of a Load that has one call at a time, which lasts: an error is the worst that
    happens to it, and it is of the call that is under way. An end is no failure while the reply is
    written."""
    def call(load: Load, number: int):
        count = 0
        while not load.is_over():
            with handoff.Connection(address) as client:
                kind = ""
                while kind != "ended" and not load.is_over():
                    count += 1
                    kind = outcome(client, count, [number, count])
                    if kind == "answered":
                        load.answered[number] += 1
                    else:
                        load.errors[number][kind] += 1
    return call


def outcome(client, call: int, params) -> str:
    try:
        client.send("nap", params, id=call)
        reply = client.receive()
    except (ConnectionError, EOFError):
        return "ended"
    if reply is None:
        return "ended"
    if reply == {"out": "nap", "id": call, "result": params}:
        return "answered"
    assert reply.get("id") == call and reply["out"] == "error", (reply, call)
    assert reply["result"]["code"] == survivors.WORKER_DIED, reply
    return "died"


@handoff.only("connection", because="this is about connections that the master passes")
class ManyKills(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.need_descriptors(2000)
        self.control = str(self.directory / "control")
        self.chance = random.Random()

    def kill_some(self, server) -> int:
        """At any moment of their lives."""
        kills = 0
        while kills < KILLS_A_ROUND:
            pids = server.worker_pids()
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.chance.choice(pids), signal.SIGKILL)
                    kills += 1
            select.select([], [], [], self.chance.choice((0.001, 0.005, 0.02, 0.05)))
        return kills

    @staticmethod
    def wait_for_stores(server):
        """Until all workers have stored that the connections are idle whose clients have a reply: a
        kill in the instant before costs them, as it is written."""
        for pid in server.worker_pids():
            handoff.wait_for(lambda: handoff.sleeps(pid), "a worker to wait")

    def all_ready(self):
        return handoff.wait_for(lambda: len(survivors.ready_workers(self.control)) == WORKERS,
                                "all workers")

    def test_no_idle_client_is_lost_no_reply_is_anothers_and_nothing_is_left(self):
        server = self.start(handoff.master("-c", self.control, "--backoff", "1ms:20ms",
                                           workers=WORKERS, command=WORKER))
        self.all_ready()
        before = handoff.descriptor_count(server.pid)
        idle = Idle(self, server.address, 200)
        kills, began = 0, time.monotonic()
        with Busy(server.address, 8) as busy, Load([caller(server.address)] * 4) as callers:
            while kills < KILLS and not (busy.problems or callers.problems):
                kills += self.kill_some(server)
                idle.check()
                self.wait_for_stores(server)
                if kills % 1000 < KILLS_A_ROUND:
                    lost = callers.total_errors()
                    print(f"{kills} kills, {time.monotonic() - began:.0f} s: {sum(busy.answered)} "
                          f"answered, {busy.lost()} ended while busy; of calls that last "
                          f"{sum(callers.answered)} answered, {lost['died']} died, "
                          f"{lost['ended']} ended", file=sys.stderr)
        self.assertEqual(busy.problems + callers.problems, [])
        self.assertGreater(sum(busy.answered), 0)
        self.assertGreater(callers.total_errors()["died"], 0)
        self.assert_nothing_is_left(server, idle, before)

    def assert_nothing_is_left(self, server, idle: Idle, descriptors: int):
        self.all_ready()
        status = self.status_with(connections=len(idle.clients), waiting=0)
        self.assertEqual(sum(worker["connections"] for worker in status["workers"]),
                         len(idle.clients))
        for client in idle.clients:
            client.close()
        self.status_with(connections=0, waiting=0)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors,
                         "no descriptor to be left")
        handoff.wait_for(lambda: len(server.worker_pids()) == WORKERS, "no process to be left")
        for pid in server.worker_pids():
            handoff.wait_for(lambda: not handoff.children(pid), "no command to be left")
        self.assertEqual(server.stop(), 0)

    def status_with(self, **expected: int) -> dict:
        def as_expected():
            with handoff.Connection(self.control) as client:
                status = client.result("status")
            return status if expected.items() <= status.items() else None
        return handoff.wait_for(as_expected, f"the status to say {expected}")


if __name__ == "__main__":
    handoff.run_tests()
