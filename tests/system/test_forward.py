# SPDX-License-Identifier: MIT
"""Methods that another server answers (rpc-worker -f): replies and errors as they are, servers that
know no ids, and servers that are down, die, hang, or talk nonsense."""

import collections
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import queue
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from json_documents import SPACE, VALID  # noqa: E402

SUPPORT = handoff.ROOT / "tests" / "support"
WORKER = handoff.tool("rpc-worker")

INVALID_REQUEST = -32600
NO_METHOD = -32601
INTERNAL = -32603
FAILED = -32001
TIMED_OUT = -32002
BUSY = -32003
DIED = -32004
UNREACHABLE = -32006

# How many connections a forwarder makes to one server, and calls on each before there is another.
MAX_LINKS = 8
CALLS_BEFORE_NEXT = 4

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0


class Backend:
    """A server in this process. Each request is kept until the test takes it and answers it."""

    def __init__(self, path: str, listens: bool = True):
        self.requests: queue.Queue = queue.Queue()
        self.connections: list[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        if listens:
            self.listen()

    def listen(self):
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with contextlib.suppress(OSError):  # closed by the test
            while header := connection.recv(4, socket.MSG_WAITALL):
                body = connection.recv(struct.unpack("<I", header)[0], socket.MSG_WAITALL)
                self.requests.put(Request(connection, json.loads(body)))

    def take(self) -> "Request":
        return self.requests.get(timeout=handoff.PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in [self.listener, *self.connections]:
            # Threads that wait in it are woken by this, and not by close().
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Request:
    def __init__(self, connection: socket.socket, body: dict):
        self.connection = connection
        self.method = body["in"]
        self.params = body["params"]
        self.id = body.get("id")

    def send(self, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.sendall(handoff.frame(text))

    def reply(self, result, **more):
        self.send({"out": self.method, "result": result, "id": self.id, **more})

    def reply_without_id(self, result):
        self.send({"out": self.method, "result": result})


class ForwardTest(handoff.TestCase):
    def path(self, name: str = "backend") -> str:
        return str(self.directory / name)

    def worker(self, *options: str, name: str = "backend") -> handoff.Server:
        return self.start(handoff.worker("-l", self.path(name), *options))

    def forwarder(self, *options: str) -> handoff.Server:
        return self.worker(*options, name="forwarder")

    def backend(self, name: str = "backend", **options) -> Backend:
        return self.stack.enter_context(Backend(self.path(name), **options))

    def article_server(self, *options: str) -> subprocess.Popen:
        server = subprocess.Popen(
            [sys.executable, "-B", SUPPORT / "article_server.py", "--unix", self.path(), *options],
            stdout=subprocess.PIPE)
        self.stack.callback(server.stdout.close)
        self.stack.callback(server.wait)
        self.stack.callback(server.kill)
        server.stdout.readline()
        return server

    def scripted_server(self, *actions: str) -> handoff.Server:
        words = [sys.executable, "-B", str(SUPPORT / "scripted_server.py"), self.path(), *actions]
        server = self.start(handoff.Server(*words, ready=False))
        server.wait_for_line("^ready, on ")
        return server

    def gate(self, name: str = "gate") -> pathlib.Path:
        """A command that reads it waits until the test writes to it."""
        path = self.directory / name
        os.mkfifo(path)
        return path

    def assert_error(self, reply, code: int, message: str = ""):
        self.assertIsNotNone(reply, "the connection of the caller has ended")
        self.assertEqual(reply["out"], "error", reply)
        self.assertEqual(reply["result"]["code"], code, reply)
        self.assertRegex(reply["result"]["message"], message or ".")

    def assert_silent(self, client: handoff.Connection, seconds: float = 0):
        self.assertEqual(select.select([client.socket], [], [], seconds)[0], [])

    def stop(self, pid: int):
        """SIGSTOP, and waits until none of its threads runs any more."""
        os.kill(pid, signal.SIGSTOP)

        def is_stopped() -> bool:
            return all("\nState:\tT" in (task / "status").read_text()
                       for task in pathlib.Path(f"/proc/{pid}/task").iterdir())

        handoff.wait_for(is_stopped, "the process to stop")

    def exchange(self, client: handoff.Connection, backend: Backend, params):
        """A call of `x`, from the client to the backend and back."""
        client.send("x", params)
        handoff.wait_for(lambda: select.select([client.socket], [], [], 0)[0] or
                         not backend.requests.empty(), "the call")
        if backend.requests.empty():
            self.fail(f"it was not forwarded: {client.receive()}")
        request = backend.take()
        request.reply(params)
        self.assertEqual((request.params, client.receive()),
                         (params, {"out": "x", "result": params}))

    def call_until_it_succeeds(self, client: handoff.Connection, method: str) -> float:
        """How many seconds that took."""
        started = time.monotonic()
        handoff.wait_for(lambda: client.call(method)["out"] == method, f"{method} to succeed")
        return time.monotonic() - started


class Replies(ForwardTest):
    def test_a_result_comes_back_byte_for_byte(self):
        self.worker()
        client = self.open(self.forwarder("-f", f"echo={self.path()}"))
        for document in VALID:
            with self.subTest(document=document[:100], size=len(document)):
                client.send_body(b'{"in":"echo","params":%s}' % document)
                body = client.read(struct.unpack("<I", client.read(4))[0])
                expected = b'{"out":"echo","result":%s}' % document.strip(SPACE)
                self.assertTrue(body == expected, body[:200])

    def test_the_callers_id_is_the_one_that_comes_back(self):
        self.worker()
        client = self.open(self.forwarder("-f", f"echo={self.path()}"))
        for number in (7, 1.5, 12345678901234567890, "text", "1", "\u00e9", ""):
            self.assertEqual(client.call("echo", "x", id=number),
                             {"out": "echo", "result": "x", "id": number})
        self.assertEqual(client.call("echo", "x"), {"out": "echo", "result": "x"})

    def test_ping_is_answered_with_pong_as_everywhere(self):
        self.worker()
        client = self.open(self.forwarder("-f", f"ping={self.path()}"))
        self.assertEqual(client.call("ping", 1), {"out": "pong", "result": 1})

    def test_each_kind_of_error_is_the_same_as_without_a_forwarder(self):
        server = self.worker(
            "--timeout", "100ms", "--max-frame", "1000", "-m", "status=echo why >&2; exit 3",
            "-m", "signal=kill -9 $$", "-m", "text=echo no JSON", "-m", "slow=sleep 9",
            "-m", "long=seq 1000", "-k", "ends=exit 1")
        direct = self.open(server)
        client = self.open(self.forwarder("-f", f"*={self.path()}"))
        for method, code in (("nope", NO_METHOD), ("status", FAILED), ("signal", FAILED),
                             ("text", FAILED), ("long", FAILED), ("ends", FAILED),
                             ("slow", TIMED_OUT)):
            with self.subTest(method):
                expected = direct.call(method)
                self.assert_error(expected, code)
                self.assertEqual(client.call(method), expected)
                self.assertEqual(client.call(method, id="a"), {**expected, "id": "a"})

    def test_an_error_has_the_code_message_and_data_that_the_backend_gave(self):
        errors = [{"code": code, "message": "m"}
                  for code in (-32700, -32600, -32601, -32602, -32603, -32001, -32002, -32003,
                               -32004, -32005, -32006, -1, 1, 2147483647, -2147483648)]
        errors += [{"code": 5, "message": message}
                   for message in ("", 'a "quoted" \\ line\n', "\u00e9\U0001f600", "x" * 5000)]
        errors += [{"code": 5, "message": "m", "data": data}
                   for data in (None, False, 0, "", [], {}, {"b": 1, "a": [1.5, None, "\u00e9"]},
                                12345678901234567890123, "\u2028")]
        self.scripted_server(*("reply:" + json.dumps({"out": "error", "result": error})
                               for error in errors))
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for error in errors:
            with self.subTest(error=str(error)[:100]):
                self.assertEqual(client.call("x"), {"out": "error", "result": error})

    def test_an_errors_data_comes_back_byte_for_byte(self):
        documents = [b"1.50", b"1e2", b"-0", b"123456789012345678901234567890",
                     b"0.1000000000000000055511151231257827", b'"\\u00e9\\/"',
                     b'{"b":1,"a":2,"b":3}', b"[1, 2]", b"null"]
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for data in documents:
            with self.subTest(data=data):
                client.send("x")
                request = backend.take()
                request.send(b'{"out":"error","result":{"code":5,"message":"m","data":%s},"id":%d}'
                             % (data, request.id))
                body = client.read(struct.unpack("<I", client.read(4))[0])
                self.assertEqual(
                    body, b'{"out":"error","result":{"code":5,"message":"m","data":%s}}' % data)

    def test_an_error_without_a_code_is_an_internal_error(self):
        self.scripted_server(*('reply:{"out":"error","result":%s}' % result for result in (
            '"text"', "null", "[]", "{}", '{"code":"1"}', '{"message":"m"}')))
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for _ in range(6):
            self.assert_error(client.call("x"), INTERNAL)

    def test_a_json_rpc_client_gets_json_rpc(self):
        self.worker("-m", "fail=exit 3")
        client = self.open(self.forwarder("-f", f"*={self.path()}", "-f", f"echo={self.path()}"))

        def body(number, method, **more):
            return {"jsonrpc": "2.0", "id": number, "method": method, **more}

        client.send_body(json.dumps(body(1, "echo", params=[1])).encode())
        self.assertEqual(client.receive(), {"jsonrpc": "2.0", "id": 1, "result": [1]})
        batch = [body(2, "echo", params=[2]), body(3, "nope"), body(4, "fail"), body(5, "ping")]
        client.send_body(json.dumps(batch).encode())
        replies = sorted(client.receive(), key=lambda reply: reply["id"])
        self.assertEqual(replies[0]["result"], [2])
        self.assertEqual(replies[1]["error"]["code"], NO_METHOD)
        self.assertEqual(replies[2]["error"]["data"]["status"], 3)
        self.assertEqual([reply["id"] for reply in replies], [2, 3, 4, 5])


class Names(ForwardTest):
    def setUp(self):
        super().setUp()
        self.backends = {name: self.backend(name) for name in ("one", "a", "ab", "all")}
        self.server = self.forwarder(
            "-f", f"one={self.path('one')}", "-f", f"a.*={self.path('a')}",
            "-f", f"a.b.*={self.path('ab')}", "-f", f"*={self.path('all')}",
            "-m", "a.own=echo 1", "-m", "own=echo 2")
        self.client = self.open(self.server)

    def goes_to(self, method: str) -> tuple:
        """Which backend is asked for the method, and what it is asked for."""
        self.client.send(method, "p", id=1)
        while True:
            for name, backend in self.backends.items():
                try:
                    request = backend.requests.get(timeout=0.01)
                except queue.Empty:
                    continue
                request.reply("r")
                self.assertEqual(self.client.receive(), {"out": method, "result": "r", "id": 1})
                return name, request.method
            if select.select([self.client.socket], [], [], 0)[0]:
                return "nobody", self.client.receive()

    def test_a_name_goes_to_the_longest_that_fits_and_stays_as_it_is(self):
        for method, backend in (
                ("one", "one"), ("one.two", "all"), ("on", "all"), ("a", "all"), ("ax", "all"),
                ("a.", "a"), ("a.x", "a"), ("a.b", "a"), ("a.bx", "a"), ("a.x.y", "a"),
                ("a.b.", "ab"), ("a.b.c", "ab"), ("a.b.c.d", "ab"), ("*", "all"), ("a.*", "a"),
                ("", "all"), ("error.x", "all"), ("a.\u00e9", "a"), ('a."q"\\\n', "a"),
                ("a." + "x" * 5000, "a")):
            with self.subTest(method[:20]):
                self.assertEqual(self.goes_to(method), (backend, method))

    def test_methods_of_its_own_come_first(self):
        self.assertEqual(self.client.result("a.own"), 1)
        self.assertEqual(self.client.result("own"), 2)
        self.assertEqual(self.client.call("ping", 3), {"out": "pong", "result": 3})
        self.assertEqual(self.client.result("echo", 4), 4)
        self.assertEqual(self.client.result("info")["pid"], self.server.pid)

    def test_methods_lists_what_is_forwarded(self):
        self.assertEqual(sorted(self.client.result("methods")),
                         sorted(["one", "a.*", "a.b.*", "*", "a.own", "own", "echo", "info",
                                 "methods", "ping"]))

    def test_a_name_that_is_given_twice_is_refused(self):
        for name in ("x", "x.*", "*"):
            server = self.start(handoff.Server(WORKER, "--stdio", "-f", f"{name}=:1", "-f",
                                               f"{name}=:2", ready=False))
            self.assertEqual(server.process.wait(handoff.PATIENCE), 2)
            server.wait_for_line("there is one of this name already")


class Sharing(ForwardTest):
    """Calls of many clients on few connections."""

    def test_a_server_without_ids_has_each_reply_at_the_right_call(self):
        self.article_server("--delay", "1")
        server = self.forwarder("-f", f"ping={self.path()}")
        clients = [self.open(server) for _ in range(64)]
        rounds = handoff.count(200, 20)
        for number, client in enumerate(clients):
            for turn in range(rounds):
                client.send("ping", [number, turn], **({"id": turn} if number % 2 else {}))
        for number, client in enumerate(clients):
            replies = [client.receive() for _ in range(rounds)]
            for reply in replies:
                self.assertEqual(reply["out"], "pong", reply)
            turns = [reply["result"][1] for reply in replies]
            self.assertEqual([reply["result"][0] for reply in replies], [number] * rounds)
            self.assertEqual(sorted(turns), list(range(rounds)))
            if number % 2:
                self.assertEqual([reply["id"] for reply in replies], turns)
            else:
                self.assertEqual(turns, list(range(rounds)), "replies without an id keep the order")

    def test_a_server_may_answer_in_any_order_by_id(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(100)]
        for number, client in enumerate(clients):
            client.send("x", number)
        requests = [backend.take() for _ in clients]
        for request in reversed(requests):
            request.reply(request.params)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "x", "result": number})

    def test_a_slow_call_does_not_hold_up_the_others(self):
        backend = self.backend("far")
        self.worker("-f", f"slow={self.path('far')}")
        server = self.forwarder("-f", f"slow={self.path()}", "-f", f"echo={self.path()}")
        waiting = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        for number, client in enumerate(waiting):
            client.send("slow", number)
        requests = [backend.take() for _ in waiting]
        client = self.open(server)
        for number in range(100):
            self.assertEqual(client.result("echo", number), number)
        for each in waiting:
            self.assert_silent(each)
        for request in requests:
            request.reply(request.params)
        for number, each in enumerate(waiting):
            self.assertEqual(each.receive()["result"], number)

    def test_calls_in_turn_use_one_connection_and_many_at_a_time_use_eight(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "-f", f"y.*={self.path()}")
        clients = [self.open(server) for _ in range(200)]
        for number in range(20):
            clients[number].send("y.z" if number % 2 else "x", number)
            backend.take().reply(number)
            self.assertEqual(clients[number].receive()["result"], number)
        self.assertEqual(len(backend.connections), 1)
        for client in clients:
            client.send("x")
        requests = [backend.take() for _ in clients]
        self.assertEqual(len(backend.connections), MAX_LINKS)
        for request in requests:
            request.reply(0)
        for client in clients:
            client.receive()
        descriptors = handoff.descriptor_count(server.pid)
        clients[0].send("x")
        backend.take().reply(0)
        clients[0].receive()
        self.assertEqual(handoff.descriptor_count(server.pid), descriptors)

    def test_an_error_without_an_id_is_nobodys_reply_where_there_are_ids(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(6)]
        for number in range(3):
            clients[number].send("x", number)
        first, second, third = sorted((backend.take() for _ in range(3)),
                                      key=lambda request: request.params)
        first.reply(0)
        self.assertEqual(clients[0].receive()["result"], 0)
        refusal = {"out": "error", "result": {"code": INVALID_REQUEST, "message": "too long"}}
        second.send(refusal)
        second.reply(1)
        self.assertEqual(clients[1].receive(), {"out": "x", "result": 1})
        # Whoever says that reads no more: what comes now needs another connection.
        for number in (3, 4):
            clients[number].send("x", number)
        requests = [backend.take() for _ in range(2)]
        self.assertEqual(len(backend.connections), 2)
        self.assertIsNot(requests[0].connection, first.connection)
        third.reply(2)
        self.assertEqual(clients[2].receive()["result"], 2)
        # On this one nothing has come before.
        requests[0].send(refusal)
        for request in requests[::-1]:
            request.reply(request.params)
        for number in (3, 4):
            self.assertEqual(clients[number].receive(), {"out": "x", "result": number})
        clients[5].send("x")
        last = backend.take()
        last.send(refusal)
        last.connection.shutdown(socket.SHUT_RDWR)
        self.assert_error(clients[5].receive(), DIED, "too long")

    def test_a_client_that_goes_takes_no_one_elses_call_along(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(CALLS_BEFORE_NEXT)]
        for number, client in enumerate(clients):
            client.send("x", number)
        requests = [backend.take() for _ in clients]
        self.assertEqual(len(backend.connections), 1)
        clients[0].close()
        clients[1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients[1].close()
        for request in requests:
            request.reply(request.params)
        for number in (2, 3):
            self.assertEqual(clients[number].receive()["result"], number)

    def test_a_drain_waits_for_the_calls_that_are_forwarded(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        client = self.open(server)
        client.send("x")
        request = backend.take()
        server.kill(signal.SIGTERM)
        handoff.wait_for(lambda: not os.path.exists(self.path("forwarder")), "the listener to go")
        request.reply("finished")
        self.assertEqual(client.receive()["result"], "finished")
        self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)


    def test_calls_that_are_forwarded_are_cut_off_with_their_connections(self):
        self.backend()
        command = f"exec {WORKER} --timeout 1s --stdio -f y={self.path()}"
        for options, signals in ((["--drain-timeout", "50ms"], 1), ([], 2)):
            with self.subTest(options):
                server = self.start(handoff.worker(
                    "-f", f"x={self.path()}", "-f", f"y=exec:{command}", *options))
                clients = [self.open(server) for _ in range(10)]
                for client in clients:
                    client.send("x")
                    client.send("y")
                    client.send("ping", id=1)
                    self.assertEqual(client.receive()["out"], "pong")
                for _ in range(signals):
                    server.kill(signal.SIGTERM)
                    handoff.wait_for(lambda: self.has_taken_its_signals(server.pid), "the signal")
                self.assertEqual(server.process.wait(handoff.PATIENCE), 124)
                server.wait_for_line("10 connections cut off$")

    @staticmethod
    def has_taken_its_signals(pid: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            return "ShdPnd:\t0000000000000000\n" in text
        return True


class Down(ForwardTest):
    def assert_fails_at_once(self, client: handoff.Connection, message: str):
        started = time.monotonic()
        self.assert_error(client.call("x"), UNREACHABLE, message)
        self.assertLess(time.monotonic() - started, QUICK)

    def test_calls_fail_at_once_until_the_server_is_up(self):
        server = self.forwarder("-f", f"x={self.path()}")
        client, other = self.open(server), self.open(server)
        self.assert_fails_at_once(client, self.path())
        other.result("ping")
        descriptors = handoff.descriptor_count(server.pid)
        # For so long that the pauses between its attempts are as long as they get.
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            self.assert_fails_at_once(client, rf"{self.path()}: No such file or directory$")
            self.assertEqual(other.result("ping", 1), 1)
            self.assert_silent(client, 0.02)
        self.assertEqual(handoff.descriptor_count(server.pid), descriptors)
        self.worker("-m", "x=echo 1")
        self.assertLess(self.call_until_it_succeeds(client, "x"), 2)

    def test_a_port_that_nobody_listens_on_is_refused_and_found_later(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            server = self.forwarder("-f", f"x=127.0.0.1:{port}")
            client = self.open(server)
            for _ in range(5):
                self.assert_fails_at_once(client, rf"127.0.0.1:{port}: Connection refused$")
            listener.listen()
            self.start(handoff.worker("-l", f"fd:{listener.fileno()}", "-m", "x=echo 1",
                                      pass_fds=[listener.fileno()]))
            self.assertLess(self.call_until_it_succeeds(client, "x"), 2)

    def test_many_calls_at_once_fail_too_and_the_connections_live_on(self):
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(20)]
        for client in clients:
            for _ in range(50):
                client.send("x")
            client.send("ping", "behind them")
        for client in clients:
            for _ in range(50):
                self.assert_error(client.receive(), UNREACHABLE)
            self.assertEqual(client.receive()["result"], "behind them")

    def test_a_server_that_accepts_nobody_is_given_up_at_the_deadline(self):
        self.scripted_server("deaf")
        server = self.forwarder("-f", f"x={self.path()}", "--timeout", "300ms")
        client, other = self.open(server), self.open(server)
        for _ in range(2):
            client.send("x")
            self.assertEqual(other.result("ping", 1), 1)
            self.assert_error(client.receive(), TIMED_OUT)


class Dying(ForwardTest):
    def test_a_kill_fails_the_calls_in_flight_and_the_next_ones_reconnect(self):
        gate = self.gate()
        words = ("-m", f"slow=cat {gate}", "-m", "quick=echo 1")
        backend = self.worker(*words)
        server = self.forwarder("-f", f"slow={self.path()}", "-f", f"quick={self.path()}")
        clients = [self.open(server) for _ in range(20)]
        for client in clients:
            client.send("slow")
        with gate.open("w"):
            self.assertEqual(self.open(server).result("quick"), 1)
            for client in clients:
                self.assert_silent(client)
            backend.kill(signal.SIGKILL)
            for client in clients:
                self.assert_error(client.receive(), DIED, f"{self.path()}: .+")
        backend.process.wait()
        self.assert_error(clients[0].call("quick"), UNREACHABLE, "Connection refused$")
        self.worker(*words)
        for client in clients:
            self.assertLess(self.call_until_it_succeeds(client, "quick"), 2)

    def test_only_the_calls_of_a_connection_that_ends_fail(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}")
        clients = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * 3)]
        for number, client in enumerate(clients):
            client.send("x", number)
        requests = [backend.take() for _ in clients]
        ended = requests[0].connection
        ended.shutdown(socket.SHUT_RDWR)
        for request in requests:
            if request.connection is not ended:
                request.reply("fine")
        for request in requests:
            reply = clients[request.params].receive()
            if request.connection is ended:
                self.assert_error(reply, DIED)
            else:
                self.assertEqual(reply["result"], "fine")
        self.assertEqual(len({request.connection for request in requests}), 3)

    def test_garbage_ends_the_connection_and_not_the_method(self):
        kinds = ["bytes:" + b"HTTP/1.1 400 Bad Request\r\n\r\n".hex(), "reply:no JSON", "reply:",
                 "reply:[]", "reply:{}", 'reply:{"out":"x"}', 'reply:{"out":1,"result":1}',
                 'reply:{"out":"x","result":1,"result":2}', "reply:" + "[" * 100, "bytes:ffffffff",
                 "bytes:00000000", "close", "reply:\"\\ud800\"", 'reply:{"out":"x","result":01}']
        self.scripted_server(*kinds, 'reply:{"out":"x","result":"fine"}')
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for kind in kinds:
            with self.subTest(kind):
                self.assert_error(client.call("x"), DIED, f"{self.path()}: .+")
        self.assertEqual(client.result("x"), "fine")

    def test_a_reply_that_is_cut_off_is_no_reply(self):
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        client.send("x")
        request = backend.take()
        request.connection.sendall(handoff.frame(b'{"out":"x","result":1}')[:-1])
        request.connection.shutdown(socket.SHUT_RDWR)
        self.assert_error(client.receive(), DIED)

    def test_a_reset_is_survived(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            client = self.open(self.forwarder("-f", f"x=127.0.0.1:{port}"))
            for _ in range(3):
                client.send("x")
                connection, _ = listener.accept()
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                self.assert_error(client.receive(), DIED, "Connection reset by peer$")

    def test_replies_that_nobody_waits_for_are_dropped(self):
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for number in range(3):
            client.send("x", number)
            request = backend.take()
            for stranger in (0, 999, -1, "1", None, 1e300):
                request.reply("wrong", id=stranger)
            request.reply(number)
            request.reply("again")
            self.assertEqual(client.receive(), {"out": "x", "result": number})
        self.assertEqual(len(backend.connections), 1)

    def test_a_second_reply_without_an_id_is_no_answer_to_the_next_call(self):
        replies = [handoff.frame(json.dumps({"out": "x", "result": result}).encode())
                   for result in ("first", "again", "second")]
        self.scripted_server("bytes:" + (replies[0] + replies[1]).hex(), "bytes:" + replies[2].hex())
        server = self.forwarder("-f", f"x={self.path()}")
        client = self.open(server)
        for result in ("first", "second"):
            self.assertEqual(client.result("x"), result)

    def test_a_connection_on_which_the_backend_replies_without_a_call_is_given_up(self):
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for number in range(3):
            client.send("x", number)
            request = backend.take()
            request.connection.settimeout(handoff.PATIENCE)
            request.connection.sendall(2 * handoff.frame(
                json.dumps({"out": "x", "result": number}).encode()))
            self.assertEqual(client.receive(), {"out": "x", "result": number})
            self.assertEqual(request.connection.recv(1), b"")
        self.assertEqual(len(backend.connections), 3)

    def test_a_connection_that_the_backend_closes_when_idle_is_not_missed(self):
        backend = self.worker("--idle-timeout", "30ms", "-m", "x=echo 1")
        server = self.forwarder("-f", f"x={self.path()}")
        client = self.open(server)
        client.result("ping")
        alone = [handoff.descriptor_count(each.pid) for each in (backend, server)]
        for _ in range(10):
            self.assertEqual(client.result("x"), 1)
            handoff.wait_for(
                lambda: [handoff.descriptor_count(each.pid) for each in (backend, server)] == alone,
                "the idle connection to be closed")

    def test_a_call_that_meets_the_end_of_an_idle_connection_goes_out_on_another(self):
        backend = self.backend()
        # It has read the second call when the backend closes, and sends it 300 ms later.
        tracing = self.start(handoff.Server(
            "strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto",
            "-e", "inject=sendto:delay_enter=300000:when=3", WORKER, "-l", self.path("forwarder"),
            "-f", f"x={self.path()}", env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}))
        for traced in handoff.children(tracing.pid):
            self.stack.callback(self.end, traced)
        client = self.open(tracing)
        self.exchange(client, backend, "first")
        client.send("x", "second")
        handoff.wait_for(lambda: self.unread(client) == 0, "the call to be read")
        backend.connections[0].shutdown(socket.SHUT_RDWR)
        handoff.wait_for(lambda: select.select([client.socket], [], [], 0)[0] or
                         not backend.requests.empty(), "the call")
        if not backend.requests.empty():
            request = backend.take()
            self.assertIs(request.connection, backend.connections[1])
            request.reply(request.params)
        self.assertEqual(client.receive(), {"out": "x", "result": "second"})

    @staticmethod
    def end(pid: int):
        """It would outlive strace."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def unread(client: handoff.Connection) -> int:
        return struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)))[0]

    def test_a_backend_that_drains_finishes_its_calls(self):
        gate = self.gate()
        backend = self.worker("-m", f"x=cat {gate}")
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        client.send("x")
        with gate.open("w") as opened:
            backend.kill(signal.SIGTERM)
            handoff.wait_for(lambda: not os.path.exists(self.path()), "the listener to go")
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual(backend.process.wait(handoff.PATIENCE), 0)


class Limits(ForwardTest):
    def test_a_reply_over_the_limit_is_an_error_and_the_method_goes_on(self):
        self.worker("-m", "x=echo [; seq -s , 2000; echo ]", "-m", "y=echo 1")
        server = self.forwarder("-f", f"x={self.path()}", "-f", f"y={self.path()}",
                                "--max-frame", "5000")
        client = self.open(server)
        for _ in range(3):
            self.assert_error(client.call("x"), DIED, "exceeds the limit of 5000")
            self.assertEqual(client.result("y"), 1)

    def test_replies_up_to_the_limit_come_through_whatever_the_callers_id(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "--max-frame", "1000")
        client = self.open(server)
        for size in (900, 950, 960, 970, 980, 990):
            for number in (None, "i" * 50):
                client.send("x", **({} if number is None else {"id": number}))
                request = backend.take()
                body = {"out": "x", "result": "", "id": request.id}
                body["result"] = "r" * (size - len(json.dumps(body)))
                request.send(body)
                reply = client.receive()
                own = {"out": "x", "result": body["result"]}
                if number is not None:
                    own["id"] = number
                if len(json.dumps(own, separators=(",", ":"))) <= 1000:
                    self.assertEqual(reply, own)
                else:
                    self.assert_error(reply, FAILED, "exceeds the limit of 1000 bytes")
        self.assertEqual(len(backend.connections), 1)

    def test_a_request_that_just_fits_does_not_harm_other_calls(self):
        gate = self.gate()
        self.worker("--max-frame", "1000", "-m", f"slow=cat {gate}")
        server = self.forwarder("-f", f"slow={self.path()}", "-f", f"info={self.path()}",
                                "--max-frame", "1000", "--timeout", "3s")
        client, other = self.open(server), self.open(server)
        other.send("slow")
        with gate.open("w") as opened:
            for size in range(970, 1001):
                body = {"in": "info", "params": ""}
                body["params"] = "p" * (size - len(json.dumps(body)))
                client.send_body(json.dumps(body).encode())
                reply = client.receive()
                if reply["out"] == "error":
                    self.assert_error(reply, INVALID_REQUEST, "limit of 1000")
                else:
                    self.assertIn("version", reply["result"])
            self.assert_silent(other)
            opened.write('"unharmed"')
        self.assertEqual(other.receive(), {"out": "slow", "result": "unharmed"})

    def test_a_backend_that_reads_nothing_does_not_take_memory_without_end(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path())
            listener.listen(128)
            server = self.forwarder("-f", f"x={self.path()}", "--timeout", "1s")
            clients = [self.open(server) for _ in range(8)]
            before = handoff.resident_bytes(server.pid)
            calls = handoff.frame(json.dumps({"in": "x", "params": "x" * 1000000}).encode()) * 8
            senders = [threading.Thread(target=client.socket.sendall, args=(calls,), daemon=True)
                       for client in clients]
            for sender in senders:
                sender.start()
            for client in clients:
                for _ in range(8):
                    self.assertIn(client.receive()["result"]["code"], (TIMED_OUT, BUSY))
            for sender in senders:
                sender.join(handoff.PATIENCE)
            # Each call may be there twice, as it came and as it goes. A sanitizer keeps 256 MiB of
            # what was freed besides.
            most = (456 if handoff.SANITIZED else 200) << 20
            self.assertLess(handoff.resident_bytes(server.pid) - before, most)


class Hanging(ForwardTest):
    def test_a_stopped_backend_costs_its_callers_the_deadline_and_nobody_else_anything(self):
        backend = self.worker()
        server = self.forwarder("-f", f"echo={self.path()}", "--timeout", "500ms")
        clients = [self.open(server) for _ in range(20)]
        for number, client in enumerate(clients):
            self.assertEqual(client.result("echo", number), number)
        other = self.open(server)
        for turn in range(2):
            self.stop(backend.pid)
            started = time.monotonic()
            for client in clients:
                client.send("echo", "late")
            self.assertEqual(other.result("ping", 1), 1)
            for client in clients:
                self.assert_silent(client)
            for client in clients:
                self.assert_error(client.receive(), TIMED_OUT,
                                  f"{self.path()} did not reply in time")
                self.assertEqual(other.result("ping", 1), 1)
            self.assertGreater(time.monotonic() - started, 0.45)
            self.assertLess(time.monotonic() - started, QUICK)
            backend.kill(signal.SIGCONT)
            for number, client in enumerate(clients):
                self.assertEqual(client.result("echo", [turn, number]), [turn, number])

    def test_hundreds_of_calls_wait_and_others_are_answered(self):
        self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "-m", "own=echo 1", "--timeout", "3s",
                                "-C", "500")
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            for _ in range(100):
                client.send("x", id=1)
        other = self.open(server)
        self.assertEqual(other.result("ping", 1), 1)
        self.assertEqual(other.result("own"), 1)
        for client in clients:
            self.assert_silent(client)

    def test_a_stopped_server_without_ids_gives_no_late_reply_to_another_call(self):
        backend = self.article_server()
        server = self.forwarder("-f", f"ping={self.path()}", "--timeout", "500ms")
        clients = [self.open(server) for _ in range(20)]
        for number, client in enumerate(clients):
            self.assertEqual(client.result("ping", number), number)
        self.stop(backend.pid)
        for client in clients:
            client.send("ping", "late")
        for client in clients:
            self.assert_error(client.receive(), TIMED_OUT)
        backend.send_signal(signal.SIGCONT)
        for turn in range(5):
            for number, client in enumerate(clients):
                client.send("ping", [turn, number])
            for number, client in enumerate(clients):
                self.assertEqual(client.receive(), {"out": "pong", "result": [turn, number]})

    def test_a_late_reply_is_dropped_on_a_connection_that_is_in_use(self):
        for name in ("reply", "reply_without_id"):
            with self.subTest(name):
                backend = self.backend(name)
                server = self.start(handoff.worker(
                    "-l", self.path("to_" + name), "-f", f"x={self.path(name)}",
                    "--timeout", "1s"))
                first, second, third = (self.open(server) for _ in range(3))
                first.send("x", "before")
                before = backend.take()
                second.send("x", "late")
                late = backend.take()
                getattr(before, name)("before")
                self.assertEqual(first.receive()["result"], "before")
                self.assert_silent(second, 0.5)
                third.send("x", "third")
                own = backend.take()
                self.assert_error(second.receive(), TIMED_OUT)
                getattr(late, name)("late")
                getattr(own, name)("third")
                self.assertEqual(third.receive()["result"], "third")
                second.send("x", "second")
                getattr(backend.take(), name)("second")
                self.assertEqual(second.receive()["result"], "second")
                self.assertEqual(len(backend.connections), 1)

    def test_connections_that_were_silent_for_a_while_are_replaced(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "--timeout", "800ms")
        early = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        late = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        for client in early:
            client.send("x", "early")
        for _ in early:
            backend.take()
        self.assert_silent(early[0], 0.4)
        for number, client in enumerate(late):
            client.send("x", number)
        requests = [backend.take() for _ in late]
        for client in early:
            self.assert_error(client.receive(), TIMED_OUT)
        # Nothing has come on any of the connections until now.
        for request in requests:
            request.reply(request.params)
        for number, client in enumerate(late):
            self.assertEqual(client.receive(), {"out": "x", "result": number})
        for number, client in enumerate(early):
            self.exchange(client, backend, number)

    def test_calls_go_on_while_each_connection_has_one_that_is_not_answered(self):
        backend = self.backend()
        server = self.forwarder("-f", f"x={self.path()}", "--timeout", "800ms")
        early = [self.open(server) for _ in range(CALLS_BEFORE_NEXT * MAX_LINKS)]
        late = [self.open(server) for _ in range(MAX_LINKS * 2)]
        for client in early:
            client.send("x", "early")
        for _ in early:
            backend.take()
        self.assert_silent(early[0], 0.4)
        for client in late:
            client.send("x", "late")
        for _ in late:
            self.assertEqual(backend.take().params, "late")
        for client in early:
            self.assert_error(client.receive(), TIMED_OUT)
        for number, client in enumerate(early):
            self.exchange(client, backend, number)
        for client in late:
            self.assert_error(client.receive(), TIMED_OUT)


class Commands(ForwardTest):
    """exec: the server is a command."""

    def command(self, *options: str) -> str:
        return " ".join(["exec:exec", WORKER, "--stdio", *options])

    @staticmethod
    def servers(pid: int) -> list[int]:
        """The commands that serve this forwarder now."""
        found = []
        for child in handoff.children(pid):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if words[0] == WORKER.encode() and b"--stdio" in words:
                    found.append(child)
        return found

    @staticmethod
    def zombies(pid: int) -> list[int]:
        return [child for child in handoff.children(pid) if not handoff.alive(child)]

    def wait_until_reaped(self, pid: int):
        handoff.wait_for(lambda: not self.zombies(pid), "the ended commands to be reaped", QUICK)

    def test_a_command_answers(self):
        server = self.forwarder("-f", "x=" + self.command("-m x=cat -m 'y=exit 3'"),
                                "-f", "y=" + self.command("-m x=cat -m 'y=exit 3'"))
        clients = [self.open(server) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send("x", number)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "x", "result": number})
            self.assertEqual(client.call("y")["result"]["data"], {"status": 3, "stderr": ""})
        commands = handoff.children(server.pid)
        self.assertEqual(server.stop(), 0)
        handoff.wait_for(lambda: not any(map(handoff.alive, commands)), "the commands to end")

    def test_a_command_that_is_killed_is_started_again_and_leaves_nothing(self):
        backend = self.backend("far")
        server = self.forwarder("-f", "*=" + self.command(f"-f hang={self.path('far')}"))
        client, other = self.open(server), self.open(server)
        self.assert_error(client.call("nope"), NO_METHOD)
        other.result("ping")
        descriptors = handoff.descriptor_count(server.pid)
        for _ in range(10):
            other.send("hang")
            backend.take()
            (command,) = self.servers(server.pid)
            os.kill(command, signal.SIGKILL)
            self.assert_error(other.receive(), DIED)
            self.assert_error(client.call("nope"), NO_METHOD)
        self.wait_until_reaped(server.pid)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors,
                         "the descriptors to be as few as before")

    def test_commands_that_are_no_servers_fail_their_calls_and_leave_nothing(self):
        server = self.forwarder("-f", "x=exec:true", "-f", "y=exec:/none", "-f", "z=exec:cat",
                                "-m", "own=echo 1")
        client = self.open(server)
        for _ in range(10):
            for method in ("x", "y", "z"):
                reply = client.call(method)
                self.assertIn(reply["result"]["code"], (DIED, UNREACHABLE), reply)
        self.assertEqual(client.result("own"), 1)
        self.wait_until_reaped(server.pid)

    def test_a_command_that_goes_to_the_background_serves_on(self):
        # Its shell ends at once, and is found by what looks for leftovers of a method's command.
        server = self.forwarder("-m", "own=echo 1",
                                "-f", f"x=exec:exec 3<&0; {WORKER} --stdio -m x=cat <&3 >&3 3<&- &")
        client = self.open(server)
        for _ in range(3):
            self.assertEqual(client.result("x", 1), 1)
            self.assertEqual(client.result("own"), 1)
            (command,) = handoff.wait_for(lambda: self.servers(server.pid), "the command")
            os.kill(command, signal.SIGKILL)
            handoff.wait_for(lambda: not handoff.alive(command), "the command to end")
            self.assertEqual(client.result("own"), 1)
        self.wait_until_reaped(server.pid)


class Load:
    """Clients that call `work` without a pause, each on a connection of its own, until they are
    stopped or have made so many calls. Each looks whether the reply is to its own params."""

    def __init__(self, server: handoff.Server, connections: int, calls: int | None = None):
        self.done = [0] * connections
        self.errors = [collections.Counter() for _ in range(connections)]
        self.problems: list[str] = []
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(server, number, calls), daemon=True)
            for number in range(connections)]
        for thread in self.threads:
            thread.start()

    def _run(self, server, number: int, calls):
        try:
            with server.connect() as client:
                for call in itertools.count() if calls is None else range(calls):
                    if self.stopped.is_set():
                        break
                    reply = client.call("work", [number, call])
                    if reply == {"out": "work", "result": [[number, call]]}:
                        self.done[number] += 1
                    elif reply and reply["out"] == "error":
                        self.errors[number][reply["result"]["code"]] += 1
                        self.stopped.wait(0.005)  # as a client should that was refused
                    else:
                        raise AssertionError(f"{[number, call]}: {reply}")
        except Exception as error:  # the test reads it
            self.problems.append(repr(error))

    def total_errors(self) -> collections.Counter:
        return sum(self.errors, collections.Counter())

    def wait_for_progress(self, calls: int, what: str):
        """Until each of the connections has had so many good replies more."""
        before = list(self.done)
        handoff.wait_for(
            lambda: self.problems or all(now >= then + calls
                                         for now, then in zip(self.done, before)), what)

    def finish(self):
        for thread in self.threads:
            thread.join(handoff.PATIENCE)
        if any(thread.is_alive() for thread in self.threads):
            self.problems.append("a client waits for ever")

    def stop(self):
        self.stopped.set()
        self.finish()


class Chain(ForwardTest):
    """Four servers, of which only the last one does the work."""

    CONNECTIONS = 64

    def start_chain(self, *options: str) -> list[handoff.Server]:
        self.options = options
        servers = [self.last()]
        for name, behind in (("c", "d"), ("b", "c"), ("a", "b")):
            servers.append(self.worker("-f", f"work={self.path(behind)}", "-m", "own=cat", *options,
                                       name=name))
        return servers[::-1]

    def last(self) -> handoff.Server:
        return self.worker("-k", "work=sed -u 's/.*/[&]/'", "--pool", "2", *self.options, name="d")

    def test_each_reply_is_to_its_own_call_and_none_is_lost(self):
        first, *_ = self.start_chain()
        calls = handoff.count(10000, 2000) // self.CONNECTIONS + 1
        load = Load(first, self.CONNECTIONS, calls)
        load.finish()
        self.assertEqual(load.problems, [])
        self.assertEqual(load.total_errors(), {})
        self.assertEqual(load.done, [calls] * self.CONNECTIONS)

    def test_when_the_last_one_is_killed_and_comes_back_so_do_the_calls(self):
        first, *_, last = self.start_chain("--timeout", "5s")
        load = Load(first, self.CONNECTIONS)
        for _ in range(handoff.count(5, 2)):
            load.wait_for_progress(5, "calls before the kill")
            errors = load.total_errors().total()
            last.kill(signal.SIGKILL)
            last.process.wait()
            handoff.wait_for(lambda: load.total_errors().total() >= errors + 2 * self.CONNECTIONS,
                             "the clients to notice")
            last = self.last()
            load.wait_for_progress(5, "calls after the restart")
        load.stop()
        self.assertEqual(load.problems, [])
        self.assertLessEqual(set(load.total_errors()), {DIED, UNREACHABLE, TIMED_OUT})
        self.assert_recovered(first)

    def test_when_the_last_one_is_stopped_the_deadline_answers_and_others_stay_quick(self):
        servers = self.start_chain("--timeout", "500ms")
        first, last = servers[0], servers[-1]
        load = Load(first, self.CONNECTIONS)
        load.wait_for_progress(5, "calls before the stop")
        before = load.total_errors().total()
        self.stop(last.pid)
        others = [self.open(server) for server in servers[:-1]]
        slowest = 0.0

        def has_each_had_two_deadlines() -> bool:
            nonlocal slowest
            for client in others:
                started = time.monotonic()
                self.assertEqual(client.result("ping", 1), 1)
                self.assertEqual(client.result("ping", 2), 2)
                slowest = max(slowest, time.monotonic() - started)
            return all(errors.total() >= 2 for errors in load.errors)

        handoff.wait_for(has_each_had_two_deadlines, "each client to have had its deadline twice")
        self.assertLess(slowest, QUICK)
        self.assertGreater(load.total_errors().total(), before)
        last.kill(signal.SIGCONT)
        load.wait_for_progress(5, "calls after the stop")
        load.stop()
        self.assertEqual(load.problems, [])
        self.assertLessEqual(set(load.total_errors()), {TIMED_OUT})
        self.assert_recovered(first)

    def assert_recovered(self, server: handoff.Server):
        load = Load(server, self.CONNECTIONS, 5)
        load.finish()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(load.done, [5] * self.CONNECTIONS)


if __name__ == "__main__":
    # As many descriptors as clients and a server in this process need.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    handoff.run_tests()
