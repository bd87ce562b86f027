# SPDX-License-Identifier: MIT
"""What is lost when a worker dies, hangs, is full or lies: nothing that it had not started.

Some of the workers here are scripted: they speak the full channel of handoff-wire(7), as far as a
test wants it, and then stop to.
"""

import collections
import json
import os
import pathlib
import random
import re
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
from scripted_worker import (  # noqa: E402
    CONNECTION, DRAIN, FINISHED, HELLO, LEAVE, READY, REFUSED, REQUESTS, RETURN, STARTED,
    Channel, connect)

ASIDE = 2  # flag of an entry: its bytes are in a memfd

# Connections on their way to a worker at most, and the entries of one message.
MOST_UNSTARTED = 128
MOST_ENTRIES = 16

# A worker that has no descriptor left, or channels that take none, are tried again after a pause.
LITTLE_CPU = 0.08

Entry = collections.namedtuple("Entry", "id fd")


def entry(number: int, read: bytes = b"", flags: int = 0, size=None) -> bytes:
    """An entry without a peer's address."""
    return struct.pack("<QHBBI", number, 0, 0, flags, len(read) if size is None else size) + read


class ScriptedWorker(Channel):
    """One that a test has answer, die and lie."""

    def __init__(self, channel: socket.socket, credits: int = 10000):
        self.held: list[Entry] = []
        super().__init__(channel, credits)

    @classmethod
    def join(cls, path):
        return cls(connect(path))

    def receive(self) -> list:
        """The entries of the next message; none of one that has none."""
        packet, descriptors, kind, count = self.receive_message()
        if kind != CONNECTION:
            return []
        entries = []
        offset = 8
        for descriptor in descriptors[:count]:
            number, peer_size, _, flags, size = struct.unpack_from("<QHBBI", packet, offset)
            assert not flags & ASIDE
            offset += 16 + peer_size + size
            entries.append(Entry(number, descriptor))
        self.held += entries
        return entries

    def receive_until(self, count: int) -> list:
        """Until so many connections are held, not one of them started."""
        while len(self.held) < count:
            self.receive()
        return self.held

    def start(self, *entries: Entry):
        self.send_ids(STARTED, *(one.id for one in entries))

    def answer(self, one: Entry):
        """Its first request, which must have been sent."""
        with socket.socket(fileno=os.dup(one.fd)) as connection:
            size = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))[0]
            request = json.loads(connection.recv(size, socket.MSG_WAITALL))
            reply = {"out": "pong", "result": request["params"]}
            connection.sendall(handoff.frame(json.dumps(reply).encode()))

    def die(self):
        """With what it has not read still in the channel."""
        for one in self.held:
            os.close(one.fd)
        self.held = []
        self.channel.close()


def die_half_way(count: int, started: int, received: str, go: str, done: str):
    """The program of a spawned worker: takes `count` connections, and when it is told to, starts
    some of them, answers the first of those, and waits for its end."""
    worker = ScriptedWorker(socket.socket(fileno=3))
    worker.receive_until(count)
    pathlib.Path(received).write_text("1")
    pathlib.Path(go).read_text()
    worker.start(*worker.held[:started])
    worker.answer(worker.held[0])
    pathlib.Path(done).write_text("1")
    signal.pause()


def stop_process(pid: int):
    os.kill(pid, signal.SIGSTOP)
    handoff.wait_for(lambda: process_state(pid) == "T", "the process to stop")


