# SPDX-License-Identifier: MIT
"""--pass queue: the master serves the clients, and gives their requests to workers through shared
memory. What clients see of it: all dialects, the order, limits; and how workers come and go."""

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
QUEUE_WORKER = str(handoff.ROOT / "tests" / "support" / "queue_worker.py")

HANDLER_FAILED, TIMED_OUT, BUSY, WORKER_DIED = -32001, -32002, -32003, -32004

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0
MIB = 1024 * 1024


class Load:
    """Connections that call `ping` with values that no other call has, some ahead of the replies.
    Each reply must be the right one, or an error that is allowed."""

    def __init__(self, address, connections: int = 4, ahead: int = 8, allowed=(), calls=None,
                 patience: float = QUICK):
        self.address = address
        self.ahead = ahead
        self.allowed = set(allowed)
        self.calls = calls  # of each connection; without end
        self.patience = patience
        self.answered = [0] * connections
        self.errors: dict[int, int] = {}
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                         for number in range(connections)]

    def _run(self, number: int):
        try:
            with handoff.Connection(self.address, timeout=self.patience) as client:
                self._call(client, number)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(f"client {number}, call {self.answered[number]}: {error!r}")

    def _call(self, client, number: int):
        received = client.socket.makefile("rb", 65536)
        while not self._stop.is_set() and self.answered[number] != self.calls:
            first = self.answered[number]
            client.socket.sendall(b"".join(
                handoff.frame(b'{"in":"ping","params":"%d-%d"}' % (number, first + i))
                for i in range(self.ahead)))
            for i in range(self.ahead):
                self._check(received, b'{"out":"pong","result":"%d-%d"}' % (number, first + i))
                self.answered[number] += 1

    def _check(self, received, expected: bytes):
        header = received.read(4)
        if len(header) < 4:
            raise EOFError("the connection was closed")
        body = received.read(struct.unpack("<I", header)[0])
        if body == expected:
            return
        reply = json.loads(body)
        code = reply["result"]["code"] if reply["out"] == "error" else None
        if code not in self.allowed:
            raise AssertionError(f"{body!r} instead of {expected!r}")
        with self._lock:
            self.errors[code] = self.errors.get(code, 0) + 1

    def go_on(self, calls: int = 3):
        """Waits until each connection has had so many more replies."""
        wanted = [count + calls for count in self.answered]
        handoff.wait_for(
            lambda: self.failures or all(map(int.__ge__, self.answered, wanted)), "more replies")

    def join(self):
        """Until all calls are done."""
        for thread in self._threads:
            thread.join(60 * handoff.PATIENCE)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self.join()


class QueueTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.control = self.path("control")
        self.gates: dict[str, int] = {}
        self.addCleanup(self.open_gates)  # commands that wait would keep servers from ending

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def launch(self, *options: str, workers: int = 2, command=(WORKER,), **server):
        return self.start(handoff.master("--pass", "queue", "-c", self.control, *options,
                                         workers=workers, command=list(command), **server))

    def ask(self, method: str, params=None):
        with handoff.Connection(self.control) as client:
            return client.result(method, params)

    def queue(self) -> dict:
        return self.ask("status")["queue"]

    def wait_for_queue(self, **expected: int) -> dict:
        def as_expected():
            counts = self.queue()
            return counts if expected.items() <= counts.items() else None
        return handoff.wait_for(as_expected, f"the queue to have {expected}", QUICK)

    def gate(self, name: str = "gate") -> str:
        """Whoever reads it waits until the test opens it: what then comes is its end."""
        path = self.path(name)
        os.mkfifo(path)
        self.gates[path] = os.open(path, os.O_RDWR)
        return path

    def open_gates(self):
        for path in list(self.gates):
            self.open_gate(path)

    def open_gate(self, path: str):
        """For all who wait there, and all who come."""
        pathlib.Path(path + ".open").touch()
        os.rename(path + ".open", path)
        os.close(self.gates.pop(path))

    def clients(self, server, count: int) -> list:
        return [self.open(server) for _ in range(count)]

    @staticmethod
    def waiting_at(gate: str) -> str:
        """A command that waits there."""
        return f"cat {gate}; echo '\"opened\"'"

    def assert_unanswered(self, clients, seconds: float = 0.1):
        readable = select.select([client.socket for client in clients], [], [], seconds)[0]
        self.assertEqual(readable, [])

    def assert_whole(self, server, limit: int, workers=None):
        """No place in the queue is lost: as many calls as may be are in it, and are answered."""
        self.wait_for_queue(waiting=0, running=0)
        pids = workers or server.worker_pids()
        clients = self.clients(server, limit)
        for pid in pids:
            handoff.stop_process(pid)
        try:
            for number, client in enumerate(clients):
                client.send("ping", number)
            handoff.wait_for(lambda: self.queue()["waiting"] + self.queue()["running"] == limit,
                             f"{limit} calls to be in the queue", QUICK)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
            client.close()
        self.wait_for_queue(waiting=0, running=0)

    def assert_error(self, reply, code: int):
        self.assertEqual(reply["out"], "error", reply)
        self.assertEqual(reply["result"]["code"], code, reply)


