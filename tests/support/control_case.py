# SPDX-License-Identifier: MIT
"""What the tests of a master's control socket share."""

import handoff

WORKER = handoff.tool("rpc-worker")
MASTER = [handoff.tool("rpc-master"), *handoff.passing()]
NO_METHOD, WORKER_DIED = -32601, -32004


def held(connections: int) -> int:
    """So many do the workers hold of these: none with a queue."""
    return 0 if handoff.PASS == "queue" else connections


class ControlTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.control = self.path("control")

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def launch(self, *options: str, workers: int = 2, command=(WORKER,), **server):
        return self.start(handoff.master("-c", self.control, *options, workers=workers,
                                         command=list(command), **server))

    def connect(self) -> handoff.Connection:
        return self.stack.enter_context(handoff.Connection(self.control))

    def ask(self, method: str, params=None):
        with handoff.Connection(self.control) as client:
            return client.result(method, params)

    def error_of(self, method: str, params=None) -> dict:
        with handoff.Connection(self.control) as client:
            reply = client.call(method, params)
        self.assertEqual(reply["out"], "error", reply)
        return reply["result"]

    def worker(self, number: int, workers=None) -> dict:
        """The only one of this number."""
        found = [each for each in workers or self.ask("workers") if each["worker"] == number]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def wait_for_worker(self, number: int, **wanted) -> dict:
        def found():
            for each in self.ask("workers"):
                if each["worker"] == number and wanted.items() <= each.items():
                    return each
            return None
        return handoff.wait_for(found, f"worker {number} with {wanted}")

    def wait_until_settled(self, count: int):
        """All workers are ready, and no more than `count`."""
        def settled():
            workers = self.ask("workers")
            return len(workers) == count and all(each["state"] == "ready" for each in workers)
        handoff.wait_for(settled, f"{count} workers, all ready")
