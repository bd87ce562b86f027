# SPDX-License-Identifier: MIT
"""What the tests of the ledger share: a master whose workers keep one, and clients of it."""

import contextlib
import os
import signal
import sys

import handoff
import survivors
from survivors import Idle, LongCall

WORKER = handoff.tool("rpc-worker")
LEDGER_WORKER = (sys.executable, "-B", str(handoff.ROOT / "tests/support/ledger_worker.py"))
AT_ONCE = ("--backoff", "1ms:20ms")
KILLS = handoff.count(200, 12)


class LedgerTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.need_descriptors(4000)
        self.control = str(self.directory / "control")

    def master(self, *options: str, workers: int = 4, command=(WORKER, *survivors.SLOW), **more):
        return self.start(handoff.master("-c", self.control, *AT_ONCE, *options, workers=workers,
                                         command=list(command), **more))

    def ready(self, workers: int = 4) -> list[int]:
        """The process ids of that many workers, once they are ready and have nothing to do."""
        def all_ready():
            pids = survivors.ready_workers(self.control)
            return pids if len(pids) == workers else None
        pids = handoff.wait_for(all_ready, f"{workers} workers")
        for pid in pids:
            handoff.wait_for(lambda: handoff.sleeps(pid), "a worker to have nothing to do")
        return pids

    def long_calls(self, server) -> list[LongCall]:
        calls = [LongCall(self, server.address, kind) for kind in LongCall.KINDS]
        for call in calls:
            call.begin()
        return calls

    def wait_for_commands(self, server, count: int):
        """So many calls run: their entries say so."""
        handoff.wait_for(lambda: sum(len(handoff.children(pid)) for pid in server.worker_pids())
                         >= count, f"{count} commands")

    def go_through_kills(self, server, idle: Idle, calls: list[LongCall]):
        descriptors = handoff.descriptor_count(server.pid)
        for number in range(KILLS):
            victim = self.ready()[number % 4]
            handoff.stop_process(victim)
            idle.send_some(8)
            self.kill(victim)
            idle.check()
            for call in calls:
                call.begin_again_if_it_died()
        self.assertGreater(sum(call.errors for call in calls), 0)
        for pid in self.ready():
            self.kill(pid)
        for call in calls:
            self.assertEqual(call.receive(), "died")
            self.assertEqual(call.call("ping"), "answered")
        self.ready()
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors + 8,
                         "no descriptor to be left")

    @staticmethod
    def kill(pid: int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(pid), "the worker to be dead")