def answers(address, sent: bytes) -> bytes:
    """All that comes back."""
    with handoff.Connection(address) as client:
        client.socket.sendall(sent)
        client.socket.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.socket.recv(65536):
            received += piece
        return received


class Serving(QueueTest):
    def test_clients_can_not_tell_it_from_a_worker_alone(self):
        methods = ["-m", "sum=jq -c add", "-m", "fails=echo oops >&2; exit 3",
                   "-m", 'about=printf \'"%s %s"\' "$RPC_METHOD" "${RPC_ID-none}"']
        frames = [b'{"in":"ping","params":[1,{"a":null}]}', b'{"in":"echo"}', b'{"in":"none"}',
                  b'{"in":"ping","params":"x","id":"one"}', b'{"in":"sum","params":[1,2.5],"id":7}',
                  b'{"in":"fails"}', b'{"in":"about","id":"\\u00e9"}', b'{"in":1}', b'{', b'[]',
                  b'{"jsonrpc":"2.0","method":"sum","params":[4],"id":null}', b'{"in":"about"}',
                  b'{"jsonrpc":"2.0","method":"ping","params":[1]}', b"nothing",
                  b'{"jsonrpc":"2.0","method":"none","id":1}',
                  b'[{"jsonrpc":"2.0","method":"ping","id":1},3]',
                  b'[{"jsonrpc":"2.0","method":"ping"}]', b'{"in":"ping","params":"last"}']
        alone = self.start(handoff.worker(*methods))
        server = self.launch(command=[WORKER, *methods])
        for body in frames:
            with self.subTest(body):
                for sent in (handoff.frame(body), body + b"\n"):
                    replies = answers(server.address, sent), answers(alone.address, sent)
                    if body.startswith(b"[{") and replies[0]:  # in any order
                        replies = [sorted(map(str, json.loads(reply[reply.index(b"["):])))
                                   for reply in replies]
                    self.assertEqual(*replies)

    def test_a_handler_knows_its_client(self):
        server = self.launch(command=[WORKER, "-m", 'peer=printf \'"%s"\' "$RPC_PEER"'])
        client = self.open(server)
        host, port = client.socket.getsockname()
        self.assertEqual(client.result("peer"), f"{host}:{port}")

    def test_a_reply_of_many_lines_is_one_line_to_those_who_want_lines(self):
        server = self.launch(command=[WORKER, "-m", 'pretty=printf \'{\\n "a": [1,\\n2]\\n}\\n\''])
        self.assertEqual(answers(server.address, b'{"in":"pretty"}\n').count(b"\n"), 1)

    def test_replies_without_ids_keep_the_order_whichever_worker_is_quicker(self):
        gate = self.gate()
        server = self.launch(command=[WORKER, "-C", "1", "-m", "slow=" + self.waiting_at(gate)])
        client, other = self.clients(server, 2)
        client.send("slow")
        self.wait_for_queue(running=1)
        for number in range(100):
            client.send("ping", number)
        for number in range(100):
            self.assertEqual(other.result("ping", number), number)
        client.send("ping", "overtakes", id="x")
        self.assertEqual(client.receive(), {"out": "pong", "result": "overtakes", "id": "x"})
        self.assert_unanswered([client])
        self.open_gate(gate)
        self.assertEqual(client.receive(), {"out": "slow", "result": "opened"})
        for number in range(100):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def test_the_oldest_goes_to_the_next_worker_that_is_free(self):
        gate = self.gate()
        log = self.path("log")
        server = self.launch(workers=1, command=[
            WORKER, "-C", "1", "-m", "slow=" + self.waiting_at(gate),
            "-m", f"log=cat >>{log}; echo >>{log}"])
        blocking, *clients = self.clients(server, 21)
        blocking.send("slow")
        self.wait_for_queue(running=1)
        for number, client in enumerate(clients):
            client.send("log", number)
            self.wait_for_queue(running=1, waiting=number + 1)
        self.open_gate(gate)
        for client in clients:
            client.receive()
        lines = pathlib.Path(log).read_text().split()
        self.assertEqual(lines, [str(number) for number in range(20)])

    def test_a_worker_that_is_slow_gets_what_it_can_do_and_others_take_the_rest(self):
        gate = self.gate()
        server = self.launch(workers=3,
                             command=[WORKER, "-C", "1", "-m", "slow=" + self.waiting_at(gate)])
        blocking = self.open(server)
        blocking.send("slow")
        self.wait_for_queue(running=1)
        with Load(server.address, calls=800, ahead=8) as load:
            load.join()
        self.assertEqual(load.failures, [])
        self.assert_unanswered([blocking], 0)
        self.open_gate(gate)
        self.assertEqual(blocking.receive()["result"], "opened")

    def test_no_worker_has_more_calls_than_it_said(self):
        gate = self.gate()
        server = self.launch(workers=2,
                             command=[WORKER, "-C", "3", "-m", "slow=" + self.waiting_at(gate)])
        clients = self.clients(server, 10)
        for client in clients:
            client.send("slow")
        self.wait_for_queue(running=6, waiting=4)
        for pid in server.worker_pids():
            handoff.wait_for(lambda: len(handoff.children(pid)) == 3, "three commands", QUICK)
        self.assert_unanswered(clients)
        self.open_gate(gate)
        self.assertEqual([client.receive()["result"] for client in clients], ["opened"] * 10)

    def test_long_requests_run_at_a_time_as_short_ones_do(self):
        """A worker that has read what it has can be given more at once, also by a master that
        sleeps."""
        gate = self.gate()
        started = self.path("started.")
        server = self.launch(workers=1, command=[
            WORKER, "-C", "8", "-m",
            f"slow=cat >/dev/null; : >{started}$$; {self.waiting_at(gate)}"])
        (pid,) = server.worker_pids()
        handoff.stop_process(pid)
        clients = self.clients(server, 6)
        for client in clients:
            client.send("slow", "x" * 900_000)
        handoff.wait_for(lambda: sum(self.queue()[what] for what in ("waiting", "running")) == 6,
                         "six requests to be in the queue", QUICK)
        os.kill(pid, signal.SIGCONT)
        # Without asking the master, which would wake it.
        handoff.wait_for(lambda: len(list(self.directory.glob("started.*"))) == 6,
                         "six long requests to run", QUICK)
        self.open_gate(gate)
        self.assertEqual([client.receive()["result"] for client in clients], ["opened"] * 6)

    def test_bodies_may_be_as_long_as_a_frame(self):
        for size, options in ((MIB, []), (8 * MIB, ["--max-frame", "8MiB"])):
            with self.subTest(size):
                self.control = self.path(f"control-{size}")
                server = self.launch(*options, command=[WORKER, *options])
                client = self.open(server)
                body = b'{"in":"echo","params":"%s"}'
                text = b"x" * (size - len(body % b""))
                for _ in range(5):
                    client.send_body(body % text)
                    # What is not in the request is in the reply.
                    reply = client.receive()
                    self.assert_error(reply, HANDLER_FAILED)
                    shorter = text[:-10]
                    client.send_body(body % shorter)
                    self.assertTrue(client.receive() ==
                                    {"out": "echo", "result": shorter.decode()})
                many = self.clients(server, 6)
                for number, other in enumerate(many):
                    other.send_body(body % (b"%d" % number + shorter[1:]))
                for number, other in enumerate(many):
                    self.assertTrue(other.receive()["result"].startswith(f"{number}xx"))

    def test_a_reply_that_is_too_long_is_an_error_and_the_connection_lives_on(self):
        make = "head -c {} /dev/zero | tr '\\0' x | sed 's/.*/\"&\"/'"
        server = self.launch("--max-frame", "100000", command=[
            WORKER, "-m", "big=" + make.format(99_995), "-m", "bigger=" + make.format(300_000),
            "-m", "fits=" + make.format(99_000)])
        client = self.open(server)
        for _ in range(3):
            self.assert_error(client.call("big"), HANDLER_FAILED)
            self.assert_error(client.call("bigger"), HANDLER_FAILED)
            self.assertEqual(client.result("fits"), "x" * 99_000)
            self.assertEqual(client.result("ping", 1), 1)
        self.wait_for_queue(waiting=0, running=0)

    def test_a_call_that_takes_too_long_is_an_error_and_its_place_is_free_again(self):
        server = self.launch("--timeout", "300ms", "--queue-limit", "4",
                             command=[WORKER, "-m", "hangs=sleep 1000"])
        clients = self.clients(server, 4)
        for _ in range(2):
            for client in clients:
                client.send("hangs")
            for client in clients:
                self.assert_error(client.receive(), TIMED_OUT)
        self.wait_for_queue(waiting=0, running=0, late=0)

    def test_what_waits_for_a_worker_too_long_is_an_error(self):
        server = self.launch("--timeout", "300ms", workers=1, command=[WORKER, "-C", "1"])
        (pid,) = server.worker_pids()
        handoff.stop_process(pid)
        clients = self.clients(server, 5)
        for client in clients:
            client.send("ping")
        for client in clients:
            self.assert_error(client.receive(), TIMED_OUT)
        os.kill(pid, signal.SIGCONT)
        self.wait_for_queue(running=0, late=1)
        self.assertEqual(clients[0].result("ping", 1), 1)
        self.assertEqual(self.queue()["late"], 1)

    def test_a_client_that_goes_leaves_nothing_behind(self):
        server = self.launch("--queue-limit", "4", command=[
            WORKER, "-m", f"slow=read n; {self.waiting_at(self.path('gate$n'))}"])
        for number in range(3):
            gate = self.gate(f"gate{number}")
            clients = self.clients(server, 4)
            for client in clients:
                client.send("slow", number)
            self.wait_for_queue(running=4)
            for client in clients:
                client.close()
            self.open_gate(gate)
            self.wait_for_queue(waiting=0, running=0)
        self.assert_whole(server, 4)

    def test_options_of_the_queue_are_refused_without_it(self):
        for options in (["--idempotent", "ping"], ["--queue-limit", "5"], ["--timeout", "1s"],
                        ["--max-frame", "1000"]):
            for model in ("connection", "listener"):
                with self.subTest(options + [model]):
                    done = subprocess.run(
                        [handoff.tool("rpc-master"), "--pass", model, "-l", "127.0.0.1:0",
                         *options, "--", WORKER], capture_output=True, text=True,
                        timeout=handoff.PATIENCE)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertRegex(done.stderr, f"^rpc-master: {options[0]}.*queue.*\n$")

    def test_options_that_do_not_go_with_it_are_refused(self):
        for options in (["--handshake", "none"], ["--balance", "least"], ["--queue-limit", "0"]):
            with self.subTest(options):
                done = subprocess.run(
                    [handoff.tool("rpc-master"), "--pass", "queue", "-l", "127.0.0.1:0", *options,
                     "--", WORKER], capture_output=True, text=True, timeout=handoff.PATIENCE)
                self.assertEqual(done.returncode, 2, done.stderr)


