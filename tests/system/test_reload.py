# SPDX-License-Identifier: MIT
"""What clients notice while workers are replaced: nothing. By a reload, by scaling, by workers that
leave; and what is left when all is stopped."""

import contextlib
import json
import os
import pathlib
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER_DIED = -32004


class Lines:
    """Requests and replies a line each, as in handoff.Connection."""

    def __init__(self, connection: handoff.Connection):
        self.socket = connection.socket
        self._input = connection.socket.makefile("rb")

    def send_body(self, body: bytes):
        self.socket.sendall(body + b"\n")

    def receive(self):
        line = self._input.readline()
        return json.loads(line) if line else None


def encode(method: str, params, number=None) -> bytes:
    """A request; in JSON-RPC, when it has a number."""
    if number is None:
        return json.dumps({"in": method, "params": params}).encode()
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
    return json.dumps(request).encode()


class Load:
    """Clients that call without pause: a new connection for each call, or one for all. Whatever is
    not the right reply in its place is a problem."""

    # What a long-lived client speaks.
    KINDS = ("frames", "lines", "json-rpc", "json-rpc lines")
    PIPELINED = 8

    def __init__(self, address, one_shot: int = 16, long_lived: int = 16):
        self.address = address
        self.problems: list[str] = []
        self.answered = [0] * (one_shot + long_lived)
        self.pids: set[int] = set()  # of workers that have answered
        self.connections: list[handoff.Connection] = []
        self.at: dict[int, int] = {}  # who has answered a long-lived client last
        self._over = threading.Event()
        works = [self._call_anew] * one_shot + [self._call_on] * long_lived
        self._threads = [threading.Thread(target=self._run, args=(work, number))
                         for number, work in enumerate(works)]
        self._first_long_lived = one_shot

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(2 * handoff.PATIENCE)

    def wait_for_rounds(self, count: int):
        """Until each client was answered so often from now on."""
        before = list(self.answered)
        handoff.wait_for(
            lambda: self.problems or all(now >= then + count
                                         for now, then in zip(self.answered, before)),
            "every client to be answered")

    def _run(self, work, number: int):
        try:
            work(number)
        except Exception as problem:
            self.problems.append(f"client {number}: {problem!r}")

    def _call_anew(self, number: int):
        while not self._over.is_set():
            with handoff.Connection(self.address) as client:
                wanted = random.randrange(1 << 30)
                reply = client.call("ping", wanted)
                if reply != {"out": "pong", "result": wanted}:
                    raise AssertionError(f"{reply} for {wanted}")
                self.answered[number] += 1

    def _call_on(self, number: int):
        kind = self.KINDS[number % len(self.KINDS)]
        with handoff.Connection(self.address) as connection:
            port = connection.socket.getsockname()
            client = Lines(connection) if "lines" in kind else connection
            sequence = 0
            while not self._over.is_set():
                numbers = range(sequence, sequence + self.PIPELINED)
                sequence += self.PIPELINED
                for one in numbers:
                    client.send_body(self._request(kind, "ping", one))
                client.send_body(self._request(kind, "info", sequence))
                replies = [client.receive() for _ in range(self.PIPELINED + 1)]
                if "json-rpc" in kind:  # each comes as soon as it is ready
                    replies.sort(key=lambda reply: reply["id"])
                for one, reply in zip(numbers, replies):
                    self._check(kind, reply, one)
                reply = replies[-1]
                self.at[number] = reply["result"]["pid"]
                self.pids.add(self.at[number])
                self.answered[number] += 1
            if connection.socket.getsockname() != port:
                raise AssertionError("another connection")

    @staticmethod
    def _request(kind: str, method: str, number: int) -> bytes:
        return encode(method, [number], number if "json-rpc" in kind else None)

    @staticmethod
    def _check(kind: str, reply, number: int):
        right = {"out": "pong", "result": [number]}
        if "json-rpc" in kind:
            right = {"jsonrpc": "2.0", "result": [number], "id": number}
        if reply != right:
            raise AssertionError(f"{reply} for {number}")


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


