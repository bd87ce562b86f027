# SPDX-License-Identifier: MIT
"""The master's own methods on its control socket, and who may connect to it."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from control_case import ControlTest, MASTER, NO_METHOD, WORKER  # noqa: E402

NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped
INVALID_PARAMS = -32602
FAILED = -32000  # and below: handoff's own codes

METHODS = ["drain", "echo", "info", "methods", "metrics", "ping", "reload", "scale", "status",
           "stop", "upgrade", "workers"]


class Methods(ControlTest):
    STATUS = {"state": str, "pid": int, "version": str, "pass": str,
              "balance": (str, type(None)),
              "listeners": list, "age": float, "connections": int, "waiting": int,
              "queue": (dict, type(None)), "accepted": int, "requests": int, "errors": dict,
              "calls": int, "durations": list, "rescued": dict, "lost": int,
              "refused_headers": int,
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
        wrong = (None, -1, 1.5, "1", [], [1], {}, {"worker": None, "workers": None},
                 {"worker": "1"}, {"workers": "1"}, {"worker": 1.5}, {"workers": 1.5},
                 {"worker": -1}, {"workers": -1}, {"worker": True}, {"workers": True},
                 {"worker": 10 ** 30}, {"workers": 10 ** 30}, {"worker": 1, "more": 1},
                 {"workers": 1, "more": 1}, {"worker": [1]}, {"workers": [1]})
        pids = {each["pid"] for each in self.ask("workers")}
        for method, name in (("drain", "worker"), ("scale", "workers")):
            for params in wrong:
                with self.subTest(method=method, params=params):
                    error = self.error_of(method, params)
                    message = f'params must be NUMBER or {{"{name}": NUMBER}}'
                    self.assertEqual(error, {"code": INVALID_PARAMS, "message": message})
        self.assertEqual({each["pid"] for each in self.ask("workers")}, pids)

    def test_the_control_socket_scales_the_workers(self):
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
        self.assertEqual(self.ask("drain", 1), {"workers": 2})
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

    def test_the_control_socket_reloads_the_workers(self):
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
            self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assertFalse(os.path.lexists(self.control))


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


if __name__ == "__main__":
    handoff.run_tests()