class Full(QueueTest):
    """Of a queue in which there are as many requests as may be."""

    def setUp(self):
        super().setUp()
        self.server = self.launch("--queue-limit", "8", "--timeout", "0", command=[WORKER])
        self.open(self.server).result("ping")
        self.pids = self.server.worker_pids()
        for pid in self.pids:
            handoff.stop_process(pid)
        self.addCleanup(self.let_them_go_on)

    def let_them_go_on(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def test_reading_pauses_and_memory_is_bounded(self):
        before = handoff.resident_bytes(self.server.pid)
        clients = self.clients(self.server, 4)
        sent = {client: 0 for client in clients}
        rest = {client: memoryview(b"") for client in clients}
        by_socket = {client.socket: client for client in clients}
        for client in clients:
            client.socket.setblocking(False)
        # The kernel's buffers are full when none has taken anything for a second.
        while writable := select.select([], list(by_socket), [], 1)[1]:
            for client in map(by_socket.get, writable):
                if not rest[client]:
                    body = b'{"in":"ping","params":"%d-%s"}' % (sent[client], b"x" * 500_000)
                    rest[client] = memoryview(handoff.frame(body))
                    sent[client] += 1
                with contextlib.suppress(BlockingIOError):
                    rest[client] = rest[client][client.socket.send(rest[client]):]
            self.assertLess(sum(sent.values()), 400, "it reads on")
        # 8 in the queue, one that waits on each connection, and one that was not read to its end.
        if not handoff.SANITIZED:
            self.assertLess(handoff.resident_bytes(self.server.pid) - before, 40 * MIB)
        self.let_them_go_on()
        for client in clients:
            client.socket.settimeout(handoff.PATIENCE)
            sender = threading.Thread(target=client.socket.sendall, args=(rest[client],))
            sender.start()
            for number in range(sent[client]):
                reply = client.receive()
                self.assertEqual(reply["out"], "pong", reply)
                self.assertTrue(reply["result"].startswith(f"{number}-xx"))
            sender.join()
        self.assertEqual(self.queue()["late"], 0)

    def test_who_sends_more_at_once_than_may_wait_is_only_read_more_slowly(self):
        client = self.open(self.server)
        client.socket.sendall(b"".join(
            handoff.frame(b'{"in":"ping","params":%d}' % number) for number in range(30)))
        # One waits, besides those in the queue; what is behind it is not read.
        handoff.wait_for(lambda: self.queue()["waiting"] + self.queue()["running"] == 8,
                         "8 calls to be in the queue", QUICK)
        self.assert_unanswered([client])
        self.let_them_go_on()
        for number in range(30):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def test_beyond_twice_the_limit_the_answer_is_busy_at_once(self):
        clients = self.clients(self.server, 30)
        for number, client in enumerate(clients):
            client.send("ping", number)
        busy = []

        def are_told():
            busy.extend(select.select([client.socket for client in clients
                                       if client.socket not in busy], [], [], 0)[0])
            return len(busy) == 14
        handoff.wait_for(are_told, "14 to be told", QUICK)
        waiting = [client for client in clients if client.socket not in busy]
        self.assert_unanswered(waiting)
        for client in clients:
            if client not in waiting:
                self.assert_error(client.receive(), BUSY)
        self.let_them_go_on()
        for number, client in enumerate(clients):
            if client in waiting:
                self.assertEqual(client.receive(), {"out": "pong", "result": number})
        for client in clients:
            self.assertEqual(client.result("ping", "usable"), "usable")
        self.assert_whole(self.server, 8)


class Watching(QueueTest):
    """From outside, in /proc."""

    @staticmethod
    def maps(pid: int) -> dict[str, list[str]]:
        """The protections of the memories, by name."""
        found: dict[str, list[str]] = {}
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            if match := re.search(r" (....) .*/memfd:(handoff-\w+)", line):
                found.setdefault(match.group(2), []).append(match.group(1))
        return found

    @staticmethod
    def links(pid: int) -> list[str]:
        folder = f"/proc/{pid}/fd"
        return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]

    def test_workers_map_the_memory_as_they_may_and_hold_no_socket_of_a_client(self):
        server = self.launch("-l", "127.0.0.1:0", "-l", self.path("unix"), workers=3)
        clients = self.clients(server, 5)
        for client in clients:
            client.result("ping")
        workers = server.worker_pids()
        self.assertEqual(len(workers), 3)
        for pid in workers:
            self.assertEqual(self.maps(pid), {"handoff-requests": ["r--s"],
                                              "handoff-replies": ["rw-s"],
                                              "handoff-ledger": ["rw-s"]})
            sockets = [link for link in self.links(pid) if link.startswith("socket:")]
            self.assertEqual(len(sockets), 1, "its channel alone")
        # One ledger has what the master counts itself.
        self.assertEqual(self.maps(server.pid), {"handoff-requests": ["rw-s"] * 3,
                                                 "handoff-replies": ["r--s"] * 3,
                                                 "handoff-ledger": ["rw-s"] * 4})
        inodes = [pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in workers]
        files = [re.findall(r" (\d+) +/memfd:handoff", text) for text in inodes]
        self.assertEqual(len({number for three in files for number in three}), 9, "nobody shares")

    def test_a_command_gets_none_of_it(self):
        server = self.launch(command=[WORKER, "--text", "-m", "fds=ls -l /proc/$$/fd/"])
        listing = self.open(server).result("fds")
        self.assertNotIn("handoff-r", listing)
        self.assertNotIn("socket", listing)

    @staticmethod
    def switches(pids) -> list[int]:
        total = []
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                text = (task / "status").read_text()
                total.append(int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text).group(1)))
        return total

    def test_when_nothing_happens_nobody_runs(self):
        server = self.launch(workers=3, command=[WORKER, "-C", "4"])
        with Load(server.address, calls=400) as load:
            load.join()
        self.assertEqual(load.failures, [])
        client = self.open(server)
        self.assertEqual(client.result("ping", 1), 1)
        pids = [server.pid, *server.worker_pids()]
        last = []

        def are_quiet():
            last.append(self.switches(pids))
            return len(last) > 20 and last[-1] == last[-20]
        handoff.wait_for(are_quiet, "all to sleep", QUICK)
        before = self.switches(pids), list(map(handoff.cpu_seconds, pids))
        self.assert_unanswered([client], 2)
        self.assertEqual((self.switches(pids), list(map(handoff.cpu_seconds, pids))), before)
        self.assertEqual(client.result("ping", 2), 2)


