# SPDX-License-Identifier: MIT
"""--lame-duck: a server that is told to stop loses no call of a client that knows the last reply."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
CALL = handoff.tool("rpc-call")
PING = handoff.tool("rpc-ping")
SHUTTING_DOWN = -32005


class LameDuck(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.control = str(self.directory / "control")
        self.address = str(self.directory / "listener")

    def launch(self, lame_duck: str = "60s", command=(WORKER,), workers: int = 2) -> handoff.Server:
        return self.start(handoff.master("-c", self.control, "-l", self.address, "--lame-duck", lame_duck,
                                         command=list(command), workers=workers))

    def ask(self, method: str):
        with handoff.Connection(self.control) as client:
            return client.result(method)

    def be_lame_duck(self, server: handoff.Server):
        server.kill(signal.SIGTERM)
        server.wait_for_line("leaving: each connection ends after its next reply")

    def assert_last(self, client: handoff.Connection, reply):
        self.assertIs(reply.pop("last", None), True, reply)
        self.assertIsNone(client.receive())

    def test_a_connection_ends_with_its_next_reply_and_a_new_one_with_its_first(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(8)]
        for client in clients:
            self.assertEqual(client.call("ping", 1), {"out": "pong", "result": 1})
        self.be_lame_duck(server)
        for client in [*clients, self.open(server)]:
            # A worker may not have read yet that it is one.
            reply = client.call("ping", 2)
            while "last" not in reply:
                reply = client.call("ping", 2)
            self.assert_last(client, reply)
            self.assertEqual(reply, {"out": "pong", "result": 2})

    def test_while_it_lasts_the_state_is_stopping_and_nothing_changes(self):
        server = self.launch()
        self.be_lame_duck(server)
        self.assertEqual(self.ask("status")["state"], "stopping")
        with handoff.Connection(self.control) as client:
            self.assertEqual(client.call("reload")["result"]["message"], "stopping")
            self.assertEqual(client.call("upgrade")["result"]["message"], "stopping")

    def test_a_second_signal_ends_it_at_once(self):
        server = self.launch()
        idle = self.open(server)
        idle.result("ping")
        self.be_lame_duck(server)
        server.kill(signal.SIGTERM)
        server.process.wait(handoff.PATIENCE)
        self.assertIsNone(idle.receive())

    def test_its_end_is_that_of_a_server_that_stops(self):
        server = self.launch("200ms")
        idle = self.open(server)
        idle.result("ping")
        self.be_lame_duck(server)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assertIsNone(idle.receive())
        self.assertEqual(list(self.directory.iterdir()), [])

    @handoff.only("connection", "listener", because="with a queue the master serves the clients")
    def test_a_worker_that_is_started_meanwhile_is_one_too(self):
        server = self.launch(workers=1)
        self.be_lame_duck(server)
        old = self.ask("workers")[0]["pid"]
        os.kill(old, signal.SIGKILL)
        handoff.wait_for(lambda: [worker["pid"] for worker in self.ask("workers")
                                  if worker["state"] == "ready" and worker["pid"] != old], "another worker")
        client = self.open(server)
        reply = client.call("ping")
        while "last" not in reply:
            reply = client.call("ping")
        self.assert_last(client, reply)

    def test_requests_that_arrive_while_a_call_runs_are_refused(self):
        gate = str(self.directory / "gate")
        os.mkfifo(gate)
        server = self.launch(command=[WORKER, "-m", f"slow=cat {gate}"], workers=1)
        client = self.open(server)
        client.send("slow", id=1)
        handoff.wait_for(lambda: self.ask("workers")[0]["requests"] == 1, "the call to begin")
        self.be_lame_duck(server)
        refused = []
        while not refused:
            reply = client.call("ping", id=2)
            if reply["out"] == "error":
                refused.append(reply)
        self.assertEqual((refused[0]["id"], refused[0]["result"]["code"]), (2, SHUTTING_DOWN))
        with open(gate, "w", encoding="ascii") as opened:
            opened.write("7")
        reply = client.receive()
        self.assert_last(client, reply)
        self.assertEqual(reply, {"out": "slow", "result": 7, "id": 1})
        os.unlink(gate)

    def test_lines_and_pings_lose_nothing_while_a_server_is_replaced_by_another(self):
        first = [f"{number}\n" for number in range(200)]
        rest = "".join(f"{number}\n" for number in range(200, 400))
        server = self.launch("500ms", command=[WORKER, "-k", "same=cat"])
        calls = subprocess.Popen([CALL, "--wait", self.address, "same", "-"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.stack.enter_context(calls)
        self.stack.callback(calls.kill)
        calls.stdin.writelines(first)
        calls.stdin.flush()
        self.assertEqual([calls.stdout.readline() for _ in first], first)
        self.be_lame_duck(server)
        writer = threading.Thread(target=lambda: (calls.stdin.write(rest), calls.stdin.close()))
        writer.start()
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.launch(command=[WORKER, "-k", "same=cat"])
        writer.join()
        self.assertEqual(calls.stdout.read(), rest)
        self.assertEqual(calls.wait(handoff.PATIENCE), 0)

    def test_a_flood_of_pings_loses_none_to_a_lame_duck(self):
        server = self.launch()
        ping = subprocess.Popen([PING, "-f", "-P", "16", "-c", "20000", "-J", self.address],
                                stdout=subprocess.PIPE, text=True)
        self.stack.enter_context(ping)
        self.stack.callback(ping.kill)
        self.be_lame_duck(server)
        summary = json.loads(ping.communicate()[0].splitlines()[-1])
        self.assertEqual((summary["sent"], summary["received"]), (20000, 20000))
        self.assertEqual(ping.wait(), 0)


class Alone(handoff.TestCase):
    def test_a_worker_alone_is_one_for_its_time(self):
        server = self.start(handoff.worker("--lame-duck", "200ms"))
        client = self.open(server)
        client.result("ping")
        server.kill(signal.SIGTERM)
        server.wait_for_line("leaving: each connection ends after its next reply")
        self.assertIs(client.call("ping")["last"], True)
        self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_a_forward_sends_again_what_a_lame_duck_has_not_run(self):
        behind = self.start(handoff.worker("--lame-duck", "60s", "-m", "slow=sleep 0.05; cat"))
        front = self.start(handoff.worker("-f", "*={}:{}".format(*behind.address)))
        clients = [self.open(front) for _ in range(16)]
        for number, client in enumerate(clients):
            client.send("slow", number)
        behind.kill(signal.SIGTERM)
        behind.wait_for_line("leaving: each connection ends after its next reply")
        for round_number in range(5):
            for number, client in enumerate(clients):
                self.assertEqual(client.receive(), {"out": "slow", "result": number})
                client.send("slow", number)
        for client in clients:
            client.receive()


if __name__ == "__main__":
    handoff.run_tests()