def process_state(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def end_of(client) -> bytes:
    """What still comes until the end of the connection."""
    received = b""
    try:
        while piece := client.socket.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def is_unanswered(client) -> bool:
    return not select.select([client.socket], [], [], 0)[0]


def share_of_cpu(pids, sockets, seconds: float = 1) -> float:
    """Of the processes, while nothing comes on the sockets."""
    before = sum(map(handoff.cpu_seconds, pids))
    started = time.monotonic()
    readable = select.select(sockets, [], [], seconds)[0]
    assert not readable, "an answer that cannot be"
    return (sum(map(handoff.cpu_seconds, pids)) - before) / (time.monotonic() - started)


class PassingOn(handoff.TestCase):
    def clients(self, server, count: int, method: str = "ping") -> list:
        clients = [self.open(server) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(method, number)
        return clients

    def assert_answered_once(self, client, result):
        self.assertEqual(client.receive(), {"out": "pong", "result": result})
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(end_of(client), b"", "and not again")

    def join(self, path) -> ScriptedWorker:
        worker = ScriptedWorker.join(path)
        self.addCleanup(worker.die)
        return worker

    def open_door(self, *options: str, workers: int = 0):
        """A master that workers can join."""
        path = str(self.directory / "join")
        spawned = ["-n", str(workers), "--", handoff.tool("rpc-worker")] if workers else []
        words = [handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-j", path, *options, *spawned]
        server = self.start(handoff.Server(*words, ready=False))
        line = server.wait_for_line(r": ready, .* on ")
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        return server, path


class Dying(PassingOn):
    def test_what_a_stopped_worker_was_sent_goes_to_others_when_it_is_killed(self):
        server = self.start(handoff.master(workers=2))
        victim = server.worker_pids()[0]
        stop_process(victim)
        clients = self.clients(server, 200, "info")

        def half_is_answered():
            return sum(map(is_unanswered, clients)) == 100

        handoff.wait_for(half_is_answered, "every other client to be served")
        os.kill(victim, signal.SIGKILL)
        for client in clients:
            self.assertNotEqual(client.receive()["result"]["pid"], victim)

    def test_the_only_worker_is_killed_and_its_successor_serves_what_it_was_sent(self):
        server = self.start(handoff.master(workers=1))
        victim = server.worker_pids()[0]
        stop_process(victim)
        clients = self.clients(server, 100)
        handoff.wait_for(lambda: self.said_to_hold(server, 100), "the worker to be sent them all")
        os.kill(victim, signal.SIGKILL)
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)

    @staticmethod
    def said_to_hold(server, count: int) -> bool:
        """By USR1, which is asked once more."""
        seen = len(server.lines)
        server.kill(signal.SIGUSR1)
        line = server.wait_for_line(r"worker \d+, pid \d+: \w+, \d+ connection", after=seen)
        return f" {count} connection" in line

    def test_a_spawned_worker_dies_with_unread_messages_and_what_it_said_still_unread(self):
        marks = [self.directory / name for name in ("received", "go", "done")]
        for mark in marks:
            os.mkfifo(mark)
        received, go, done = marks
        dying = [sys.executable, "-B", __file__, "die-half-way", "10", "4", *map(str, marks)]
        # Only the first worker is that one.
        server = self.start(handoff.master(
            workers=1, command=["sh", "-c", f'mkdir "{self.directory}/first" 2>/dev/null || '
                                            f'exec {handoff.tool("rpc-worker")}; exec "$@"',
                                "sh", *dying]))
        clients = self.clients(server, 10)
        received.read_text()
        clients += [self.open(server) for _ in range(5)]
        for number, client in enumerate(clients[10:], 10):
            client.send("ping", number)
        handoff.wait_for(lambda: self.said_to_hold(server, 15), "the master to pass the rest")
        victim = server.worker_pids()[0]
        stop_process(server.pid)
        go.write_text("1")
        done.read_text()
        os.kill(victim, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(victim), "the worker's end")
        server.kill(signal.SIGCONT)
        self.assert_half_done(clients)

    def test_a_joined_worker_dies_with_unread_messages_and_what_it_said_still_unread(self):
        server, path = self.open_door()
        worker = self.join(path)
        clients = self.clients(server, 10)
        entries = list(worker.receive_until(10))
        clients += [self.open(server) for _ in range(5)]
        for number, client in enumerate(clients[10:], 10):
            client.send("ping", number)
        handoff.wait_for(lambda: self.said_to_hold(server, 15), "the master to pass the rest")
        stop_process(server.pid)
        worker.start(*entries[:4])
        worker.answer(entries[0])
        worker.die()
        server.kill(signal.SIGCONT)
        self.start(handoff.Server(handoff.tool("rpc-worker"), "-j", path, ready=False))
        self.assert_half_done(clients)

    def assert_half_done(self, clients):
        """Of four that were started one was answered; the others are answered by another."""
        self.assertEqual(clients[0].receive(), {"out": "pong", "result": 0})
        for client in clients[:4]:
            self.assertEqual(end_of(client), b"", "what was started is not begun again")
        for number, client in enumerate(clients[4:], 4):
            self.assert_answered_once(client, number)

    def test_random_kills_under_load_cost_what_the_killed_had_started(self):
        workers = 4
        server = self.start(handoff.master("--backoff", "5ms:20ms", workers=workers))
        load = Load(server.address, one_shot=6, long_lived=8)
        killed = set()
        chance = random.Random(1)
        with load:
            for _ in range(handoff.count(1000, 100)):
                victim = chance.choice(handoff.wait_for(server.worker_pids, "a worker"))
                killed.add(victim)
                os.kill(victim, signal.SIGKILL)
                done = load.answered

                def served_again():
                    pids = server.worker_pids()
                    return load.answered > done and victim not in pids and len(pids) == workers

                handoff.wait_for(served_again, "another worker in its place")
        self.assertEqual(load.problems, [])
        self.assertLess(load.slowest_end, 10)
        for pid in load.lost_long_lived:
            self.assertIn(pid, killed, "a connection was lost that no killed worker had")
        self.assertLessEqual(load.lost_one_shot, len(killed) * load.one_shot)
        self.assertGreater(load.answered, len(killed))
        with server.connect() as client:
            self.assertEqual(client.result("ping", "after"), "after")
        self.assertEqual(server.stop(), 0)
        print(f"{len(killed)} kills: {load.answered} answered, lost {len(load.lost_long_lived)} "
              f"long-lived and {load.lost_one_shot} one-shot, slowest end "
              f"{load.slowest_end * 1000:.0f} ms", file=sys.stderr)


class Load:
    """Clients that call without pause, and take note of what becomes of it."""

    def __init__(self, address, one_shot: int, long_lived: int):
        self.address = address
        self.one_shot = one_shot
        self.answered = 0
        self.lost_one_shot = 0
        self.lost_long_lived: list[int] = []  # the pids of the workers that had them
        self.slowest_end = 0.0
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,))
                         for work, count in ((self._call_once, one_shot),
                                             (self._call_often, long_lived))
                         for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(2 * handoff.PATIENCE)

    def _run(self, work):
        while not self._over.is_set():
            try:
                work()
            except Exception as problem:  # a timeout too: nobody may hang
                self.problems.append(repr(problem))
                return

    def _call_once(self):
        with handoff.Connection(self.address) as client:
            if self._call(client, "ping") is None:
                with self._lock:
                    self.lost_one_shot += 1

    def _call_often(self):
        with handoff.Connection(self.address) as client:
            info = self._call(client, "info")
            if info is None:
                return
            while not self._over.is_set():
                if self._call(client, "ping") is None:
                    self.lost_long_lived.append(info["pid"])
                    return

    def _call(self, client, method: str):
        """The result, or None when the connection has ended."""
        started = time.monotonic()
        number = random.randrange(1 << 30)
        try:
            reply = client.call(method, number)
        except (ConnectionResetError, BrokenPipeError, EOFError):
            reply = None
        with self._lock:
            if reply is None:
                self.slowest_end = max(self.slowest_end, time.monotonic() - started)
                return None
            self.answered += 1
        if method == "ping" and reply != {"out": "pong", "result": number}:
            raise AssertionError(f"{reply} for {number}")
        return reply["result"]


