# SPDX-License-Identifier: MIT
"""A worker that is killed or told to end leaves nothing that its handlers have started."""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import AMPLE, HandlerCase, KINDS, SLOW_TO_DIE  # noqa: E402


class Ends(HandlerCase):
    """Of the worker."""

    def call_and_wait(self, server: handoff.Server, sleeping: int) -> handoff.Connection:
        """Calls all kinds of `hang`, and waits until so many processes sleep."""
        client = self.open(server)
        for kind in KINDS:
            client.send(f"{kind}.hang", id=kind)

        def all_there():
            programs = [left.split(" ")[0] for left in self.handlers_left()]
            return programs.count("sleep") == sleeping

        handoff.wait_for(all_there, "the handlers to run")
        return client

    def test_a_worker_that_is_killed_leaves_no_handler(self):
        options = self.all_kinds({"hang": "exec sleep 999"})
        server = self.worker(*AMPLE, *options, "-k", "idle=cat", "-k", "deaf=read -r line; "
                             "echo 1; exec sleep 999")
        client = self.call_and_wait(server, len(KINDS))
        self.assertEqual((client.result("idle", 1), client.result("deaf")), (1, 1))
        server.kill(signal.SIGKILL)
        self.assert_nothing_left()

    def test_a_worker_that_is_told_to_end_leaves_nothing(self):
        options = self.all_kinds({"hang": "setsid sleep 999 & wait"})
        for busy, status in ((True, 124), (False, 0)):
            server = self.worker(*AMPLE, *options, "-k", "idle=setsid sleep 998 & cat")
            client = self.open(server)
            self.assertEqual(client.result("idle", 1), 1)
            if busy:
                self.call_and_wait(server, 1 + len(KINDS))
                server.kill(signal.SIGTERM)
                self.assertIsNone(client.receive())  # the drain has begun; stop() cuts it short
            self.assertEqual(server.stop(), status)
            self.assertEqual(self.handlers_left(), [])

    def master(self, body: str, more: tuple[str, ...] = ()) -> handoff.Server:
        words = [handoff.tool("rpc-worker"), "--env", "HANDLERS_OF", *AMPLE,
                 *self.all_kinds({"hang": body}), *more]
        return self.start(handoff.master(workers=1, command=words, env=self.environment))

    def kill_worker(self, server: handoff.Server):
        worker = server.worker_pids()[0]
        os.kill(worker, signal.SIGKILL)
        self.assert_nothing_left()
        handoff.wait_for(lambda: any(map(handoff.alive, server.worker_pids())), "another worker")
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_a_worker_killed_under_a_master_leaves_nothing_that_handlers_have_started(self):
        body = "sleep 999 & setsid sleep 998 & (setsid sleep 997 &); wait"
        server = self.master(body, ("-k", "idle=setsid sleep 996 & cat"))
        for _ in range(3):
            client = self.open(server)
            self.assertEqual(client.result("idle", 1), 1)
            self.call_and_wait(server, 1 + 3 * len(KINDS))
            self.kill_worker(server)

    def test_a_worker_killed_under_a_master_leaves_nothing_behind_a_slow_handler(self):
        server = self.master(self.script("slow", SLOW_TO_DIE))
        for _ in range(2):
            self.call_and_wait(server, len(KINDS))
            self.kill_worker(server)


if __name__ == "__main__":
    handoff.run_tests()
