# SPDX-License-Identifier: MIT
"""The control method `stop`: what TERM does, with a reply when it is done."""

import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
FAILED = -32001
STOPPED = {"out": "stop", "result": None}


class Stop(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.control = str(self.directory / "control")
        self.gate = str(self.directory / "gate")
        os.mkfifo(self.gate)
        self.addCleanup(self.let_all_through)

    def let_all_through(self):
        """A worker of a killed master may still wait at the gate, or come to it later."""
        opened = os.open(self.gate, os.O_RDWR)
        os.unlink(self.gate)
        os.close(opened)

    def launch(self, *options: str, **more) -> handoff.Server:
        return self.start(handoff.master("-c", self.control, *options, **more))

    def launch_slow(self, *options: str) -> handoff.Server:
        """Its method `slow` runs until the gate opens."""
        return self.launch(*options, workers=1, command=[WORKER, "-m", f"slow=cat {self.gate}"])

    def connect(self) -> handoff.Connection:
        return self.stack.enter_context(handoff.Connection(self.control))

    def open_gate(self):
        with open(self.gate, "w", encoding="ascii") as opened:
            opened.write("1\n")

    def ask(self, method: str):
        with handoff.Connection(self.control) as client:
            return client.result(method)

    def begin_slow_call(self, server: handoff.Server) -> handoff.Connection:
        client = self.open(server)
        client.send("slow")
        handoff.wait_for(lambda: self.ask("workers")[0]["requests"] == 1, "the call to begin")
        return client

    def assert_stopped(self, reply):
        """The reply is that of `stop`, and may say that it is the last one."""
        reply.pop("last", None)
        self.assertEqual(reply, STOPPED)

    def wait_until_stopping(self):
        handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")

    def assert_ends(self, server: handoff.Server, status: int):
        self.assertEqual(server.process.wait(handoff.PATIENCE), status)
        self.assertEqual([path.name for path in self.directory.iterdir()], ["gate"])

    def test_stop_is_answered_when_the_workers_and_the_names_are_gone(self):
        listener = str(self.directory / "listener")
        server = self.launch("-l", listener)
        idle = self.open(server)
        idle.result("ping")
        workers = server.worker_pids()
        self.assertEqual(len(workers), 2)
        self.assert_stopped(self.connect().call("stop"))
        self.assertEqual([pid for pid in workers if handoff.alive(pid)], [])
        self.assertEqual([path.name for path in self.directory.iterdir()], ["gate"])
        self.assertIsNone(idle.receive())
        self.assert_ends(server, 0)

    def test_a_call_that_is_under_way_is_finished_first(self):
        server = self.launch_slow()
        client, control = self.begin_slow_call(server), self.connect()
        control.send("stop")
        self.wait_until_stopping()
        self.open_gate()
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assert_stopped(control.receive())
        self.assertIsNone(control.receive())
        self.assert_ends(server, 0)

    def test_a_caller_that_hangs_up_does_not_stop_the_stopping(self):
        server = self.launch_slow()
        client = self.begin_slow_call(server)
        with handoff.Connection(self.control) as control:
            control.send("stop")
            self.wait_until_stopping()
        self.open_gate()
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assert_ends(server, 0)

    def test_a_second_one_is_immediate(self):
        server = self.launch_slow()
        client, first = self.begin_slow_call(server), self.connect()
        first.send("stop")
        self.wait_until_stopping()
        self.assert_stopped(self.connect().call("stop"))
        self.assert_stopped(first.receive())
        reply = client.receive()
        self.assertTrue(reply is None or reply["out"] == "error", reply)
        self.assert_ends(server, 124)

    def test_one_after_a_signal_is_the_second(self):
        server = self.launch_slow()
        self.begin_slow_call(server)
        server.kill(signal.SIGTERM)
        self.wait_until_stopping()
        self.assert_stopped(self.connect().call("stop"))
        self.assert_ends(server, 124)

    def test_stop_stops_a_master_whose_workers_are_not_ready(self):
        server = self.launch(ready=False, command=["sleep", "1000"])
        handoff.wait_for(lambda: os.path.exists(self.control), "the control socket")
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the workers")
        self.assert_stopped(self.connect().call("stop"))
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_a_reload_or_an_upgrade_that_is_under_way_is_given_up(self):
        marker = self.directory / "marker"
        for method in ("reload", "upgrade"):
            with self.subTest(method):
                marker.unlink(missing_ok=True)
                server = self.launch(workers=1, command=[
                    "sh", "-c", f'test -e "{marker}" && read -r line <"{self.gate}"; exec "$0"',
                    WORKER])
                marker.touch()
                client = self.connect()
                client.send(method)
                state = {"reload": "reloading", "upgrade": "upgrading"}[method]
                handoff.wait_for(lambda: self.ask("status")["state"] == state, state)
                self.assert_stopped(self.connect().call("stop"))
                self.assertEqual(client.receive()["out"], "error")
                self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
                handoff.wait_for(lambda: not os.path.exists(self.control), "the name to go")

    def test_an_old_master_says_who_has_taken_over(self):
        server = self.launch_slow()
        client, control = self.begin_slow_call(server), self.connect()
        self.assertIsNone(control.result("upgrade"))
        successor = self.ask("info")["pid"]
        self.assertEqual(control.call("stop")["result"],
                         {"code": FAILED, "message": f"pid {successor} has taken over"})
        self.open_gate()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assert_stopped(self.connect().call("stop"))
        self.assert_ends(server, 0)
        handoff.wait_for(lambda: not handoff.alive(successor), "the new master to end")

    def test_rpc_call_stops_a_server_and_lists_the_method(self):
        server = self.launch()

        def call(*words: str) -> str:
            return subprocess.run([handoff.tool("rpc-call"), self.control, *words], check=True,
                                  capture_output=True, text=True, timeout=handoff.PATIENCE).stdout
        self.assertTrue(re.search("^stop$", call("--list"), re.MULTILINE))
        self.assertEqual(call("stop"), "null\n")
        self.assert_ends(server, 0)


if __name__ == "__main__":
    handoff.run_tests()