class UnderLoad(TestCase):
    def test_reloads_cost_no_client_anything(self):
        server = self.start_master(workers=2)
        started = time.monotonic()
        reloads = handoff.count(100, 5)
        with Load(server.address) as load:
            load.wait_for_rounds(1)
            for number in range(reloads):
                old = set(server.worker_pids())
                if number % 2:
                    self.control.result("reload")
                else:
                    seen = len(server.lines)
                    server.kill(signal.SIGHUP)
                    server.wait_for_line("reloaded, 2 workers", after=seen)
                handoff.wait_for(lambda: not any(map(handoff.alive, old)),
                                 "the old workers to leave while their clients stay")
                # The first round may have begun before they left.
                load.wait_for_rounds(2)
                self.assertEqual(load.problems, [])
                self.assertEqual(len(load.at), 16)
                new = set(server.worker_pids())
                self.assertEqual(new & old, set())
                self.assertLessEqual(set(load.at.values()), new)
        self.assertEqual(load.problems, [])
        self.assertGreaterEqual(len(load.pids), 2 * reloads)
        self.assertEqual(self.control.result("status")["last_reload_problem"], None)
        self.assertEqual(server.stop(), 0)
        print(f"{reloads} reloads: {sum(load.answered)} rounds of calls in "
              f"{time.monotonic() - started:.1f} s, 0 failures", file=sys.stderr)

    def test_scaling_costs_no_client_anything(self):
        server = self.start_master(workers=1)
        with Load(server.address, one_shot=6, long_lived=6) as load:
            for _ in range(handoff.count(100, 3)):
                for count in (4, 2, 5, 1):
                    self.assertEqual(self.control.result("scale", {"workers": count}),
                                     {"workers": count})
                    handoff.wait_for(lambda: len(server.worker_pids()) == count
                                     and len(self.serving()) == count, f"{count} workers")
                load.wait_for_rounds(1)
        self.assertEqual(load.problems, [])

    def test_workers_that_are_terminated_are_replaced_and_lose_nothing(self):
        server = self.start_master(workers=2)
        with Load(server.address, one_shot=4, long_lived=8) as load:
            for _ in range(handoff.count(500, 5)):
                pid = server.worker_pids()[0]
                os.kill(pid, signal.SIGTERM)
                handoff.wait_for(lambda: not handoff.alive(pid) and len(self.serving()) == 2,
                                 "the worker to be replaced")
                load.wait_for_rounds(1)
        self.assertEqual(load.problems, [])
        self.assertFalse([line for line in server.lines if "signal" in line or "killed" in line])

    def test_workers_that_have_had_their_number_of_requests_are_replaced(self):
        server = self.start_master(
            workers=2, command=[handoff.tool("rpc-worker"), "--max-requests", "50,20"])
        with Load(server.address, one_shot=4, long_lived=4) as load:
            handoff.wait_for(lambda: load.problems or len(load.pids) >= handoff.count(200, 8),
                             "several workers to have answered")
        self.assertEqual(load.problems, [])
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the last of them to leave")

    def test_workers_that_have_lived_long_are_replaced(self):
        server = self.start_master(
            workers=2, command=[handoff.tool("rpc-worker"), "--max-lifetime", "100ms"])
        with Load(server.address, one_shot=2, long_lived=4) as load:
            handoff.wait_for(lambda: load.problems or len(load.pids) >= handoff.count(200, 8),
                             "several workers to have answered")
        self.assertEqual(load.problems, [])
        self.assertTrue(server.worker_pids())

    def test_reloads_that_overlap_do_not_pile_up(self):
        server = self.start_master(workers=2)
        most = 0
        with Load(server.address, one_shot=2, long_lived=4) as load:
            for _ in range(20):
                server.kill(signal.SIGHUP)
                most = max(most, len(server.worker_pids()))
            askers = [threading.Thread(target=self.ask_for_reload) for _ in range(8)]
            self.reload_replies = []
            for asker in askers:
                asker.start()
            while any(asker.is_alive() for asker in askers):
                most = max(most, len(server.worker_pids()))
            for asker in askers:
                asker.join()
            handoff.wait_for(lambda: self.control.result("status")["state"] == "ready"
                             and len(server.worker_pids()) == 2, "the last of them to be done")
        self.assertEqual(load.problems, [])
        self.assertEqual(self.reload_replies, [{"workers": 2}] * 8)
        generations = sum(line.endswith(": reloading") for line in server.lines)
        self.assertLessEqual(generations, 20)
        # One that serves, one that starts, and those that still drain.
        self.assertLessEqual(most, 4 * 2)
        started = sum(line.endswith(": started") for line in server.lines)
        self.assertEqual(started, 2 * (1 + generations))

    def ask_for_reload(self):
        with handoff.Connection(self.control_path) as control:
            self.reload_replies.append(control.result("reload"))

    def test_eight_reloads_at_once_are_two(self):
        """The first, and one for all that came while it ran."""
        server = self.start_master(workers=1)
        # They are there, all of them, before the master sees the first.
        handoff.stop_process(server.pid)
        askers = [self.stack.enter_context(handoff.Connection(self.control_path))
                  for _ in range(8)]
        for asker in askers:
            asker.send("reload")
        server.kill(signal.SIGCONT)
        self.assertEqual([asker.receive()["result"] for asker in askers], [{"workers": 1}] * 8)
        self.assertLessEqual(sum(line.endswith(": reloading") for line in server.lines), 2)