class Closing(PassingOn):
    def test_a_client_sees_the_end_as_soon_as_a_worker_closes(self):
        """Also by a worker that does not shut the connection down: the master has no copy left."""
        server, path = self.open_door()
        worker = self.join(path)
        for _ in range(handoff.count(1000, 20)):
            with server.connect() as client:
                one = worker.receive_until(1)[0]
                worker.start(one)
                os.close(one.fd)
                self.assertIsNone(client.receive())
                worker.send_ids(FINISHED, one.id)
                worker.held.clear()

    def test_a_client_that_is_refused_by_its_worker_sees_why_and_the_end(self):
        server = self.start(handoff.master(workers=2))
        for _ in range(handoff.count(1000, 20)):
            with server.connect() as client:
                client.socket.sendall(b"\xff\xff\xff\xff")
                self.assertEqual(client.receive()["out"], "error")
                self.assertIsNone(client.receive())


class OutOfDescriptors(PassingOn):
    def limit(self, pid: int, spare: int):
        """Lets the process open so many descriptors more."""
        handoff.wait_for(lambda: handoff.sleeps(pid), "the worker to have nothing to do")
        numbers = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        limit = 0
        while spare > 0 or limit in numbers:
            spare -= limit not in numbers
            limit += 1
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))

    @staticmethod
    def unlimit(pid: int):
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))

    def test_a_worker_at_its_descriptor_limit_hands_back_and_another_serves(self):
        server = self.start(handoff.master(workers=2))
        full, other = server.worker_pids()
        self.limit(full, 0)
        for client in self.clients(server, 40, "info"):
            self.assertEqual(client.receive()["result"]["pid"], other)
        server.wait_for_line("receive .*: Too many open files")
        self.unlimit(full)
        handoff.wait_for(lambda: full in self.serving_pids(server), "the worker to serve again")
        self.assertEqual(server.worker_pids(), [full, other])

    @staticmethod
    def serving_pids(server) -> set:
        pids = set()
        for _ in range(4):
            with server.connect() as client:
                pids.add(client.result("info")["pid"])
        return pids

    def test_the_only_worker_serves_once_it_has_room(self):
        server = self.start(handoff.master(workers=1))
        pid = server.worker_pids()[0]
        self.limit(pid, 0)
        clients = self.clients(server, 40)
        server.wait_for_line("receive .*: Too many open files")
        share = share_of_cpu([server.pid, pid], [client.socket for client in clients])
        self.assertLess(share, LITTLE_CPU)
        self.unlimit(pid)
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)
        self.assertEqual(server.worker_pids(), [pid])

    def test_a_worker_with_room_for_a_few_serves_a_few_at_a_time(self):
        """Sixteen of them come in one message, for which it has no room."""
        server = self.start(handoff.master(workers=1))
        pid = server.worker_pids()[0]
        with server.connect() as client:
            client.result("ping")
        handoff.wait_for(lambda: Dying.said_to_hold(server, 0), "the worker to be idle")
        self.limit(pid, 5)
        stop_process(server.pid)
        clients = {client.socket: client for client in self.clients(server, 64)}
        server.kill(signal.SIGCONT)
        while clients:
            served, _, _ = select.select(list(clients), [], [], 10)
            self.assertTrue(served, f"{len(clients)} are left")
            for one in served:
                client = clients.pop(one)
                self.assertEqual(client.receive()["out"], "pong")
                client.close()
        self.assertEqual(server.worker_pids(), [pid])


