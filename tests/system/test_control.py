# SPDX-License-Identifier: MIT
"""The master's own methods on its control socket, and what it tells a service manager."""

import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
MASTER = [handoff.tool("rpc-master"), *handoff.passing()]
NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped
INVALID_PARAMS = -32602
NO_METHOD, WORKER_DIED = -32601, -32004
FAILED = -32000  # and below: handoff's own codes

METHODS = ["drain", "echo", "info", "methods", "metrics", "ping", "reload", "scale", "status",
           "stop", "upgrade", "workers"]


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


class Methods(ControlTest):
    STATUS = {"state": str, "pid": int, "version": str, "pass": str,
              "balance": (str, type(None)),
              "listeners": list, "age": float, "connections": int, "waiting": int,
              "queue": (dict, type(None)), "accepted": int, "requests": int, "errors": dict,
              "calls": int, "rescued": dict, "lost": int,
              "reloads": int, "last_reload_problem": (str, type(None)),
              "last_upgrade_problem": (str, type(None)), "workers": list}
    WORKER = {"worker": int, "pid": int, "state": str, "joined": bool, "connections": int,
              "connections_ever": int, "requests": int, "errors": dict, "calls": int,
              "restarts": int, "age": float,
              "last_exit": (str, type(None))}

    def assert_shape(self, value: dict, shape: dict):
        self.assertEqual(list(value), list(shape))
        for key, kind in shape.items():
            self.assertIsInstance(value[key], kind, key)
            if kind is int:
                self.assertNotIsInstance(value[key], bool, key)

    def test_status_and_workers_have_their_shape(self):
        chosen = handoff.PASS == "connection"
        server = self.launch(*(["-b", "least"] if chosen else []))
        status = self.ask("status")
        self.assert_shape(status, self.STATUS)
        for each in status["workers"]:
            self.assert_shape(each, self.WORKER)
        self.assertEqual((status["state"], status["pid"], status["pass"], status["balance"]),
                         ("ready", server.pid, handoff.PASS, "least" if chosen else None))
        self.assertEqual(status["listeners"], ["{}:{}".format(*server.address)])
        self.assertIsNone(status["last_reload_problem"])
        self.assertIsNone(status["last_upgrade_problem"])
        self.assertEqual([each["worker"] for each in status["workers"]], [1, 2])
        self.assertEqual({each["pid"] for each in status["workers"]}, set(server.worker_pids()))
        workers = self.ask("workers")
        for each in workers:
            self.assert_shape(each, self.WORKER)
        self.assertEqual([each["pid"] for each in workers],
                         [each["pid"] for each in status["workers"]])

    def test_the_built_in_methods_are_there_too(self):
        server = self.launch()
        self.assertEqual(sorted(self.ask("methods")), METHODS)
        self.assertEqual(self.ask("ping", [1]), [1])
        self.assertEqual(self.ask("echo", {"a": 1}), {"a": 1})
        self.assertEqual(self.ask("info")["pid"], server.pid)
        self.assertEqual(self.error_of("no-such-method")["code"], NO_METHOD)

    def test_params_that_are_wrong(self):
        self.launch()
        wrong = (None, 1, "1", [], [1], {}, {"worker": None, "workers": None},
                 {"worker": "1"}, {"workers": "1"}, {"worker": 1.5}, {"workers": 1.5},
                 {"worker": -1}, {"workers": -1}, {"worker": True}, {"workers": True},
                 {"worker": 10 ** 30}, {"workers": 10 ** 30}, {"worker": 1, "more": 1},
                 {"workers": 1, "more": 1}, {"worker": [1]}, {"workers": [1]})
        pids = {each["pid"] for each in self.ask("workers")}
        for method, name in (("drain", "worker"), ("scale", "workers")):
            for params in wrong:
                with self.subTest(method=method, params=params):
                    error = self.error_of(method, params)
                    self.assertEqual(error, {"code": INVALID_PARAMS,
                                             "message": f'params must be NUMBER or {{"{name}": NUMBER}}'})
        self.assertEqual({each["pid"] for each in self.ask("workers")}, pids)

    def test_scale(self):
        server = self.launch(workers=1)
        for number in (0, 4097, 1000000):
            error = self.error_of("scale", {"workers": number})
            self.assertEqual(error["code"], INVALID_PARAMS)
            self.assertEqual(error["message"], "the number of workers is 1 to 4096")
        self.assertEqual(self.ask("scale", {"workers": 4}), {"workers": 4})
        self.wait_until_settled(4)
        self.assertEqual([each["worker"] for each in self.ask("workers")], [1, 2, 3, 4])
        self.assertEqual(self.ask("scale", {"workers": 4}), {"workers": 4})
        first = self.worker(1)["pid"]
        self.assertEqual(self.ask("scale", {"workers": 1}), {"workers": 1})
        self.wait_until_settled(1)
        self.assertEqual(self.worker(1)["pid"], first)
        self.assertEqual(server.worker_pids(), [first])

    def test_drain_replaces_a_worker_and_no_client_notices(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            client.result("ping")
        old, other = (self.worker(number)["pid"] for number in (1, 2))
        self.assertEqual(self.ask("drain", {"worker": 1}), {"workers": 2})
        new = self.wait_for_worker(1, state="ready")["pid"]
        self.wait_until_settled(2)
        self.assertNotEqual(new, old)
        self.assertEqual(self.worker(2)["pid"], other)
        pids = {client.result("info")["pid"] for client in clients}
        self.assertLessEqual(pids, {new, other})
        for number in (0, 3, 1000000):
            error = self.error_of("drain", {"worker": number})
            self.assertLessEqual(error["code"], FAILED)
            self.assertEqual(error["message"], f"there is no worker {number}")

    def test_drain_of_a_worker_whose_successor_does_not_start(self):
        program = self.directory / "worker"
        program.symlink_to(WORKER)
        self.launch(workers=1, command=[str(program)])
        pid = self.worker(1)["pid"]
        program.unlink()
        error = self.error_of("drain", {"worker": 1})
        self.assertLessEqual(error["code"], FAILED)
        self.assertRegex(error["message"], "No such file")
        program.symlink_to("/bin/false")
        self.assertRegex(self.error_of("drain", {"worker": 1})["message"],
                         r"exit status 1, before it was ready")
        self.assertEqual(self.wait_for_worker(1, state="ready")["pid"], pid)

    def test_reload(self):
        program = self.directory / "worker"
        program.symlink_to(WORKER)
        server = self.launch(command=[str(program)])
        client = self.open(server)
        before = {each["pid"] for each in self.ask("workers")}
        self.assertEqual(self.ask("reload"), {"workers": 2})
        self.wait_until_settled(2)
        after = {each["pid"] for each in self.ask("workers")}
        self.assertFalse(before & after)
        self.assertIn(client.result("info")["pid"], after)
        program.unlink()
        error = self.error_of("reload")
        self.assertLessEqual(error["code"], FAILED)
        self.assertRegex(error["message"], "No such file")
        status = self.ask("status")
        self.assertEqual((status["reloads"], status["last_reload_problem"]),
                         (1, error["message"]))
        self.assertEqual({each["pid"] for each in status["workers"]}, after)
        program.symlink_to(WORKER)
        self.ask("reload")
        status = self.ask("status")
        self.assertEqual((status["reloads"], status["last_reload_problem"]), (2, None))

    def test_without_a_command_there_is_nothing_to_reload_or_scale(self):
        join = self.path("join")
        self.start(handoff.Server(*MASTER, "-l", "127.0.0.1:0", "-j", join, "-c", self.control,
                                  ready=False)).wait_for_line("ready")
        self.assertEqual(self.error_of("reload")["message"], "there is no command to start")
        self.assertEqual(self.error_of("scale", {"workers": 1})["message"],
                         "there is no command to start")
        self.assertEqual(self.error_of("drain", {"worker": 1})["message"], "there is no worker 1")
        self.assertEqual(self.ask("workers"), [])

    def test_the_state_tells_what_is_going_on(self):
        marker, gate = self.directory / "marker", self.path("gate")
        os.mkfifo(gate)
        server = self.launch(
            workers=1, ready=False,
            command=["sh", "-c", f'test -e "{marker}" || read -r line <"{gate}"; '
                     'exec "$0" -m "slow=cat $1"', WORKER, gate])

        def open_gate():
            with open(gate, "w", encoding="ascii") as opened:
                opened.write("1\n")

        handoff.wait_for(lambda: os.path.exists(self.control), "the control socket")
        handoff.wait_for(lambda: self.worker(1), "the worker")
        status = self.ask("status")
        self.assertEqual((status["state"], status["workers"][0]["state"]), ("starting", "starting"))
        open_gate()
        server.wait_for_line(": ready, ")
        self.assertEqual(self.ask("status")["state"], "ready")
        with self.connect() as client:
            client.send("reload")
            handoff.wait_for(lambda: self.ask("status")["state"] == "reloading", "the reload")
            self.assertEqual(sorted(each["state"] for each in self.ask("workers")),
                             ["ready", "starting"])
            open_gate()
            self.assertEqual(client.receive(), {"out": "reload", "result": {"workers": 1}})
        self.wait_until_settled(1)
        self.assertEqual(self.ask("status")["state"], "ready")
        status = self.ask("status")
        address = handoff.parse_address(status["listeners"][0])
        marker.touch()
        with handoff.Connection(address) as client:
            client.send("slow")
            handoff.wait_for(lambda: self.worker(1)["requests"] == 1, "the call to begin")
            self.assertEqual(self.ask("drain", {"worker": 1}), {"workers": 1})
            states = [each["state"] for each in self.ask("workers")]
            self.assertEqual(sorted(states), ["draining", "ready"])
            server.kill(signal.SIGTERM)
            handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")
            self.assertEqual(self.ask("status")["listeners"], [])
            for method, params in (("reload", None), ("upgrade", None), ("scale", {"workers": 3})):
                self.assertEqual(self.error_of(method, params)["message"], "stopping")
            open_gate()
            self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assertFalse(os.path.lexists(self.control))


class Truth(ControlTest):
    """The numbers are true."""

    def test_connections_now_and_ever_and_requests(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(6)]
        for number, client in enumerate(clients):
            for _ in range(number + 1):
                client.result("ping")
        status = self.ask("status")
        self.assertEqual((status["accepted"], status["connections"], status["waiting"]), (6, 6, 0))
        if handoff.PASS == "connection":  # in turn
            self.assertEqual([each["connections"] for each in status["workers"]], [3, 3])
            self.assertEqual(sorted(each["requests"] for each in status["workers"]), [9, 12])
        self.assertEqual(sum(each["connections"] for each in status["workers"]), held(6))
        self.assertEqual(sum(each["requests"] for each in status["workers"]), 21)
        pipelined = b"".join(handoff.frame(b'{"in": "ping"}') for _ in range(1000))
        clients[0].socket.sendall(pipelined)
        for _ in range(1000):
            clients[0].receive()
        self.assertEqual(sum(each["requests"] for each in self.ask("workers")), 1021)
        for client in clients[:4]:
            client.close()
        handoff.wait_for(lambda: self.ask("status")["connections"] == 2, "the ends to be seen")
        status = self.ask("status")
        self.assertEqual(status["accepted"], 6)
        self.assertEqual(sum(each["connections_ever"] for each in status["workers"]), held(6))
        self.assertEqual(sum(each["connections"] for each in status["workers"]), held(2))

    def test_requests_that_failed_count_and_those_of_the_control_socket_do_not(self):
        server = self.launch(workers=1)
        client = self.open(server)
        client.call("no-such-method")
        client.result("ping")
        for _ in range(5):
            self.ask("status")
        self.assertEqual(self.worker(1)["requests"], 2)
        self.assertEqual(self.worker(1)["errors"], {str(NO_METHOD): 1})
        self.assertEqual(self.ask("status")["errors"], {str(NO_METHOD): 1})

    def test_calls_under_way_are_told_without_asking_a_worker(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch(workers=1, command=[WORKER, "-m", f"slow=cat {gate}"])
        client = self.open(server)
        client.send("slow")
        handoff.wait_for(lambda: self.ask("status")["calls"] == 1, "the call to begin")
        handoff.wait_for(lambda: self.worker(1)["calls"] == 1, "the worker to have it")
        os.kill(self.worker(1)["pid"], signal.SIGSTOP)
        self.assertEqual(self.worker(1)["calls"], 1)
        os.kill(self.worker(1)["pid"], signal.SIGCONT)
        with open(gate, "w", encoding="ascii") as opened:
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual((self.ask("status")["calls"], self.worker(1)["calls"]), (0, 0))

    def test_totals_survive_a_reload_a_kill_and_a_scale_down(self):
        server = self.launch(workers=2)
        wanted = 0

        def ask_some():
            nonlocal wanted
            for _ in range(6):
                client = self.open(server)
                client.result("ping")
                client.call("no-such-method")
                client.close()
                wanted += 1
            self.assert_totals(wanted)
        ask_some()
        self.ask("reload")
        self.wait_until_settled(2)
        self.assert_totals(wanted)
        ask_some()
        os.kill(self.worker(2)["pid"], signal.SIGKILL)
        self.wait_for_worker(2, restarts=1, state="ready")
        self.assert_totals(wanted)
        ask_some()
        self.assertEqual(self.ask("scale", {"workers": 1}), {"workers": 1})
        self.wait_until_settled(1)
        self.assert_totals(wanted)
        ask_some()

    @handoff.only("connection", because="only their connections are kept")
    def test_what_became_of_the_connections_of_a_killed_worker(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch(workers=1, command=[WORKER, "-m", f"slow=cat {gate}"])
        idle = [self.open(server) for _ in range(2)]
        for client in idle:
            client.result("ping")
        caller = self.open(server)
        caller.send("slow")
        handoff.wait_for(lambda: self.worker(1)["calls"] == 1, "the call to begin")
        os.kill(self.worker(1)["pid"], signal.SIGKILL)
        self.assertEqual(caller.receive()["result"]["code"], WORKER_DIED)
        for client in (*idle, caller):
            self.assertEqual(client.result("ping", 1), 1)
        status = self.ask("status")
        self.assertEqual((status["rescued"], status["lost"]),
                         ({"moved": 2, "answered": 1, "closed": 0}, 0))
        self.assertEqual((status["requests"], status["errors"], status["calls"]),
                         (6, {str(WORKER_DIED): 1}, 0))

    @handoff.only("queue", because="the master answers there")
    def test_errors_that_the_master_itself_answers_are_counted_on_all_threads(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch("--io-threads", "3", workers=1,
                             command=[WORKER, "-m", f"slow=cat {gate}"])
        callers = [self.open(server) for _ in range(4)]
        for caller in callers:
            caller.send("slow")
        handoff.wait_for(lambda: self.worker(1)["calls"] == 4, "the calls to begin")
        self.assertEqual(self.ask("status")["calls"], 4)
        os.kill(self.worker(1)["pid"], signal.SIGKILL)
        for caller in callers:
            self.assertEqual(caller.receive()["result"]["code"], WORKER_DIED)
        status = self.ask("status")
        self.assertEqual((status["requests"], status["errors"], status["calls"]),
                         (4, {str(WORKER_DIED): 4}, 0))

    def assert_totals(self, wanted: int):
        status = self.ask("status")
        self.assertEqual((status["requests"], status["errors"], status["calls"]),
                         (2 * wanted, {str(NO_METHOD): wanted}, 0))

    def test_a_killed_worker(self):
        server = self.launch()
        before = self.ask("workers")
        self.assertEqual([(each["restarts"], each["last_exit"]) for each in before],
                         [(0, None), (0, None)])
        os.kill(before[0]["pid"], signal.SIGKILL)
        now = self.wait_for_worker(1, restarts=1, state="ready")
        self.assertNotEqual(now["pid"], before[0]["pid"])
        self.assertEqual(now["last_exit"], "signal 9 (Killed)")
        self.assertLess(now["age"], self.worker(2)["age"])
        self.assertEqual((now["connections_ever"], now["requests"]), (0, 0))
        self.assertEqual(self.worker(2)["restarts"], 0)
        self.assertIn(now["pid"], server.worker_pids())

    def test_a_worker_that_crashes_again_and_again_pauses(self):
        marker = self.directory / "broken"
        server = self.launch("--backoff", "60s:60s", command=[
            "sh", "-c", f'test -e "{marker}" && exit 3; exec "$0"', WORKER])
        marker.touch()
        pid = self.worker(2)["pid"]
        os.kill(pid, signal.SIGKILL)
        server.wait_for_line("worker 2: started again in")
        now = self.wait_for_worker(2, state="pausing")
        self.assertEqual((now["pid"], now["last_exit"], now["restarts"], now["connections"]),
                         (0, "exit status 3", 1, 0))
        self.assertEqual(self.worker(1)["state"], "ready")

    def test_age_grows(self):
        self.launch(workers=1)
        first = self.ask("status")
        asked = time.monotonic()
        handoff.wait_for(lambda: self.ask("status")["age"] > first["age"] + 0.05, "time to pass")
        second = self.ask("status")
        passed = time.monotonic() - asked
        for one, other in ((first, second), (first["workers"][0], second["workers"][0])):
            self.assertLessEqual(other["age"] - one["age"], passed + 0.5)
            self.assertGreater(other["age"], one["age"])
        self.assertLess(first["workers"][0]["age"], first["age"])

    def test_workers_that_join(self):
        join = self.path("join")
        server = self.start(handoff.Server(
            *MASTER, "-l", "127.0.0.1:0", "-j", join, "-c", self.control, "-n", "1", "--", WORKER,
            ready=False))
        line = server.wait_for_line(": ready, ")
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        joined = self.start(handoff.Server(WORKER, "-j", join, ready=False))
        now = self.wait_for_worker(2, state="ready")
        self.assertEqual((now["pid"], now["joined"], now["restarts"], now["last_exit"]),
                         (joined.pid, True, 0, None))
        self.assertFalse(self.worker(1)["joined"])
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            client.result("ping")
        workers = self.ask("workers")
        for key in ("connections", "requests"):
            if handoff.PASS == "connection":  # in turn
                self.assertEqual([each[key] for each in workers], [2, 2])
            wanted = held(4) if key == "connections" else 4
            self.assertEqual(sum(each[key] for each in workers), wanted)
        self.assertEqual(self.ask("reload"), {"workers": 2})
        self.assertEqual(self.worker(2)["pid"], joined.pid, "it stays")
        self.assertEqual(self.ask("drain", {"worker": 2}), {"workers": 1})
        self.assertEqual(joined.process.wait(handoff.PATIENCE), 0)
        self.wait_until_settled(1)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)
        self.assertEqual(self.ask("status")["connections"], 4)

    def test_a_stopped_worker_does_not_hold_the_answer_up(self):
        server = self.launch()
        stuck = server.worker_pids()[0]
        os.kill(stuck, signal.SIGSTOP)
        clients = [self.open(server) for _ in range(10)]
        for client in clients:
            client.send("ping", 1)
        handoff.wait_for(lambda: self.ask("status")["accepted"] == 10, "all to be accepted")
        status = self.ask("status")
        self.assertEqual(status["connections"], 10)
        if handoff.PASS == "connection":  # in turn
            self.assertEqual([each["connections"] for each in status["workers"]], [5, 5])
        os.kill(stuck, signal.SIGCONT)
        for client in clients:
            client.receive()
        self.assertEqual(sum(each["requests"] for each in self.ask("workers")), 10)

    def test_it_stays_true_through_all_of_it(self):
        server = self.launch(workers=2)
        client = self.open(server)
        client.result("ping")
        for step in range(handoff.count(50, 5)):
            self.ask("reload")
            self.ask("scale", {"workers": 3})
            self.wait_until_settled(3)
            os.kill(self.worker(3)["pid"], signal.SIGKILL)
            self.ask("drain", {"worker": 1})
            self.ask("scale", {"workers": 2})
            self.wait_until_settled(2)
            status = self.ask("status")
            self.assertEqual({each["pid"] for each in status["workers"]},
                             set(server.worker_pids()))
            self.assertEqual((status["connections"], status["accepted"], status["reloads"]),
                             (1, 1, step + 1))
            self.assertEqual(client.result("ping", step), step)


class Metrics(ControlTest):
    NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
    LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
    SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?\}})? (\S+)")

    def parse(self, text: str) -> dict:
        """Prometheus' text format 0.0.4: the values by series. Fails on what is not strictly so."""
        self.assertTrue(text.endswith("\n"))
        values, types, helped = {}, {}, set()
        current = None
        finished = set()
        for line in text[:-1].split("\n"):
            if match := re.fullmatch(rf"# HELP ({self.NAME}) (\S.*)", line):
                name = match.group(1)
                self.assertNotIn(name, helped)
                helped.add(name)
                if current is not None:
                    finished.add(current)
                current = name
            elif match := re.fullmatch(rf"# TYPE ({self.NAME}) (counter|gauge|histogram)", line):
                self.assertEqual(match.group(1), current, "TYPE belongs to HELP")
                self.assertNotIn(current, types)
                types[current] = match.group(2)
                self.assertEqual(current.endswith("_total"), match.group(2) == "counter")
            else:
                match = self.SAMPLE.fullmatch(line)
                self.assertIsNotNone(match, f"no sample: {line!r}")
                name, labels, value = match.groups()
                self.assertIn(current, types, "TYPE stands before the samples")
                parts = ["_bucket", "_sum", "_count"] if types[current] == "histogram" else [""]
                self.assertIn(name, [current + part for part in parts],
                              "a metric's samples stand together")
                self.assertNotIn(name, finished)
                series = (name, labels or "")
                self.assertNotIn(series, values, "each series once")
                number = float(value)
                self.assertTrue(math.isfinite(number) and number >= 0, line)
                values[series] = number
        self.assertEqual(helped, set(types))
        return values

    def metrics(self) -> dict:
        return self.parse(self.ask("metrics"))

    def test_the_parser_is_strict(self):
        head = "# HELP a_total X.\n# TYPE a_total counter\n"
        self.assertEqual(self.parse(head + 'a_total{b="c"} 1\n'), {("a_total", 'b="c"'): 1.0})
        for bad in (head + "a_total 1", head + "a_total 1\na_total 1\n", "a_total 1\n",
                    head + "a_total -1\n", head + "a_total nan\n", head + 'a_total{b="c"d"} 1\n',
                    head + "\na_total 1\n", head + head, "# TYPE a gauge\na 1\n",
                    head + "a_total  1\n"):
            with self.subTest(bad), self.assertRaises((AssertionError, ValueError)):
                self.parse(bad)

    def test_they_say_what_the_status_says(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(3)]
        for client in clients:
            client.result("ping")
        self.ask("reload")
        self.wait_until_settled(2)
        os.kill(self.worker(2)["pid"], signal.SIGKILL)
        self.wait_for_worker(2, restarts=1, state="ready")
        status, metrics = self.ask("status"), self.metrics()
        self.assertEqual(metrics["handoff_accepted_total", ""], 3)
        self.assertEqual(metrics["handoff_waiting", ""], 0)
        self.assertEqual(metrics["handoff_reloads_total", ""], 1)
        self.assertGreaterEqual(metrics["handoff_age_seconds", ""], status["age"])
        for each in status["workers"]:
            label = f'worker="{each["worker"]}"'
            for name, key in (("connections", "connections"), ("restarts_total", "restarts")):
                self.assertEqual(metrics[f"handoff_worker_{name}", label], each[key], name)
            self.assertEqual(metrics["handoff_worker_ready", label], 1)
        for key, value in (status["queue"] or {}).items():
            total = "" if key in ("waiting", "running") else "_total"
            self.assertEqual(metrics[f"handoff_queue_{key}{total}", ""], value, key)
        self.assertEqual(sum(metrics["handoff_worker_requests_total", f'worker="{number}"']
                             for number in (1, 2)), 3, "those of workers that have ended too")
        self.assertEqual(metrics["handoff_requests_total", ""], 3)
        self.assertEqual(metrics["handoff_calls", ""], 0)
        for how in ("moved", "answered"):
            self.assertEqual(metrics["handoff_connections_rescued_total", f'how="{how}"'],
                             status["rescued"][how], how)
        self.assertEqual(metrics["handoff_connections_lost_total", ""], status["lost"])
        self.assertEqual(len(metrics), self.of_the_master() + 2 * 5)

    ERRORS, DURATIONS = 12, 32 + 2

    @classmethod
    def of_the_master(cls) -> int:
        return 9 + cls.ERRORS + cls.DURATIONS + (5 if handoff.PASS == "queue" else 0)

    def test_a_histogram_has_all_calls_and_errors_have_their_code(self):
        server = self.launch(command=[WORKER, "-m", "slow=sleep 0.02; echo 1", "-m", "bad=exit 3"])
        for _ in range(3):
            client = self.open(server)
            client.result("slow")
            client.call("bad")
        metrics = self.metrics()
        name = "handoff_call_duration_seconds"
        self.assertEqual(metrics[f"{name}_count", ""], 6)
        self.assertEqual(metrics[f"{name}_bucket", 'le="+Inf"'], 6)
        self.assertLessEqual(metrics[f"{name}_bucket", 'le="0.016384"'], 3)
        buckets = [value for (series, _), value in metrics.items() if series == f"{name}_bucket"]
        self.assertEqual(len(buckets), 32)
        self.assertEqual(buckets, sorted(buckets), "each has those before it too")
        self.assertGreaterEqual(metrics[f"{name}_sum", ""], 3 * 0.02)
        self.assertEqual(metrics["handoff_errors_total", 'code="-32001"'], 3)
        self.assertEqual(sum(value for (series, _), value in metrics.items()
                             if series == "handoff_errors_total"), 3)

    def test_counters_of_a_worker_do_not_fall_when_it_is_replaced(self):
        server = self.launch(workers=1)
        self.open(server).result("ping")
        before = self.metrics()
        self.ask("reload")
        self.wait_until_settled(1)
        os.kill(self.worker(1)["pid"], signal.SIGKILL)
        self.wait_for_worker(1, restarts=1, state="ready")
        after = self.metrics()
        for series, value in before.items():
            if series[0].endswith("_total"):
                self.assertGreaterEqual(after[series], value, series)
        self.assertEqual(after["handoff_worker_requests_total", 'worker="1"'], 1)

    def test_no_series_is_there_twice_while_a_worker_drains(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch(workers=1, command=[WORKER, "-m", f"slow=cat {gate}"])
        client = self.open(server)
        client.send("slow")
        handoff.wait_for(lambda: self.worker(1)["requests"] == 1, "the call to begin")
        before = self.metrics()
        with open(gate, "w", encoding="ascii") as opened:
            self.ask("reload")
            self.assertEqual(len(self.ask("workers")), 2)
            during = self.metrics()
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        label = 'worker="1"'
        self.assertEqual(set(before), set(during))
        self.assertEqual(during["handoff_worker_ready", label], 1)
        self.assertEqual(during["handoff_worker_connections", label], held(1))
        self.assertEqual(during["handoff_worker_requests_total", label], 1)

    def test_rpc_call_prints_them(self):
        self.launch()
        done = subprocess.run([handoff.tool("rpc-call"), "--raw", self.control, "metrics"],
                              capture_output=True, text=True, timeout=handoff.PATIENCE, check=True)
        self.parse(done.stdout.rstrip("\n") + "\n")

    def test_without_workers_they_are_valid_too(self):
        self.start(handoff.Server(*MASTER, "-l", "127.0.0.1:0", "-j", self.path("join"),
                                  "-c", self.control, ready=False)).wait_for_line("ready")
        self.assertEqual(len(self.metrics()), self.of_the_master())


class Socket(ControlTest):
    def test_json_rpc_and_lines(self):
        server = self.launch()
        client = self.connect()
        file = client.socket.makefile("rb")
        client.socket.sendall(b'{"jsonrpc": "2.0", "id": 7, "method": "info"}\n')
        reply = json.loads(file.readline())
        self.assertEqual((reply["jsonrpc"], reply["id"], reply["result"]["pid"]),
                         ("2.0", 7, server.pid))
        client.socket.sendall(
            b'[{"jsonrpc": "2.0", "id": 1, "method": "scale", "params": {"workers": 0}},'
            b' {"jsonrpc": "2.0", "id": 2, "method": "drain", "params": [1]},'
            b' {"jsonrpc": "2.0", "method": "ping"}]\n')
        replies = {each["id"]: each["error"]["code"] for each in json.loads(file.readline())}
        self.assertEqual(replies, {1: INVALID_PARAMS, 2: INVALID_PARAMS})
        client.socket.sendall(b'{"in": "workers"}\n')
        self.assertEqual(len(json.loads(file.readline())["result"]), 2)
        file.close()
        framed = self.connect()
        framed.send_body(b'{"jsonrpc": "2.0", "id": "x", "method": "workers"}')
        self.assertEqual(len(framed.receive()["result"]), 2)

    def test_its_mode_is_0600_whatever_the_umask(self):
        for umask in (0, 0o777):
            with self.subTest(oct(umask)):
                with self.launch(umask=umask, ready=umask == 0) as server:
                    handoff.wait_for(lambda: os.path.exists(self.control), "the socket")
                    mode = stat.S_IMODE(os.lstat(self.control).st_mode)
                    self.assertEqual(oct(mode), oct(0o600))
                    server.stop()

    def as_nobody(self, method: str) -> bool:
        """Whether the call of another user is answered."""
        done = subprocess.run(
            [sys.executable, "-IS", "-c",
             "import os, socket, sys; os.setgroups([]); os.setgid(%d); os.setuid(%d);"
             "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);" % (NOBODY, NOBODY) +
             "s.sendall(b'{\"in\": \"%s\"}\\n' % sys.argv[2].encode()); sys.exit(not s.recv(9))",
             self.control, method],
            stderr=subprocess.PIPE, check=False, timeout=handoff.PATIENCE)
        return done.returncode == 0

    def needs_root(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        os.chmod(self.directory, 0o755)

    def test_another_user_is_refused(self):
        self.needs_root()
        server = self.launch()
        self.assertFalse(self.as_nobody("status"))
        os.chmod(self.control, 0o666)  # the mode alone does not decide
        self.assertFalse(self.as_nobody("status"))
        server.wait_for_line(f"cannot accept on {self.control}: user {NOBODY} is refused "
                             r"\(--allow-uid allows it\)$")
        self.assertEqual(self.ask("ping", 1), 1)

    def test_a_user_who_is_named_is_admitted(self):
        self.needs_root()
        self.launch("--allow-uid", str(NOBODY))
        self.assertTrue(self.as_nobody("status"))

    def test_a_user_who_is_not_named_is_refused_beside_one_who_is(self):
        self.needs_root()
        server = self.launch("--allow-uid", str(NOBODY - 1))
        self.assertFalse(self.as_nobody("status"))
        server.wait_for_line(f"user {NOBODY} is refused")

    def test_silent_clients_give_their_places_to_others(self):
        server = self.launch(workers=1)
        silent = [self.connect() for _ in range(80)]
        for number in range(8):
            self.assertEqual(self.connect().result("ping", number), number)
        self.assertEqual(self.open(server).result("ping", "clients are served"),
                         "clients are served")
        # The first to come is the first to go.
        self.assertIsNone(silent[0].receive())

    def test_garbage_harms_nobody(self):
        server = self.launch(workers=1)
        client = self.open(server)
        good = self.connect()
        self.assertEqual([good.result("ping", 1), client.result("ping", 1)], [1, 1])
        before = handoff.descriptor_count(server.pid)
        pieces = (b"", b"\0", b"\xff" * 4, b"\xff" * 100_000, b"GET / HTTP/1.1\r\n\r\n",
                  handoff.frame(b"\xff\xfe"), handoff.frame(b"[" * 100_000), handoff.frame(b"{}"),
                  handoff.frame(b'{"in": 1}'), b"\0\0\0\x7f" + b"x" * 1000, os.urandom(10_000),
                  handoff.frame(b'{"in": "scale", "params": ' + b"[" * 65 + b"]" * 65 + b"}"))
        for piece in pieces:
            with self.subTest(piece[:20]), handoff.Connection(self.control) as bad:
                with contextlib.suppress(ConnectionError):
                    bad.socket.sendall(piece)
                    bad.socket.shutdown(socket.SHUT_WR)
                    while bad.socket.recv(65536):
                        pass
            self.assertEqual(good.result("ping", 1), 1)
            self.assertEqual(client.result("ping", 1), 1)
        with handoff.Connection(self.control) as bad:
            socket.send_fds(bad.socket, [handoff.frame(b'{"in": "ping"}')], [0] * 10)
            bad.receive()
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= before,
                         "the connections to be closed, with what they sent")
        self.assertEqual(self.worker(1)["restarts"], 0)

    def test_a_client_that_leaves_in_the_middle_of_a_reload(self):
        server = self.launch()
        for method in ("reload", "status", "metrics"):
            with handoff.Connection(self.control) as client:
                client.send(method)
        server.wait_for_line("reloaded, 2 workers")
        self.wait_until_settled(2)

    def test_reloads_from_many_sides_do_not_pile_up(self):
        server = self.launch()
        clients = [self.connect() for _ in range(20)]
        for client in clients:
            client.send("reload")
        for client in clients:
            self.assertEqual(client.receive(), {"out": "reload", "result": {"workers": 2}})
        self.wait_until_settled(2)
        self.assertLessEqual(sum("reloaded" in line for line in server.lines), 4)


class Notifications:
    """A service manager's socket: collects the messages, with the sender's pid."""

    def __init__(self, address: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(0.05)
        self.messages: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self):
        while not self._stop.is_set():
            try:
                data, ancillary, _, _ = self.socket.recvmsg(4096, 64)
            except TimeoutError:
                continue
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            self.messages.append((pid, data.decode()))

    def wait_for(self, pattern: str, after: int = 0) -> int:
        """The number of the first message from `after` on that matches."""
        def found():
            for number, (_, text) in enumerate(self.messages[after:], after):
                if re.search(pattern, text, re.MULTILINE):
                    return [number]
            return None
        return handoff.wait_for(found, f"{pattern} among {self.messages[after:]}")[0]

    def texts(self, after: int = 0) -> list[str]:
        return [text for _, text in self.messages[after:]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.socket.close()


class Systemd(ControlTest):
    def setUp(self):
        super().setUp()
        self.environment = {name: value for name, value in os.environ.items()
                            if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}

    def listen(self, address: str) -> Notifications:
        self.environment["NOTIFY_SOCKET"] = address
        return self.stack.enter_context(Notifications(address))

    def launch(self, *options, **more):
        return super().launch(*options, env=self.environment, **more)

    def test_the_life_of_a_service(self):
        for address in (self.path("notify"), f"@handoff-notify-{os.getpid()}"):
            with self.subTest(address):
                manager = self.listen(address)
                server = self.launch()
                ready = manager.wait_for(r"^READY=1$")
                manager.wait_for(r"^STATUS=.*2 workers")
                before = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
                server.kill(signal.SIGHUP)
                reloading = manager.wait_for(r"^RELOADING=1$", ready)
                text = manager.texts()[reloading]
                when = int(re.search(r"^MONOTONIC_USEC=(\d+)$", text, re.MULTILINE).group(1))
                self.assertTrue(before <= when <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
                ready = manager.wait_for(r"^READY=1$", reloading)
                self.ask("scale", {"workers": 3})
                manager.wait_for(r"^STATUS=.*3 workers", ready)
                seen = len(manager.messages)
                self.assertEqual(server.stop(), 0)
                manager.wait_for(r"^STOPPING=1$", seen)
                self.assertEqual({pid for pid, _ in manager.messages}, {server.pid})
                self.assertEqual(sum("READY=1" in text for text in manager.texts()), 2)
                self.assertFalse(any("WATCHDOG" in text for text in manager.texts()))

    def test_it_is_not_ready_before_its_workers_are(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        manager = self.listen(self.path("notify"))
        self.launch(workers=1, ready=False,
                    command=["sh", "-c", f'read -r line <"{gate}"; exec "$0"', WORKER])
        handoff.wait_for(lambda: os.path.exists(self.control) and self.worker(1), "the master")
        self.assertEqual([text for text in manager.texts() if "READY=1" in text], [])
        with open(gate, "w", encoding="ascii") as opened:
            opened.write("go\n")
        manager.wait_for(r"^READY=1$")

    def test_a_reload_that_fails_ends_too(self):
        manager = self.listen(self.path("notify"))
        program = self.directory / "worker"
        program.symlink_to(WORKER)
        server = self.launch(command=[str(program)])
        program.unlink()
        server.kill(signal.SIGHUP)
        reloading = manager.wait_for(r"^RELOADING=1$")
        manager.wait_for(r"^READY=1$", reloading)
        server.wait_for_line("the old workers serve on")

    def test_a_stop_during_a_reload_is_the_last_word(self):
        gate, marker = self.path("gate"), self.directory / "marker"
        os.mkfifo(gate)
        manager = self.listen(self.path("notify"))
        server = self.launch(workers=1, command=[
            "sh", "-c", f'test -e "{marker}" && read -r line <"{gate}"; exec "$0"', WORKER])
        marker.touch()
        server.kill(signal.SIGHUP)
        manager.wait_for(r"^RELOADING=1$")
        seen = len(manager.messages)
        self.assertEqual(server.stop(), 0)
        manager.wait_for(r"^STOPPING=1$", seen)
        self.assertNotIn("READY=1", manager.texts(seen))

    def test_the_watchdog_is_fed(self):
        manager = self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "100000"
        self.launch(workers=1)
        for _ in range(2):
            seen = 0
            for _ in range(5):
                seen = manager.wait_for(r"^WATCHDOG=1$", seen) + 1
        asked = time.monotonic()
        seen = len(manager.messages)
        handoff.wait_for(lambda: manager.texts(seen).count("WATCHDOG=1") >= 10, "ten times")
        self.assertGreater(time.monotonic() - asked, 0.3, "not ever so often")

    def test_the_watchdog_of_another_process_is_not(self):
        manager = self.listen(self.path("notify"))
        self.environment.update(WATCHDOG_USEC="2000", WATCHDOG_PID="1")
        self.launch(workers=1)
        self.ask("scale", {"workers": 2})
        manager.wait_for(r"^STATUS=.*2 workers")
        self.assertFalse(any("WATCHDOG" in text for text in manager.texts()))

    def test_the_watchdog_that_names_this_process_is_fed(self):
        manager = self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "100000"
        script = ("import os, sys; os.environ['WATCHDOG_PID'] = str(os.getpid());"
                  "os.execv(sys.argv[1], sys.argv[1:])")
        self.start(handoff.Server(
            sys.executable, "-c", script, *MASTER, "-l", "127.0.0.1:0", "-n", "1",
            "--", WORKER, env=self.environment))
        first = manager.wait_for(r"^WATCHDOG=1$")
        manager.wait_for(r"^WATCHDOG=1$", first + 1)

    def test_a_watchdog_interval_that_is_none(self):
        manager = self.listen(self.path("notify"))
        for value in ("0", "-1", "abc", "", "99999999999999999999999"):
            with self.subTest(value):
                self.environment["WATCHDOG_USEC"] = value
                with self.launch(workers=1) as server:
                    self.assertEqual(server.stop(), 0)
        self.assertLessEqual(sum("WATCHDOG=1" in text for text in manager.texts()), 1)

    def test_the_successor_becomes_the_service(self):
        manager = self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "100000"
        script = ("import os, sys; os.environ['WATCHDOG_PID'] = str(os.getpid());"
                  "os.execv(sys.argv[1], sys.argv[1:])")
        server = self.start(handoff.Server(
            sys.executable, "-c", script, *MASTER, "-l", "127.0.0.1:0", "-n", "1",
            "-c", self.control, "--", WORKER, env=self.environment))
        seen = len(manager.messages)
        self.assertIsNone(self.ask("upgrade"))
        number = manager.wait_for(r"^MAINPID=\d+$", seen)
        sender, text = manager.messages[number]
        self.assertEqual(sender, server.pid, "only the old one may say so")
        new = int(text.split("=")[1])
        try:
            self.assertEqual(self.ask("info")["pid"], new)
            ready = manager.wait_for(r"^READY=1$", seen)
            self.assertLess(ready, number, "it says so once the new one is ready")
            self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
            self.assertNotIn("STOPPING=1", manager.texts(), "the service goes on")
            seen = len(manager.messages)
            for _ in range(3):
                seen = manager.wait_for(r"^WATCHDOG=1$", seen) + 1
                self.assertEqual(manager.messages[seen - 1][0], new)
            os.kill(new, signal.SIGHUP)
            reloading = manager.wait_for(r"^RELOADING=1$", seen)
            manager.wait_for(r"^READY=1$", reloading)
        finally:
            os.kill(new, signal.SIGTERM)
        manager.wait_for(r"^STOPPING=1$", seen)
        handoff.wait_for(lambda: not handoff.alive(new), "the new one to end")

    def test_workers_hear_nothing_of_the_manager(self):
        self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "60000000"
        server = self.launch(workers=1)
        data = pathlib.Path(f"/proc/{server.worker_pids()[0]}/environ").read_bytes()
        names = {entry.split(b"=", 1)[0].decode() for entry in data.split(b"\0")}
        self.assertIn("HANDOFF_CHANNEL_FD", names)
        of_listeners = [] if handoff.PASS == "listener" else ["LISTEN_FDS", "LISTEN_PID"]
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "HANDOFF_SUCCESSION",
                     *of_listeners):
            self.assertNotIn(name, names)

    def test_a_manager_that_does_not_listen_is_no_reason_to_stop(self):
        for address in (self.path("nobody"), "@nobody-" + "x" * 30, "relative", "@", "x" * 500):
            with self.subTest(address):
                self.environment["NOTIFY_SOCKET"] = address
                with self.launch(workers=1) as server:
                    with server.connect() as client:
                        self.assertEqual(client.result("ping", 1), 1)
                    self.assertEqual(server.stop(), 0)

    def test_a_manager_that_never_reads_does_not_block(self):
        full = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        full.bind(self.path("full"))
        self.environment.update(NOTIFY_SOCKET=self.path("full"), WATCHDOG_USEC="2000")
        server = self.launch(workers=1)
        for number in range(1, handoff.count(2000, 300)):
            self.ask("scale", {"workers": 1 + number % 2})
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)

    def test_listeners_of_systemd(self):
        listener = self.path("listen")
        if shutil.which("systemd-socket-activate"):
            # Starts the program when the first client connects.
            words = ["systemd-socket-activate", "-l", listener]
        else:
            words = [sys.executable,
                     str(handoff.ROOT / "tests" / "support" / "socket_activate.py"), listener, "--"]
        server = self.start(handoff.Server(*words, *MASTER, "-n", "1", "--", WORKER,
                                           ready=False, env=self.environment))
        handoff.wait_for(lambda: os.path.exists(listener), "the socket")

        def connected():
            with contextlib.suppress(ConnectionError):
                return handoff.Connection(listener)
            return None
        client = self.stack.enter_context(handoff.wait_for(connected, "the socket to listen"))
        self.assertEqual(client.result("ping", 1), 1)
        line = server.wait_for_line(": ready, 1 worker, on ")
        self.assertTrue(line.endswith(f" on {listener}"), line)
        self.assertEqual(server.stop(), 0)
        self.assertTrue(os.path.exists(listener), "it is the manager's")


if __name__ == "__main__":
    handoff.run_tests()