class Migration(TestCase):
    """A connection in each state, while its worker is replaced."""

    def assert_moved(self, server, client, before: int):
        pid = self.pid_of(client)
        handoff.wait_for(lambda: server.worker_pids() == [pid], "the old worker to leave")
        self.assertNotEqual(server.worker_pids(), [before])

    def test_idle(self):
        server = self.start_master()
        client = self.open(server)
        before = self.pid_of(client)
        port = client.socket.getsockname()
        self.reload(server)
        self.assert_moved(server, client, before)
        self.assertEqual(client.socket.getsockname(), port)

    def test_never_used(self):
        server = self.start_master()
        client = self.open(server)
        handoff.wait_for(lambda: self.connections() == 1, "it to be passed")
        self.reload(server)
        self.assertEqual(client.result("ping", 1), 1)

    def test_of_a_unix_socket(self):
        server = self.start_on_a_path()
        client = self.open(server)
        before = self.pid_of(client)
        self.reload(server)
        self.assert_moved(server, client, before)

    def test_fifty_times(self):
        server = self.start_master()
        client = self.open(server)
        times = handoff.count(1000, 50)
        pids = {self.pid_of(client)}
        for _ in range(times):
            self.control.result("reload")
            pids.add(self.pid_of(client))
        # It may be asked before it has moved; the last time, it is waited for.
        handoff.wait_for(lambda: server.worker_pids() == [self.pid_of(client)], "the last move")
        self.assertGreater(len(pids), times // 2)
        # One that does not say anything moves as often.
        before = [handoff.descriptor_count(server.pid), self.pid_of(client)]
        for _ in range(10):
            self.reload(server)
        self.assert_moved(server, client, before[1])
        self.assertLessEqual(handoff.descriptor_count(server.pid), before[0] + 2)

    def begin(self, client, part: bytes):
        """Sends a request, and the start of the next one with it: whoever has answered the first
        has read both."""
        client.socket.sendall(handoff.frame(encode("ping", "first")) + part)
        self.assertEqual(client.receive()["result"], "first")

    def test_with_half_a_frame_sent(self):
        server = self.start_master()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x" * 1000))
        self.begin(client, frame[:500])
        before = server.worker_pids()[0]
        self.reload(server)
        client.socket.sendall(frame[500:])
        self.assertEqual(client.receive()["result"], "x" * 1000)
        self.assert_moved(server, client, before)

    def test_with_half_a_frame_sent_and_a_byte_more_between_moves(self):
        server = self.start_master()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x"))
        self.begin(client, b"")
        for byte in frame[:-1]:
            client.socket.sendall(bytes([byte]))
            self.control.result("reload")
        client.socket.sendall(frame[-1:])
        self.assertEqual(client.receive()["result"], "x")

    def test_with_half_a_header_sent(self):
        server = self.start_master()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x"))
        self.begin(client, frame[:2])
        self.reload(server)
        client.socket.sendall(frame[2:])
        self.assertEqual(client.receive()["result"], "x")

    def test_with_half_of_its_first_header_sent(self):
        server = self.start_on_a_path()
        client = self.open(server)
        frame = handoff.frame(encode("ping", "x"))
        client.socket.sendall(frame[:2])
        handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
        self.reload(server)
        client.socket.sendall(frame[2:])
        self.assertEqual(client.receive()["result"], "x")

    def test_with_most_of_a_large_frame_sent(self):
        server = self.start_on_a_path()
        client = self.open(server)
        text = "".join(chr(97 + number % 26) for number in range(1000000))
        frame = handoff.frame(encode("ping", text))
        client.socket.sendall(frame[:900000])
        handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
        before = server.worker_pids()[0]
        for _ in range(3):
            self.reload(server)
        client.socket.sendall(frame[900000:])
        self.assertEqual(client.receive(), {"out": "pong", "result": text})
        self.assert_moved(server, client, before)

    def test_many_with_much_sent(self):
        """More bytes than the channel takes at a time."""
        server = self.start_on_a_path(workers=2)
        clients = [self.open(server) for _ in range(handoff.count(200, 40))]
        sizes = [random.randrange(1000, 200000) for _ in clients]
        for client, size in zip(clients, sizes):
            frame = handoff.frame(encode("ping", "x" * size))
            client.rest = frame[size // 2:]
            client.socket.sendall(frame[:size // 2])
        handoff.wait_for(lambda: all(map(handoff.is_read, clients)), "the bytes to be read")
        self.reload(server)
        for client in clients:
            client.socket.sendall(client.rest)
        for client, size in zip(clients, sizes):
            self.assertEqual(client.receive(), {"out": "pong", "result": "x" * size})

    def reload_stopped(self, server, prepare):
        """Reloads while the old worker is stopped, after `prepare()`: it reads all that it is sent,
        and that it shall drain, at once."""
        before = server.worker_pids()[0]
        handoff.stop_process(before)
        prepare()
        self.control.result("reload")
        os.kill(before, signal.SIGCONT)
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")
        return before

    def test_with_pipelined_requests_unread(self):
        server = self.start_master()
        client = self.open(server)
        client.result("ping")
        requests = b"".join(handoff.frame(encode("ping", number)) for number in range(1000))
        before = self.reload_stopped(server, lambda: client.socket.sendall(requests))
        for number in range(1000):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        self.assert_moved(server, client, before)

    def test_with_pipelined_requests_partly_answered(self):
        """The old worker is drained while it works on them."""
        server = self.start_master()
        client = self.open(server)
        client.result("ping")
        count = 20000
        requests = b"".join(handoff.frame(encode("ping", number)) for number in range(count))
        sender = threading.Thread(target=lambda: client.socket.sendall(requests))
        sender.start()
        for number in range(count):
            if number == 1000:
                server.kill(signal.SIGHUP)
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        sender.join()
        server.wait_for_line("reloaded")

    def test_that_was_not_yet_started(self):
        server = self.start_master()
        clients = []

        def connect():
            clients.extend(self.open(server) for _ in range(300))
            for number, client in enumerate(clients):
                client.send("ping", number)

        self.reload_stopped(server, connect)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def test_with_a_call_running(self):
        server = self.start_slow()
        client, idle = self.open(server), self.open(server)
        idle.result("ping")
        before = server.worker_pids()[0]
        client.send("slow")
        self.wait_until_slow_runs()
        client.send("info")
        self.control.result("reload")
        self.assert_serves_at_once(idle, before)
        self.assertTrue(handoff.alive(before))
        self.assertEqual(select.select([client.socket], [], [], 0)[0], [])
        self.let_slow_end()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(client.receive()["out"], "info")
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")
        self.assert_moved(server, client, before)

    def assert_serves_at_once(self, idle, before: int):
        """Neighbours need not wait for a call that runs."""
        idle.send("info")
        self.assertTrue(select.select([idle.socket], [], [], 10)[0], "an idle connection moves")
        self.assertNotEqual(idle.receive()["result"]["pid"], before)

    def test_half_closed_with_a_call_running(self):
        server = self.start_slow()
        client = self.open(server)
        client.send("slow")
        client.send("ping", "behind it")
        client.socket.shutdown(socket.SHUT_WR)
        self.wait_until_slow_runs()
        before = server.worker_pids()[0]
        self.control.result("reload")
        self.let_slow_end()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(client.receive(), {"out": "pong", "result": "behind it"})
        self.assertIsNone(client.receive())
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")

    def test_half_closed_with_pipelined_requests_unread(self):
        server = self.start_master()
        client = self.open(server)
        client.result("ping")

        def send():
            client.socket.sendall(b"".join(handoff.frame(encode("ping", number))
                                           for number in range(100)))
            client.socket.shutdown(socket.SHUT_WR)

        self.reload_stopped(server, send)
        for number in range(100):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        self.assertIsNone(client.receive())

    def test_half_closed_with_a_line_that_lacks_its_end(self):
        server = self.start_master()
        client = self.open(server)
        lines = Lines(client)
        lines.send_body(encode("ping", 1))
        self.assertEqual(lines.receive()["result"], 1)

        def send():
            client.socket.sendall(encode("ping", 2))
            client.socket.shutdown(socket.SHUT_WR)

        self.reload_stopped(server, send)
        self.assertEqual(lines.receive()["result"], 2)
        self.assertIsNone(lines.receive())

    def test_reset_meanwhile(self):
        server = self.start_master()
        clients = [self.open(server) for _ in range(10)]
        for client in clients:
            client.result("ping")

        def reset():
            for client in clients[:5]:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
                client.close()
            for client in clients[5:8]:
                client.close()

        self.reload_stopped(server, reset)
        for client in clients[8:]:
            self.assertEqual(client.result("ping", 1), 1)
        handoff.wait_for(lambda: self.connections() == 2, "the others to be gone")
        self.assertFalse([line for line in server.lines if "signal" in line or "status 1" in line])

    def test_of_a_client_that_does_not_read(self):
        server = self.start_master()
        client = self.open(server)
        client.result("ping")
        before = server.worker_pids()[0]
        frames = [handoff.frame(encode("ping", [number, "x" * 50000])) for number in range(400)]
        sent = bytearray(b"".join(frames))
        client.socket.settimeout(0.1)

        def fill():
            with contextlib.suppress(TimeoutError):
                while sent:
                    del sent[:client.socket.send(sent[:100000])]

        fill()
        self.assertTrue(sent, "the server does not read without end")
        self.control.result("reload")
        fill()
        client.socket.settimeout(handoff.PATIENCE)
        sender = threading.Thread(target=lambda: client.socket.sendall(sent))
        sender.start()
        for number in range(400):
            self.assertEqual(client.receive()["result"], [number, "x" * 50000])
        sender.join()
        self.assert_moved(server, client, before)
        handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")

    def test_with_part_of_a_line_sent(self):
        server = self.start_master()
        client = self.open(server)
        lines = Lines(client)
        line = encode("ping", "x" * 100) + b"\n"
        client.socket.sendall(line + line[:50])
        self.assertEqual(lines.receive()["result"], "x" * 100)
        self.reload(server)
        client.socket.sendall(line[50:])
        self.assertEqual(lines.receive()["result"], "x" * 100)
        self.assert_moved_on_lines(server, lines)

    def assert_moved_on_lines(self, server, lines):
        lines.send_body(encode("info", None))
        self.assertEqual(server.worker_pids(), [lines.receive()["result"]["pid"]])

    def test_with_part_of_its_first_line_sent(self):
        server = self.start_on_a_path()
        for size in (1, 3, 4, 5, 20):
            with self.subTest(size), server.connect() as client:
                line = encode("ping", "x" * 100) + b"\n"
                client.socket.sendall(line[:size])
                handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
                self.reload(server)
                client.socket.sendall(line[size:])
                lines = Lines(client)
                self.assertEqual(lines.receive()["result"], "x" * 100)
                self.assert_moved_on_lines(server, lines)

    def test_keeps_its_dialect(self):
        server = self.start_master()
        client = self.open(server)
        client.send_body(encode("ping", [1], 7))
        self.assertEqual(client.receive(), {"jsonrpc": "2.0", "result": [1], "id": 7})
        article = self.open(server)
        article.result("ping")
        self.reload(server)
        client.send_body(b"{nonsense")
        reply = client.receive()
        self.assertEqual((reply["jsonrpc"], reply["error"]["code"], reply["id"]),
                         ("2.0", -32700, None))
        article.send_body(b"{nonsense")
        self.assertEqual(article.receive()["out"], "error")

    def test_with_a_batch_running(self):
        server = self.start_slow()
        client = self.open(server)
        batch = [json.loads(encode(method, [1], number))
                 for number, method in enumerate(("ping", "slow", "ping"))]
        client.send_body(json.dumps(batch).encode())
        self.wait_until_slow_runs()
        self.control.result("reload")
        self.let_slow_end()
        replies = client.receive()
        self.assertEqual(sorted((reply["id"], reply["result"] in (1, [1])) for reply in replies),
                         [(0, True), (1, True), (2, True)])

    def test_of_more_than_the_master_may_hold(self):
        """It takes from the old worker what it can pass on to the new one."""
        self.need_descriptors(2048)
        if os.geteuid() != 0:
            # test_upgrade.py has this without privileges, as a user that it makes for itself.
            self.skipTest("no user of its own: what other tests have on its way counts for this one")
        for spare, count in ((40, 200), (600, 1200)):
            with self.subTest(spare=spare), contextlib.ExitStack() as stack:
                server = stack.enter_context(handoff.master("-v", workers=1))
                clients = [stack.enter_context(server.connect()) for _ in range(count)]
                for client in clients:
                    client.result("ping")
                before = server.worker_pids()[0]
                _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
                limit = handoff.descriptor_count(server.pid) + spare
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, hard))
                server.kill(signal.SIGHUP)
                server.wait_for_line("reloaded, 1 worker")
                for number, client in enumerate(clients):
                    client.send("ping", number)
                for number, client in enumerate(clients):
                    self.assertEqual(client.receive()["result"], number, server.lines)
                handoff.wait_for(lambda: not handoff.alive(before), "the old worker to leave")
                for client in clients:
                    self.assertNotEqual(self.pid_of(client), before)


class BadSuccessors(TestCase):
    """Workers that do not get ready: the old ones serve on."""

    def setUp(self):
        super().setUp()
        self.script = self.directory / "worker"
        self.write(f'exec {handoff.tool("rpc-worker")} "$@"')

    def write(self, text: str):
        beside = self.directory / "worker.new"
        beside.write_text(f"#!/bin/sh\n{text}\n")
        beside.chmod(0o755)
        beside.rename(self.script)

    def assert_serves_on(self, server, clients, pids, problem: str):
        seen = len(server.lines)
        reply = self.control.call("reload")
        self.assertEqual(reply["out"], "error")
        self.assertRegex(reply["result"]["message"], problem)
        server.wait_for_line(f"cannot reload: .*{problem}.*; the old workers serve on", after=seen)
        self.assertRegex(self.control.result("status")["last_reload_problem"], problem)
        handoff.wait_for(lambda: set(server.worker_pids()) == pids, "the new ones to be gone")
        for client in clients:
            self.assertIn(self.pid_of(client), pids)
        with server.connect() as client:
            self.assertIn(self.pid_of(client), pids)

    def start_scripted(self, *options: str):
        server = self.start_master(*options, workers=2, command=[str(self.script)])
        pids = set(server.worker_pids())
        clients = [self.stack.enter_context(handoff.connect_at(server, pid, pids))
                   for pid in [*pids] * 2]
        return server, clients, pids

    def assert_reloads(self, server, clients, pids):
        """Once there is a good one again."""
        self.reload(server)
        self.assertLessEqual({self.pid_of(client) for client in clients}, set(server.worker_pids()))
        self.assertEqual(pids & set(server.worker_pids()), set())
        self.assertIsNone(self.control.result("status")["last_reload_problem"])

    def test_a_reload_does_not_make_do_with_one_that_was_started_before_it(self):
        gate, mark = self.directory / "gate", self.directory / "mark"
        os.mkfifo(gate)
        os.mkfifo(mark)
        worker = f"exec {handoff.tool('rpc-worker')} -m version='echo"
        self.write(f"{worker} 1'")
        server = self.start_master(command=[str(self.script)])
        self.write(f"echo >{mark}; cat {gate}; {worker} 2'")
        drain = threading.Thread(target=self.control.call, args=("drain", {"worker": 1}))
        drain.start()
        mark.read_text()  # it has read what it is to be
        self.write(f"{worker} 3'")
        server.kill(signal.SIGHUP)
        server.wait_for_line("reloaded, 1 worker")
        drain.join()
        with server.connect() as client:
            self.assertEqual(client.result("version"), 3)

    def test_that_crash(self):
        server, clients, pids = self.start_scripted()
        good = self.script.read_text()
        self.write("echo last words >&2; exit 7")
        for _ in range(3):
            self.assert_serves_on(server, clients, pids, "exit status 7, before it was ready")
        server.wait_for_line("^last words$")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_one_of_them_crashes(self):
        """All or none."""
        server, clients, pids = self.start_scripted()
        good = self.script.read_text()
        self.write(f'test "$HANDOFF_WORKER" = 2 && exit 7; exec {handoff.tool("rpc-worker")}')
        self.assert_serves_on(server, clients, pids, "exit status 7, before it was ready")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_that_hang(self):
        server, clients, pids = self.start_scripted("--ready-timeout", "300ms")
        good = self.script.read_text()
        self.write("exec cat <&$HANDOFF_CHANNEL_FD")
        self.assert_serves_on(server, clients, pids, "before it was ready")
        server.wait_for_line(r"not ready within 300ms, killed")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_that_cannot_be_executed(self):
        server, clients, pids = self.start_scripted()
        good = self.script.read_text()
        self.script.chmod(0o644)
        self.assert_serves_on(server, clients, pids, "Permission denied")
        self.script.unlink()
        self.assert_serves_on(server, clients, pids, "No such file")
        self.write(good)
        self.assert_reloads(server, clients, pids)

    def test_a_link_to_a_new_program_is_followed(self):
        """An upgrade of the workers: a link that is changed, and a reload."""
        server, clients, pids = self.start_scripted()
        version = self.directory / "version-2"
        version.write_text(f'#!/bin/sh\nexec {handoff.tool("rpc-worker")} -m "two=echo 2"\n')
        version.chmod(0o755)
        self.script.unlink()
        self.script.symlink_to(version)
        self.assertEqual(clients[0].call("two")["out"], "error")
        self.reload(server)
        for client in clients:
            self.assertEqual(client.result("two"), 2)

    def test_a_worker_that_asks_to_leave_during_a_failing_reload_is_replaced_later(self):
        server, clients, pids = self.start_scripted("--ready-timeout", "1s")
        good = self.script.read_text()
        mark = self.directory / "mark"
        os.mkfifo(mark)
        self.write(f"echo >{mark}; exec cat <&$HANDOFF_CHANNEL_FD")
        seen = len(server.lines)
        server.kill(signal.SIGHUP)
        mark.read_text()
        leaving = min(pids)
        os.kill(leaving, signal.SIGTERM)
        self.assertIn(self.pid_of(clients[0]), pids)
        self.write(good)
        server.wait_for_line("the old workers serve on", after=seen)
        handoff.wait_for(lambda: not handoff.alive(leaving), "the worker to leave", patience=10)
        for client in clients:
            self.assertNotEqual(self.pid_of(client), leaving)

    def test_a_successor_that_asks_to_leave_before_it_serves_is_replaced(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server, clients, pids = self.start_scripted()
        # The second waits until the first was told to leave.
        self.write(f'test "$HANDOFF_WORKER" = 2 && read x <{gate}; '
                   f'exec {handoff.tool("rpc-worker")}')
        seen = len(server.lines)
        server.kill(signal.SIGHUP)
        line = server.wait_for_line(r"worker 1, pid \d+: ready", after=seen)
        leaving = int(line.rsplit("pid ", 1)[1].split(":")[0])
        os.kill(leaving, signal.SIGTERM)
        self.assertTrue(handoff.alive(leaving))
        gate.write_text("go\n")
        server.wait_for_line("reloaded", after=seen)
        self.write(f'exec {handoff.tool("rpc-worker")}')
        handoff.wait_for(lambda: not handoff.alive(leaving), "the successor to leave", patience=10)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)


class Draining(TestCase):
    def test_a_drained_worker_that_hangs_is_killed_and_counted(self):
        server = self.start_slow("--drain-timeout", "200ms")
        client, idle = self.open(server), self.open(server)
        idle.result("ping")
        client.send("slow")
        self.wait_until_slow_runs()
        before = server.worker_pids()[0]
        self.control.result("reload")
        held = "0 connections" if handoff.PASS == "queue" else "1 connection"
        server.wait_for_line(
            rf"worker 1, pid {before}: still there after 200ms, killed with {held}$")
        if handoff.PASS == "listener":  # it may be too young for the master to have a copy of it
            self.assert_lost_or_died(client)
        else:
            self.assertEqual(client.receive()["result"]["code"], WORKER_DIED)
            self.assertEqual(client.result("ping", "still there"), "still there")
        self.assertEqual(idle.result("ping", "still there"), "still there")

    def assert_lost_or_died(self, client):
        with contextlib.suppress(ConnectionResetError):
            reply = client.receive()
            self.assertTrue(reply is None or reply["result"]["code"] == WORKER_DIED, reply)

    def test_a_drained_worker_that_is_stopped_is_killed_and_what_it_had_not_started_is_served(self):
        server = self.start_master("--drain-timeout", "200ms")
        client = self.open(server)
        client.result("ping")
        before = server.worker_pids()[0]
        handoff.wait_for(lambda: handoff.sleeps(before), "the worker to have nothing to do")
        handoff.stop_process(before)
        waiting = [self.open(server) for _ in range(20)]
        for number, one in enumerate(waiting):
            one.send("ping", number)
        if handoff.PASS == "connection":
            handoff.wait_for(
                lambda: self.control.result("status")["workers"][0]["connections"] == 21,
                "the worker to be given them all")
        self.control.result("reload")
        # Others may have accepted them all, if it was not given them.
        held = {"connection": "21 connections", "listener": r"\d+ connections?",
                "queue": "0 connections"}[handoff.PASS]
        server.wait_for_line(f"still there after 200ms, killed with {held}")
        if handoff.PASS != "listener":
            self.assertEqual(client.result("ping", "still there"), "still there")
        for number, one in enumerate(waiting):
            self.assertEqual(one.receive()["result"], number)

    def test_drain_replaces_one_worker(self):
        server = self.start_master(workers=2)
        clients = [self.open(server) for _ in range(8)]
        for client in clients:
            client.result("ping")
        numbers = self.serving()
        one, two = sorted(numbers, key=numbers.get)
        subprocess.run([handoff.tool("rpc-call"), self.control_path, "drain", "worker:=1"],
                       check=True, capture_output=True, timeout=handoff.PATIENCE)
        handoff.wait_for(lambda: not handoff.alive(one), "the drained worker to leave")
        self.assertIn(two, server.worker_pids())
        self.assertEqual(sorted(self.serving().values()), [1, 2])
        for client in clients:
            self.assertNotEqual(self.pid_of(client), one)
        reply = self.control.call("drain", {"worker": 9})
        self.assertEqual(reply["out"], "error")
        self.assertIn("there is no worker 9", reply["result"]["message"])
        self.assertEqual(self.control.call("drain", {"worker": "1"})["result"]["code"], -32602)

    def open_at_both(self, server, joined: int) -> list:
        pids = [joined, *server.worker_pids()]
        return [self.stack.enter_context(handoff.connect_at(server, pid, pids))
                for pid in pids * 4]

    def test_drain_of_a_worker_that_joined_sends_it_away(self):
        path = str(self.directory / "join")
        server = self.start_master("-j", path)
        joined = self.start(handoff.Server(handoff.tool("rpc-worker"), "-j", path, ready=False))
        handoff.wait_for(lambda: joined.pid in self.serving(), "the worker to join")
        clients = self.open_at_both(server, joined.pid)
        self.control.result("drain", {"worker": 2})
        self.assertEqual(joined.process.wait(handoff.PATIENCE), 0)
        for client in clients:
            self.assertEqual([self.pid_of(client)], server.worker_pids())

    def test_workers_that_joined_stay_through_a_reload(self):
        path = str(self.directory / "join")
        server = self.start_master("-j", path)
        joined = self.start(handoff.Server(handoff.tool("rpc-worker"), "-j", path, ready=False))
        handoff.wait_for(lambda: joined.pid in self.serving(), "the worker to join")
        clients = self.open_at_both(server, joined.pid)
        before = [self.pid_of(client) for client in clients]
        self.reload(server)
        self.assertIn(joined.pid, self.serving())
        for client, pid in zip(clients, before):
            if handoff.PASS == "queue":  # whoever is free
                self.assertIn(self.pid_of(client), [joined.pid, *server.worker_pids()])
            elif pid == joined.pid:
                self.assertEqual(self.pid_of(client), pid)
            else:
                self.assertNotEqual(self.pid_of(client), pid)

    def test_a_master_without_a_command_says_so(self):
        path = str(self.directory / "join")
        words = [handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-j", path,
                 "-c", self.control_path, *handoff.passing()]
        server = self.start(handoff.Server(*words, ready=False))
        server.wait_for_line(": ready, ")
        server.kill(signal.SIGHUP)
        server.wait_for_line("cannot reload: there is no command to start; workers that joined stay")

    def test_status_and_metrics_tell_of_reloads(self):
        server = self.start_master(workers=2)
        self.open(server).result("ping")
        for _ in range(2):
            self.reload(server)
        status = self.control.result("status")
        self.assertEqual((status["state"], status["reloads"], status["pid"], status["connections"]),
                         ("ready", 2, server.pid, 1))
        metrics = self.control.result("metrics")
        self.assertIn("\nhandoff_reloads_total 2\n", metrics)
        self.assertIn('\nhandoff_worker_ready{worker="2"} 1\n', metrics)


@handoff.only("connection", because="nobody is chosen")
class Balance(TestCase):
    def held(self) -> dict:
        return {one["worker"]: one["connections"] for one in self.workers()}

    def test_least_evens_out_long_connections(self):
        server = self.start_master("--balance", "least", workers=3)
        clients = [self.open(server) for _ in range(12)]
        numbers = self.serving()
        at = [numbers[self.pid_of(client)] for client in clients]
        self.assertEqual(sorted(at), sorted([1, 2, 3] * 4))
        for client, number in zip(clients, at):
            if number == 1:
                client.close()
        handoff.wait_for(lambda: self.held() == {1: 0, 2: 4, 3: 4}, "worker 1 to have none")
        fresh = [self.open(server) for _ in range(4)]
        self.assertEqual({numbers[self.pid_of(client)] for client in fresh}, {1})
        self.assertEqual(self.held(), {1: 4, 2: 4, 3: 4})

    def test_among_those_that_hold_as_few_least_chooses_the_one_with_the_fewest_calls(self):
        server = self.start_slow("--balance", "least", workers=2)
        first, second = [self.open(server) for _ in range(2)]
        pids = [self.pid_of(client) for client in (first, second)]
        self.assertEqual(set(pids), set(server.worker_pids()))
        first.send("slow")
        self.wait_until_slow_runs()
        third = self.open(server)
        self.assertEqual(self.pid_of(third), pids[1], "though it is the other's turn")
        self.let_slow_end()
        first.receive()

    def test_least_gives_nothing_to_one_that_does_not_start_what_it_has(self):
        server = self.start_master("--balance", "least", workers=2)
        stopped, other = server.worker_pids()
        handoff.stop_process(stopped)
        handoff.wait_for(lambda: self.held() == {1: 0, 2: 0}, "both to be idle")
        clients = [self.open(server) for _ in range(2)]
        for client in clients:
            client.send("info")
        served, _, _ = select.select([client.socket for client in clients], [], [],
                                     handoff.PATIENCE)
        self.assertEqual(len(served), 1)
        # The other has one too, which it has started; among equals it goes in turn.
        busy = [client for client in clients if client.socket in served]
        for client in busy:
            self.assertEqual(client.receive()["result"]["pid"], other)
            client.close()
            clients.remove(client)
        for _ in range(20):
            handoff.wait_for(lambda: self.held() == {1: 1, 2: 0}, "the last client to be gone")
            with server.connect() as client:
                self.assertEqual(self.pid_of(client), other)
        os.kill(stopped, signal.SIGCONT)
        self.assertEqual([client.receive()["result"]["pid"] for client in clients], [stopped])

    def test_hash_gives_an_address_to_the_same_worker_also_after_a_reload(self):
        server = self.start_master("--balance", "hash", workers=4)
        hosts = [f"127.0.0.{number}" for number in range(2, 42)]
        first = self.numbers_of(server, hosts)
        self.assertEqual(self.numbers_of(server, reversed(hosts)), first)
        shares = [sum(number == one for one in first.values()) for number in (1, 2, 3, 4)]
        self.assertGreater(min(shares), 0, f"all of them are used: {shares}")
        self.reload(server)
        self.assertEqual(self.numbers_of(server, hosts), first)
        # When one goes, only its own addresses move.
        self.control.result("scale", {"workers": 3})
        handoff.wait_for(lambda: len(server.worker_pids()) == 3, "a worker to leave")
        after = self.numbers_of(server, hosts)
        for host in hosts:
            if first[host] != 4:
                self.assertEqual(after[host], first[host])

    def test_hash_keeps_long_connections_with_their_worker_number(self):
        server = self.start_master("--balance", "hash", workers=4)
        clients = []
        for number in range(2, 18):
            client = self.open(server)
            client.close()
            client.socket = self.stack.enter_context(socket.create_connection(
                server.address, handoff.PATIENCE, (f"127.0.0.{number}", 0)))
            clients.append(client)
        numbers = self.serving()
        first = [numbers[self.pid_of(client)] for client in clients]
        self.reload(server)
        numbers = self.serving()
        self.assertEqual([numbers[self.pid_of(client)] for client in clients], first)

    def numbers_of(self, server, hosts) -> dict:
        """Which worker serves which address."""
        numbers = self.serving()
        found = {}
        for host in hosts:
            with server.connect() as client:
                client.close()
                client.socket = socket.create_connection(server.address, handoff.PATIENCE,
                                                         (host, 0))
                found[host] = numbers[self.pid_of(client)]
        return found


class Stopping(TestCase):
    def test_what_is_answered_is_answered_once(self):
        server = self.start_master(workers=2)
        clients = [Caller(server.address) for _ in range(16)]
        for client in clients:
            client.start()
        handoff.wait_for(lambda: all(client.received > 20 for client in clients), "some load")
        server.kill(signal.SIGTERM)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        for client in clients:
            client.join(handoff.PATIENCE)
            self.assertFalse(client.is_alive(), "nobody hangs")
            self.assertIsNone(client.problem)
            self.assertLessEqual(client.received, client.sent)
        with self.assertRaises(ConnectionRefusedError):
            handoff.Connection(server.address)

    def test_while_it_reloads(self):
        """The new workers leave too."""
        server = self.start_master(workers=2)
        client = self.open(server)
        client.result("ping")
        server.kill(signal.SIGHUP)
        server.wait_for_line(": reloading")
        self.assertEqual(server.stop(), 0)
        self.assertIsNone(client.receive())

    def test_past_the_deadline_what_hangs_is_cut_off_and_counted(self):
        server = self.start_slow("--drain-timeout", "200ms", workers=2)
        hanging = self.open(server)
        hanging.send("slow")
        self.wait_until_slow_runs()
        clients = [Caller(server.address) for _ in range(8)]
        for client in clients:
            client.start()
        handoff.wait_for(lambda: all(client.received > 20 for client in clients), "some load")
        self.assertEqual(server.stop(), 124)
        for client in clients:
            client.join(handoff.PATIENCE)
            self.assertIsNone(client.problem)
        server.wait_for_line("ended with 1 connection cut off and 1 worker killed")


class Caller(threading.Thread):
    """Keeps requests on their way until the server ends the connection."""

    AHEAD = 8

    def __init__(self, address):
        super().__init__(daemon=True)
        self.client = handoff.Connection(address)
        self.sent = 0
        self.received = 0
        self.problem = None

    def run(self):
        with self.client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                while self.sent < self.received + self.AHEAD:
                    self.sent += 1
                    self.client.send("ping", self.sent)
                reply = self.client.receive()
                if reply is None:
                    return
                self.received += 1
                if reply != {"out": "pong", "result": self.received}:
                    self.problem = f"{reply} as reply {self.received}"
                    return


if __name__ == "__main__":
    handoff.run_tests()