class TooManyInFlight(PassingOn):
    """The kernel counts the descriptors on their way for each user, and refuses more of them than
    a process may open. Root is exempt."""

    def setUp(self):
        super().setUp()
        self.user = os.geteuid()
        self.prefix = []
        if self.user == 0:
            # A user of its own, so that no other test's descriptors count.
            self.user = 61000 + os.getpid() % 4000
            self.prefix = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}",
                           "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
        words = [*self.prefix, handoff.tool("rpc-worker"), "--version"]
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no other user can run the programs: {error}")

    def start_limited(self, workers: int):
        words = [*self.prefix, "prlimit", "--nofile=64:64", handoff.tool("rpc-master"),
                 "-l", "127.0.0.1:0", "-n", str(workers), "--", handoff.tool("rpc-worker")]
        return self.start(handoff.Server(*words))

    def test_stopped_workers_and_few_descriptors_only_delay(self):
        server = self.start_limited(2)
        pids = server.worker_pids()
        for pid in pids:
            stop_process(pid)
        clients = self.clients(server, 150)
        share = share_of_cpu([server.pid], [client.socket for client in clients])
        self.assertLess(share, LITTLE_CPU)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)
            client.close()
        self.assertEqual(server.worker_pids(), pids)

    def test_nothing_is_lost_while_the_kernel_refuses_to_pass(self):
        server = self.start_limited(2)
        # Fills what this user may have on its way.
        words = [sys.executable, "-c",
                 "import os, socket, sys\n"
                 "user = int(sys.argv[1])\n"
                 "if os.geteuid() == 0: os.setgid(user); os.setuid(user)\n"
                 "ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)\n"
                 "for _ in range(2): socket.send_fds(ends[0], [b'0'], [0] * 100)\n"
                 "print('filled', flush=True)\n"
                 "sys.stdin.read()", str(self.user)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as filler:
            self.assertEqual(filler.stdout.readline(), "filled\n")
            clients = self.clients(server, 20)
            share = share_of_cpu([server.pid, *server.worker_pids()],
                                 [client.socket for client in clients])
            self.assertLess(share, LITTLE_CPU)
            filler.stdin.close()
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)
        expected = re.compile("ready|cannot keep a copy of each connection")
        self.assertEqual([line for line in server.lines if not expected.search(line)], [])


