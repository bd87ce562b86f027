# SPDX-License-Identifier: MIT
"""What the tests of --pass queue share in which workers die, hang, lie or attack: masters whose
first worker is told to do a deed of queue_worker."""

import sys

import handoff
from queue_case import QUEUE_WORKER, QUICK, QueueTest, WORKER

AT_ONCE = ("--backoff", "1ms:1ms")


class FaultTest(QueueTest):
    def with_deed(self, *deed: str, options=(), workers: int = 2, worker=(WORKER,)):
        """A master whose first worker does what tests/support/queue_worker.py has."""
        return self.launch(*AT_ONCE, *options, workers=workers, command=[
            sys.executable, "-B", QUEUE_WORKER, *deed, "--", *worker])

    def assert_serves(self, server, workers: int = 2):
        """After all that was done to it."""
        self.assertIsNone(server.process.poll(), server.lines)
        self.wait_for_queue(waiting=0, running=0)
        handoff.wait_for(lambda: self.ready_workers() == workers, "all workers", QUICK)

    def ready_workers(self) -> int:
        return sum(worker["state"] == "ready" for worker in self.ask("status")["workers"])