class Changing(QueueTest):
    """Workers come and go, and the master too: no client notices."""

    def setUp(self):
        super().setUp()
        self.slow = self.gate()
        self.command = [WORKER, "-m", "slow=" + self.waiting_at(self.slow)]

    def test_a_reload_changes_the_workers_and_not_the_connections(self):
        server = self.launch(command=self.command)
        client, busy = self.clients(server, 2)
        busy.send("slow")
        self.wait_for_queue(running=1)
        with Load(server.address) as load:
            for _ in range(handoff.count(20, 3)):
                load.go_on()
                said = len(server.lines)
                before = set(server.worker_pids())
                server.kill(signal.SIGHUP)
                server.wait_for_line("reloaded, 2 workers", said)
                load.go_on()
                self.assertNotIn(client.result("info")["pid"], before)
        self.assertEqual((load.failures, load.errors), ([], {}))
        self.open_gate(self.slow)
        self.assertEqual(busy.receive(), {"out": "slow", "result": "opened"})
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the old workers to end", QUICK)
        self.assertEqual(busy.result("ping", 1), 1)
        counts = self.queue()
        self.assertEqual((counts["died"], counts["redispatched"]), (0, 0))
        self.assertEqual(self.ask("status")["accepted"], 6)

    def test_a_drain_and_a_scale_change_the_workers_and_not_the_connections(self):
        server = self.launch(workers=3, command=self.command)
        with Load(server.address) as load:
            for number in (1, 2, 3):
                pids = set(server.worker_pids())
                self.ask("drain", {"worker": number})
                handoff.wait_for(lambda: len(set(server.worker_pids()) - pids) == 1 and
                                 len(server.worker_pids()) == 3, "another worker", QUICK)
                load.go_on()
            for count in (1, 4, 2):
                self.ask("scale", {"workers": count})
                handoff.wait_for(lambda: len(server.worker_pids()) == count, "as many", QUICK)
                load.go_on()
        self.assertEqual((load.failures, load.errors), ([], {}))
        self.assert_whole(server, 16)

    def test_workers_that_have_had_enough_are_replaced(self):
        server = self.launch(workers=2, command=[WORKER, "--max-requests", "200,50"])
        first = set(server.worker_pids())
        with Load(server.address, calls=handoff.count(100_000, 2_000)) as load:
            load.join()
        self.assertEqual((load.failures, load.errors), ([], {}))
        self.assertFalse(first & set(server.worker_pids()))
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the old ones to end", QUICK)
        counts = self.wait_for_queue(waiting=0, running=0)
        self.assertEqual((counts["died"], counts["redispatched"]), (0, 0))

    def test_workers_that_joined_serve_and_leave(self):
        door = self.path("join")
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "--pass", "queue", "-l", "127.0.0.1:0", "-j", door,
            "-c", self.control, ready=False))
        line = server.wait_for_line(": ready, .* on ")
        server.addresses = [handoff.parse_address(re.search(" on ([^ ]+)", line).group(1))]
        client = self.open(server)
        client.send("info")
        self.assert_unanswered([client])
        leaving = self.joined(door)
        self.assertEqual(client.receive()["result"]["pid"], leaving.pid)
        client.send("slow")
        self.wait_for_queue(running=1)
        with Load(server.address) as load:
            for number in range(3):
                load.go_on()
                following = self.joined(door)
                leaving.kill(signal.SIGTERM)
                load.go_on()
                handoff.wait_for(lambda: following.pid in self.pids(server, 4), "the other", QUICK)
                if number == 0:
                    self.open_gate(self.slow)
                self.assertEqual(leaving.process.wait(QUICK), 0)
                leaving = following
        self.assertEqual((load.failures, load.errors), ([], {}))
        self.assertEqual(client.receive(), {"out": "slow", "result": "opened"})
        self.assertEqual(client.result("info")["pid"], leaving.pid)

    def joined(self, door: str) -> handoff.Server:
        server = self.start(handoff.Server(WORKER, "-j", door, *self.command[1:], ready=False))
        server.wait_for_line("joined, on ")
        return server

    def pids(self, server, count: int) -> list[int]:
        with server.connect() as client:
            return [client.result("info")["pid"] for _ in range(count)]

    def test_an_upgrade_changes_all_and_the_connections_stay(self):
        server = self.launch(command=self.command)
        client, busy = self.clients(server, 2)
        address = client.socket.getsockname()
        old = {client.result("info")["pid"] for _ in range(4)}
        busy.send("slow")
        busy.send("ping", "behind")
        self.wait_for_queue(running=1)
        with Load(server.address) as load:
            load.go_on()
            server.kill(signal.SIGUSR2)
            line = server.wait_for_line("upgraded, pid [0-9]+ takes over")
            successor = int(re.search("pid ([0-9]+)", line).group(1))
            load.go_on()
            self.assertNotIn(client.result("info")["pid"], old)
            self.open_gate(self.slow)
            self.assertEqual(busy.receive(), {"out": "slow", "result": "opened"})
            self.assertEqual(busy.receive(), {"out": "pong", "result": "behind"})
            handoff.wait_for(lambda: handoff.children(server.pid) == [successor],
                             "the old workers to end", QUICK)
            load.go_on()
            self.assertNotIn(busy.result("info")["pid"], old)
        self.assertEqual((load.failures, load.errors), ([], {}))
        self.assertEqual(client.socket.getsockname(), address)
        self.assertEqual(self.ask("status")["pid"], successor)
        self.assertEqual(server.stop(), 0)

    def test_term_finishes_what_runs_and_what_waits(self):
        server = self.launch(workers=1, command=[*self.command, "-C", "2"])
        idle, *busy = self.clients(server, 5)
        idle.result("ping")
        for client in busy:
            client.send("slow")
        self.wait_for_queue(running=2, waiting=2)
        server.kill(signal.SIGTERM)
        self.assertIsNone(idle.receive())
        self.assert_unanswered(busy)
        self.open_gate(self.slow)
        for client in busy:
            self.assertEqual(client.receive(), {"out": "slow", "result": "opened"})
            self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(QUICK), 0, server.lines)

    def test_a_second_term_is_immediate(self):
        server = self.launch(command=self.command)
        client = self.open(server)
        client.send("slow")
        self.wait_for_queue(running=1)
        workers = server.worker_pids()
        server.kill(signal.SIGTERM)
        self.assert_unanswered([client])
        server.kill(signal.SIGTERM)
        self.assertEqual(server.process.wait(QUICK), 124, server.lines)
        self.assertFalse(any(map(handoff.alive, workers)))
        with contextlib.suppress(ConnectionResetError):
            if reply := client.receive():
                self.assert_error(reply, WORKER_DIED)

    def test_when_the_master_dies_its_workers_finish_and_end(self):
        server = self.launch(command=self.command)
        client = self.open(server)
        client.send("slow")
        self.wait_for_queue(running=1)
        workers = server.worker_pids()
        server.kill(signal.SIGKILL)
        server.process.wait(QUICK)
        handoff.wait_for(lambda: sum(map(handoff.alive, workers)) == 1, "the idle one to end",
                         QUICK)
        self.open_gate(self.slow)
        handoff.wait_for(lambda: not any(map(handoff.alive, workers)), "the other to end", QUICK)

    def test_a_worker_that_hangs_holds_up_nothing_but_its_own(self):
        """Its memory is full of requests that it does not read; the other has room."""
        server = self.launch(command=[WORKER, "-m",
                                      "slow=" + self.waiting_at(self.path("gate.$PPID"))])
        hanging, other = server.worker_pids()
        gates = {pid: self.gate(f"gate.{pid}") for pid in (hanging, other)}
        clients = self.clients(server, 10)
        for client in clients:
            client.send("slow")
        for pid in (hanging, other):
            handoff.wait_for(lambda: len(handoff.children(pid)) == 5, "five on each", QUICK)
        self.open_gate(gates[hanging])
        self.wait_for_queue(running=5)
        handoff.stop_process(hanging)
        more = self.clients(server, 12)
        for client in more:
            client.send("echo", "x" * 900_000)
        by_socket = {client.socket: client for client in more}
        answered = 0

        def are_served():
            nonlocal answered
            for one in select.select(list(by_socket), [], [], 0)[0]:
                self.assertEqual(len(by_socket.pop(one).receive()["result"]), 900_000)
                answered += 1
            return answered >= 9
        try:
            handoff.wait_for(are_served, "all but what it has itself", QUICK)
        finally:
            os.kill(hanging, signal.SIGCONT)
        for client in by_socket.values():
            self.assertEqual(len(client.receive()["result"]), 900_000)
        self.open_gate(gates[other])


if __name__ == "__main__":
    handoff.run_tests()