class Silent(PassingOn):
    def test_a_worker_that_never_reads_holds_no_others_up(self):
        server, path = self.open_door(workers=1)
        worker = self.join(path)
        handoff.wait_for(lambda: self.has_joined(server), "the scripted worker to have joined")
        clients = self.clients(server, 600)
        waiting = self.wait_for_answers(clients)
        self.assertLessEqual(waiting, MOST_UNSTARTED + MOST_ENTRIES)
        self.assertGreaterEqual(waiting, MOST_UNSTARTED // 2)
        with server.connect() as client:
            self.assertEqual(client.result("ping", "others"), "others")
        worker.die()
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)

    def test_a_stopped_worker_holds_no_others_up(self):
        server = self.start(handoff.master(workers=2))
        pid = server.worker_pids()[0]
        stop_process(pid)
        clients = self.clients(server, 600)
        waiting = self.wait_for_answers(clients)
        self.assertLessEqual(waiting, MOST_UNSTARTED + MOST_ENTRIES)
        os.kill(pid, signal.SIGCONT)
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)

    @staticmethod
    def has_joined(server) -> bool:
        seen = len(server.lines)
        server.kill(signal.SIGUSR1)
        server.wait_for_line(r"worker 1, ", after=seen)
        return any("worker 2, " in line and ": ready, " in line for line in server.lines[seen:])

    @staticmethod
    def wait_for_answers(clients) -> int:
        """How many wait when all that can be served were: the last one was, and those that were
        accepted with it."""
        most = MOST_UNSTARTED + MOST_ENTRIES
        return handoff.wait_for(
            lambda: next((count for count in [sum(map(is_unanswered, clients))] if count <= most),
                         None), "all others to be served")


