# SPDX-License-Identifier: MIT
"""What is lost when a worker dies, hangs or is full: nothing that it had not started."""

import os
import pathlib
import random
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import FINISHED  # noqa: E402
from load import Load  # noqa: E402
from passing_on_case import PassingOn, end_of, is_unanswered  # noqa: E402
from scripted_worker import ScriptedWorker  # noqa: E402

# Connections on their way to a worker at most, and the entries of one message.
MOST_UNSTARTED = 128
MOST_ENTRIES = 16

# A worker that has no descriptor left, or channels that take none, are tried again after a pause.
LITTLE_CPU = 0.08


def die_half_way(count: int, started: int, received: str, go: str, done: str):
    """The program of a spawned worker: takes `count` connections, and when it is told to, starts
    some of them, answers the first of those, and waits for its end."""
    worker = ScriptedWorker(socket.socket(fileno=3))
    worker.hold(count)
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


def share_of_cpu(pids, sockets, seconds: float = 1) -> float:
    """Of the processes, while nothing comes on the sockets."""
    before = sum(map(handoff.cpu_seconds, pids))
    started = time.monotonic()
    readable = select.select(sockets, [], [], seconds)[0]
    assert not readable, "an answer that cannot be"
    return (sum(map(handoff.cpu_seconds, pids)) - before) / (time.monotonic() - started)


class LossyLoad(Load):
    """Clients whose connections may end with the worker that has them: what is lost is counted."""

    def __init__(self, address, one_shots: int, keepers: int):
        super().__init__([self._call_once] * one_shots + [self._call_often] * keepers)
        self.address = address
        self.one_shots = one_shots
        self.lost_one_shots = 0
        self.lost_keepers: list[int] = []  # the pids of the workers that had them
        self.slowest_end = 0.0
        self._lock = threading.Lock()

    def _call_once(self, _, number: int):
        while not self.is_over():
            with handoff.Connection(self.address) as client:
                if self._call(client, number, "ping") is None:
                    with self._lock:
                        self.lost_one_shots += 1

    def _call_often(self, _, number: int):
        while not self.is_over():
            with handoff.Connection(self.address) as client:
                info = self._call(client, number, "info")
                lost = info is None
                while not lost and not self.is_over():
                    lost = self._call(client, number, "ping") is None
                    if lost:
                        self.lost_keepers.append(info["pid"])

    def _call(self, client, number: int, method: str):
        """The result, or None when the connection has ended."""
        started = time.monotonic()
        params = random.randrange(1 << 30)
        try:
            reply = client.call(method, params)
        except (ConnectionResetError, BrokenPipeError, EOFError):
            reply = None
        if reply is None:
            with self._lock:
                self.slowest_end = max(self.slowest_end, time.monotonic() - started)
            return None
        self.answered[number] += 1
        if method == "ping" and reply != {"out": "pong", "result": params}:
            raise AssertionError(f"{reply} for {params}")
        return reply["result"]


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
        entries = list(worker.hold(10))
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
        load = LossyLoad(server.address, one_shots=6, keepers=8)
        killed = set()
        chance = random.Random(1)
        with load:
            for _ in range(handoff.count(1000, 100)):
                victim = chance.choice(handoff.wait_for(server.worker_pids, "a worker"))
                killed.add(victim)
                os.kill(victim, signal.SIGKILL)
                done = sum(load.answered)

                def served_again():
                    pids = server.worker_pids()
                    return sum(load.answered) > done and victim not in pids and len(pids) == workers

                handoff.wait_for(served_again, "another worker in its place")
        self.assertEqual(load.problems, [])
        self.assertLess(load.slowest_end, 10)
        for pid in load.lost_keepers:
            self.assertIn(pid, killed, "a connection was lost that no killed worker had")
        self.assertLessEqual(load.lost_one_shots, len(killed) * load.one_shots)
        self.assertGreater(sum(load.answered), len(killed))
        with server.connect() as client:
            self.assertEqual(client.result("ping", "after"), "after")
        self.assertEqual(server.stop(), 0)
        print(f"{len(killed)} kills: {sum(load.answered)} answered, lost {len(load.lost_keepers)} "
              f"long-lived and {load.lost_one_shots} one-shot, slowest end "
              f"{load.slowest_end * 1000:.0f} ms", file=sys.stderr)


class Closing(PassingOn):
    def test_a_client_sees_the_end_as_soon_as_a_worker_closes(self):
        """Also by a worker that does not shut the connection down: the master has no copy left."""
        server, path = self.open_door()
        worker = self.join(path)
        for _ in range(handoff.count(1000, 20)):
            with server.connect() as client:
                one = worker.hold(1)[0]
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["die-half-way"]:
        die_half_way(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
    else:
        handoff.run_tests()
