# SPDX-License-Identifier: MIT
"""What the tests share in which a master replaces its workers: clients under load, and a master
with a control socket."""

import json
import os

import handoff


def encode(method: str, params, number=None) -> bytes:
    """A request; in JSON-RPC, when it has a number."""
    if number is None:
        return json.dumps({"in": method, "params": params}).encode()
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
    return json.dumps(request).encode()


class TestCase(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.control_path = str(self.directory / "control")

    def start_master(self, *options: str, workers: int = 1, command=None):
        server = self.start(handoff.master("-v", "-c", self.control_path, *options,
                                           workers=workers, command=command, ready=False))
        # Where workers join is named behind the addresses.
        words = server.wait_for_line(r": ready, .* on ").split(" on ", 1)[1].split(" (")[0]
        server.addresses = [handoff.parse_address(word) for word in words.split()]
        self.control = self.stack.enter_context(handoff.Connection(self.control_path))
        return server

    def start_on_a_path(self, **options):
        return self.start_master("-l", str(self.directory / "socket"), **options)

    def start_slow(self, *options: str, workers: int = 1):
        """With a method that waits for `gate`, and says in `mark` that it has begun."""
        self.gate, self.mark = self.directory / "gate", self.directory / "mark"
        os.mkfifo(self.gate)
        os.mkfifo(self.mark)
        return self.start_master(
            *options, workers=workers,
            command=[handoff.tool("rpc-worker"), "-m", f"slow=echo >{self.mark}; cat {self.gate}"])

    def wait_until_slow_runs(self):
        self.mark.read_text()

    def let_slow_end(self):
        self.gate.write_text("1")

    def reload(self, server):
        """Until the old workers are gone."""
        old = server.worker_pids()
        self.control.result("reload")
        handoff.wait_for(lambda: not set(old) & set(server.worker_pids()),
                         "the old workers to leave")

    def pid_of(self, client) -> int:
        return client.result("info")["pid"]

    def workers(self) -> list:
        return self.control.result("workers")

    def connections(self) -> int:
        """That the only worker has; with a queue, the master."""
        where = self.control.result("status")
        return (where if handoff.PASS == "queue" else where["workers"][0])["connections"]

    def serving(self) -> dict:
        """The workers' numbers by their pids."""
        return {one["pid"]: one["worker"] for one in self.workers() if one["state"] == "ready"}