class Hostile(PassingOn):
    """A worker that says what it must not. The master says so in one line, and lives."""

    def setUp(self):
        super().setUp()
        self.server, self.path = self.open_door("-v", workers=1)
        self.good = self.server.worker_pids()
        self.worker = self.join(self.path)
        self.server.wait_for_line(r"worker 2, .*: ready")

    def give_it(self, count: int = 1) -> list:
        """Connections, each with a request, until it has so many. The good worker has some too."""
        clients = []
        while len(self.worker.held) < count:
            client = self.open(self.server)
            client.send("ping", len(clients))
            clients.append(client)
            ready, _, _ = select.select([client.socket, self.worker.channel], [], [],
                                        handoff.PATIENCE)
            if self.worker.channel in ready:
                self.worker.receive()
        return clients

    def assert_others_live(self, clients=()):
        for number, client in enumerate(clients):
            self.assert_answered_once(client, number)
        with self.server.connect() as client:
            self.assertEqual(client.result("info")["pid"], self.good[0])
        self.assertEqual(self.server.worker_pids(), self.good)
        self.assertIsNone(self.server.process.poll())

    def assert_blamed(self, problem: str):
        self.server.wait_for_line(rf"worker 2, pid {os.getpid()}: {problem}; sent away")
        self.server.wait_for_line(rf"worker 2, pid {os.getpid()}: left")
        about = [line for line in self.server.lines
                 if "worker 2" in line and not line.endswith((": ready", ": left"))]
        self.assertEqual(len(about), 1, about)

    def test_started_of_an_unknown_connection(self):
        clients = self.give_it(2)
        self.worker.send_ids(STARTED, 1 << 60)
        self.assert_blamed("it started a connection that it was not given")
        self.assert_others_live(clients)

    def test_started_twice(self):
        clients = self.give_it(2)
        first = self.worker.held[0]
        self.worker.start(first)
        self.worker.start(first)
        self.assert_blamed("it started a connection that it was not given")
        self.worker.die()
        ended = [client for client in clients if self.reply_of(client) is None]
        self.assertEqual(len(ended), 1, "only the one that was started")
        self.assert_others_live()

    @staticmethod
    def reply_of(client):
        try:
            return client.receive()
        except ConnectionResetError:
            return None

    def test_finished_more_than_it_had(self):
        clients = self.give_it(2)
        self.worker.send_ids(FINISHED, self.worker.held[0].id)
        self.assert_blamed("it finished more connections than it was given")
        self.assert_others_live(clients)

    def test_refused_what_it_was_not_given(self):
        clients = self.give_it(2)
        self.worker.send_ids(REFUSED, 1 << 60)
        self.assert_blamed("it refused a connection that it was not given")
        self.assert_others_live(clients)

    def test_returned_what_it_had_not_started(self):
        clients = self.give_it(1)
        one = self.worker.held[0]
        self.worker.send(RETURN, entry(one.id), 1, [one.fd])
        self.assert_blamed("it returned a connection .*")
        self.assert_others_live(clients)

    def test_returned_without_a_descriptor(self):
        self.give_it(1)
        one = self.worker.held[0]
        self.worker.start(one)
        self.worker.send(RETURN, entry(one.id), 1)
        self.assert_blamed("it returned a connection without its descriptor.*")
        self.assert_others_live()

    def test_returned_without_the_bytes_aside(self):
        self.give_it(1)
        one = self.worker.held[0]
        self.worker.start(one)
        self.worker.send(RETURN, entry(one.id, flags=ASIDE, size=100), 1, [one.fd])
        self.assert_blamed("it returned a connection without its descriptor.*")
        self.assert_others_live()

    # Whoever gets it next must not suffer from what was returned.

    def test_returned_a_file(self):
        with open("/dev/null", "rb") as file:
            self.return_harmlessly(file.fileno())

    def test_returned_a_pipe(self):
        self.return_harmlessly(self.pipe())

    def test_returned_an_epoll(self):
        with select.epoll() as epoll:
            self.return_harmlessly(epoll.fileno())

    def test_returned_a_socket_of_datagrams(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            self.return_harmlessly(datagrams.fileno())

    def test_returned_a_listener(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.return_harmlessly(listener.fileno())

    def test_returned_with_less_aside_than_it_said(self):
        with self.file_in_memory(b"x") as file:
            self.return_harmlessly(None, file.fileno(), size=100000)

    def test_returned_with_a_pipe_for_the_bytes_aside(self):
        self.return_harmlessly(None, self.pipe(), size=100000)

    def test_returned_with_more_aside_than_may_be(self):
        with self.file_in_memory(b"x") as file:
            self.return_harmlessly(None, file.fileno(), size=0xFFFFFFFF)

    def pipe(self) -> int:
        ends = os.pipe()
        for end in ends:
            self.addCleanup(os.close, end)
        return ends[0]

    @staticmethod
    def file_in_memory(content: bytes):
        file = os.fdopen(os.memfd_create("test"), "wb")
        file.write(content)
        file.flush()
        return file

    def return_harmlessly(self, descriptor, *aside: int, size: int = 0):
        """Instead of a connection, or with what is not its bytes."""
        self.give_it(1)
        one = self.worker.held[0]
        self.worker.start(one)
        self.worker.send(RETURN, entry(one.id, flags=ASIDE if aside else 0, size=size), 1,
                         [one.fd if descriptor is None else descriptor, *aside])
        self.worker.die()
        self.server.wait_for_line(r"worker 2, pid \d+: left")
        for _ in range(4):
            self.assert_others_live()

    def test_leave_twice_drains_once(self):
        clients = self.give_it(2)
        self.worker.send(LEAVE)
        self.worker.send(LEAVE)
        while not self.worker.drained:
            self.worker.receive()
        for _ in range(20):
            with self.server.connect() as client:
                self.assertEqual(client.result("info")["pid"], self.good[0])
        self.worker.die()
        self.server.wait_for_line(rf"worker 2, pid {os.getpid()}: left")
        self.assert_others_live(clients)

    def test_what_is_no_message(self):
        clients = self.give_it(1)
        self.worker.channel.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assert_blamed("it sent no valid message")
        self.assert_others_live(clients)

    def test_a_second_hello(self):
        clients = self.give_it(1)
        self.worker.send(HELLO, struct.pack("<III", os.getpid(), 10, 1))
        self.assert_blamed("it sent a second HELLO")
        self.assert_others_live(clients)

    def test_what_only_a_master_says(self):
        clients = self.give_it(1)
        self.worker.send(DRAIN)
        self.assert_blamed("it sent a message that only a master sends")
        self.assert_others_live(clients)

    def test_a_descriptor_that_belongs_to_nothing(self):
        clients = self.give_it(1)
        before = handoff.descriptor_count(self.server.pid)
        self.worker.send(READY, descriptors=[0])
        self.assert_blamed("it sent a descriptor with a message that has none")
        self.assert_others_live(clients)
        self.assertLessEqual(handoff.descriptor_count(self.server.pid), before)

    def test_more_descriptors_than_a_message_may_have(self):
        clients = self.give_it(1)
        before = handoff.descriptor_count(self.server.pid)
        self.worker.send(READY, descriptors=[0] * 200)
        self.assert_blamed("it sent too much")
        self.assert_others_live(clients)
        self.assertLessEqual(handoff.descriptor_count(self.server.pid), before)

    def test_a_flood_of_messages_leaves_the_others_their_turn(self):
        clients = self.give_it(2)
        count = handoff.count(100000, 100000)
        slowest = 0.0
        served = 0
        flood = threading.Thread(target=lambda: [self.worker.send(REQUESTS, struct.pack("<Q", i))
                                                 for i in range(count)])
        flood.start()
        while flood.is_alive():
            started = time.monotonic()
            with self.server.connect() as client:
                if self.worker_answers(client):
                    served += 1
                    slowest = max(slowest, time.monotonic() - started)
        flood.join()
        self.assertGreater(served, 0)
        self.assertLess(slowest, 10)
        self.worker.die()
        self.server.wait_for_line(rf"worker 2, pid {os.getpid()}: left")
        self.assert_others_live(clients)

    def worker_answers(self, client) -> bool:
        """False when the connection went to the one that answers nobody."""
        client.send("ping", 1)
        ready, _, _ = select.select([client.socket, self.worker.channel], [], [],
                                    handoff.PATIENCE)
        if client.socket in ready:
            return client.receive() == {"out": "pong", "result": 1}
        self.worker.receive()
        return False

    def test_a_flood_that_the_master_has_to_answer(self):
        """A worker that only talks and never reads."""
        clients = self.give_it(2)
        for _ in range(handoff.count(100000, 20000)):
            self.worker.send(LEAVE)
        with self.server.connect() as client:
            self.assertEqual(client.result("info")["pid"], self.good[0])
        self.worker.die()
        self.server.wait_for_line(rf"worker 2, pid {os.getpid()}: left")
        self.assert_others_live(clients)

    def test_no_hello_at_all(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
            mute.connect(self.path)
            mute.send(struct.pack("<2sBBHH", b"HO", 1, READY, 0, 0))
            self.server.wait_for_line(
                f"worker 3, pid {os.getpid()}: its first message was no HELLO; sent away")
        self.worker.die()
        self.assert_others_live()

    def test_another_version(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.connect(self.path)
            other.send(struct.pack("<2sBBHHIII", b"HO", 9, HELLO, 0, 0, 1, 1, 1))
            self.server.wait_for_line("worker 3.*: it speaks version 9 .*, we speak 1; sent away")
        self.worker.die()
        self.assert_others_live()


if __name__ == "__main__":
    if sys.argv[1:2] == ["die-half-way"]:
        die_half_way(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
    else:
        handoff.run_tests()
