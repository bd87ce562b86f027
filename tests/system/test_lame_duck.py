# SPDX-License-Identifier: MIT
"""A server that is told to stop, and first serves on as a lame duck: each connection ends with a reply
that says that it is the last one."""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
SHUTTING_DOWN = -32005
LONG = ("--lame-duck", "1m")


class LameDuck(handoff.TestCase):
    def launch(self, *options: str, **more) -> handoff.Server:
        self.control = str(self.directory / "control")
        return self.start(handoff.master("-c", self.control, *options, **more))

    def tell_to_stop(self, server: handoff.Server):
        server.kill(signal.SIGTERM)
        server.wait_for_line("leaving: each connection ends after its next reply$")

    def call_to_the_last(self, client: handoff.Connection) -> dict:
        """Calls until the worker knows that it is a lame duck."""
        def last():
            reply = client.call("echo", [1])
            return reply if "last" in reply else None

        return handoff.wait_for(last, "the last reply")

    def assert_is_lame_duck(self, server: handoff.Server, old: handoff.Connection):
        for client in (old, self.open(server), self.open(server)):
            self.assertEqual(self.call_to_the_last(client),
                             {"out": "echo", "result": [1], "last": True})
            self.assertIsNone(client.receive())

    def test_a_master_ends_each_connection_with_its_last_reply_and_accepts_new_ones(self):
        server = self.launch(*LONG)
        client = self.open(server)
        self.assertNotIn("last", client.call("echo", [1]))
        self.tell_to_stop(server)
        self.assert_is_lame_duck(server, client)
        self.assertIsNone(server.process.poll())

    def test_a_worker_alone_does_the_same(self):
        server = self.start(handoff.worker(*LONG))
        client = self.open(server)
        self.assertNotIn("last", client.call("echo", [1]))
        self.tell_to_stop(server)
        self.assert_is_lame_duck(server, client)
        self.assertIsNone(server.process.poll())

    def test_a_second_signal_ends_it_at_once(self):
        for server in (self.launch(*LONG), self.start(handoff.worker(*LONG))):
            idle = self.open(server)
            idle.result("ping")
            self.tell_to_stop(server)
            # Nothing is cut off if the connection is closed first.
            self.assertIn(server.stop(), (0, 124), server.lines)
            self.assertIsNone(idle.receive())

    def test_an_idle_connection_is_closed_when_the_time_is_over(self):
        for server in (self.launch("--lame-duck", "100ms"),
                       self.start(handoff.worker("--lame-duck", "100ms"))):
            idle = self.open(server)
            idle.result("ping")
            self.assertEqual(server.stop(), 0, server.lines)
            self.assertIsNone(idle.receive())

    def test_status_says_stopping_and_a_reload_is_refused(self):
        server = self.launch(*LONG)
        self.tell_to_stop(server)
        with handoff.Connection(self.control) as control:
            self.assertEqual(control.result("status")["state"], "stopping")
            for change in ("reload", "upgrade"):
                self.assertEqual(control.call(change)["result"]["message"], "stopping")

    def test_a_call_under_way_has_the_last_reply_and_what_arrives_meanwhile_is_not_run(self):
        gate, ran = self.directory / "gate", self.directory / "ran"
        os.mkfifo(gate)
        command = [WORKER, "-m", f"slow=cat {gate}", "-m", f"run=echo 1 >{ran}; echo 1"]
        server = self.launch(*LONG, workers=1, command=command)
        client, other = self.open(server), self.open(server)
        client.send("slow", id="a")
        with handoff.Connection(self.control) as control:
            handoff.wait_for(lambda: control.result("workers")[0]["calls"] == 1, "the call")
        self.tell_to_stop(server)
        self.call_to_the_last(other)
        refused = client.call("run", id="b")
        self.assertEqual((refused["id"], refused["result"]["code"]), ("b", SHUTTING_DOWN))
        gate.write_text("7\n")
        self.assertEqual(client.receive(), {"out": "slow", "result": 7, "id": "a", "last": True})
        self.assertIsNone(client.receive())
        self.assertFalse(ran.exists())


if __name__ == "__main__":
    handoff.run_tests()
