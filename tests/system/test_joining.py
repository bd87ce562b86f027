# SPDX-License-Identifier: MIT
"""Workers that join a running master (-j): how they come, what they get, how they go, who may and
who may not, and a master that dies. Also a server behind ssh."""

import contextlib
import fcntl
import getpass
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
MASTER = handoff.tool("rpc-master")
CALL = handoff.tool("rpc-call")
PLAIN_WORKER = str(handoff.ROOT / "tests" / "support" / "plain_worker.py")
NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped

# How a worker that only knows what a master gives it joins one by itself.
JOIN_AND_RUN = """
import os, runpy, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[1])
os.environ["HANDOFF_CHANNEL_FD"] = str(channel.detach())
runpy.run_path(sys.argv[2])
"""

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0


def header(kind: int, count: int = 0) -> bytes:
    """Of a message of the full form, handoff-wire(7)."""
    return struct.pack("<2sBBHH", b"HO", 1, kind, count, 0)


def hello(pid: int = 1, credits: int = 10, version: int = 1, calls: int = 1) -> bytes:
    return b"HO" + bytes([version]) + header(1)[3:] + struct.pack("<III", pid, credits, calls)


READY = header(2)


class JoiningTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.door = str(self.directory / "join")

    def master(self, *options: str, command=(), listen: str = "127.0.0.1:0") -> handoff.Server:
        """That workers can join; without a command unless there is one."""
        words = [MASTER, "-l", listen, "-j", self.door, *options]
        server = self.start(handoff.Server(*words, *(["--", *command] if command else []),
                                           ready=False))
        line = server.wait_for_line(": ready, .* on ")
        bound = re.search(r" on (.*?)( \(|$)", line).group(1)
        server.addresses = [handoff.parse_address(word) for word in bound.split()]
        return server

    def joined(self, *options: str, door: str | None = None) -> handoff.Server:
        """A worker that has joined."""
        server = self.start(handoff.Server(WORKER, "-j", door or self.door, *options, ready=False))
        server.wait_for_line("(joined, on|connected to) ")
        return server

    def wait_until_serving(self, master: handoff.Server, workers: list[handoff.Server]):
        """They say that they have joined before the master knows that they are ready."""
        wanted = {worker.pid for worker in workers}
        handoff.wait_for(lambda: wanted <= set(self.pids(master, 2 * len(wanted))),
                         "the workers to serve")

    @staticmethod
    def wait_for_status(master: handoff.Server, pattern: str) -> str:
        """Asks by USR1 until a worker's line matches, and gives that."""
        said = len(master.lines)

        def matching():
            master.kill(signal.SIGUSR1)
            return next((line for line in master.lines[said:] if re.search(pattern, line)), None)

        return handoff.wait_for(matching, f"{pattern} in the status")

    @staticmethod
    def pids(master: handoff.Server, connections: int) -> list[int]:
        """Who answers on so many connections, one after another."""
        found = []
        for _ in range(connections):
            with master.connect() as client:
                found.append(client.result("info")["pid"])
        return found

    def door_of(self, kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
        """A connection to the master's named socket."""
        channel = self.stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        channel.settimeout(handoff.PATIENCE)
        channel.connect(self.door)
        return channel

    def assert_closed(self, channel: socket.socket):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while packet := channel.recv(1000):
                self.assertEqual(packet[:3], b"HO\1")

    def assert_ends(self, server: handoff.Server, status: int):
        self.assertEqual(server.process.wait(handoff.PATIENCE), status, server.lines)

    @staticmethod
    def has_left(client: handoff.Connection, pid: int) -> bool:
        """Whether that worker has let the client go: it sees the end, or another one answers it."""
        try:
            reply = client.call("info")
        except ConnectionError:
            return True
        return reply is None or reply["result"]["pid"] != pid

    def gate(self) -> pathlib.Path:
        """A command that reads it waits until the test writes to it."""
        path = self.directory / "gate"
        os.mkfifo(path)
        return path


class Coming(JoiningTest):
    def test_clients_wait_until_a_worker_has_joined(self):
        master = self.master()
        clients = [self.open(master) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send("echo", number)
        self.assertEqual(select.select([client.socket for client in clients], [], [], 0.1)[0], [])
        self.joined()
        for number, client in enumerate(clients):
            self.assertEqual(client.receive()["result"], number)

    def test_without_a_command_they_get_connections_in_turn(self):
        master = self.master()
        workers = [self.joined() for _ in range(3)]
        self.wait_until_serving(master, workers)
        clients = [self.open(master) for _ in range(30)]
        pids = [client.result("info")["pid"] for client in clients]
        self.assertEqual([pids.count(worker.pid) for worker in workers], [10] * 3)
        self.assertEqual([client.result("info")["worker"] for client in clients], [0] * 30)

    def test_beside_workers_of_the_masters_own_they_get_connections_in_turn(self):
        master = self.master("-n", "2", command=[WORKER])
        workers = [self.joined() for _ in range(2)]
        self.wait_until_serving(master, workers)
        clients = [self.open(master) for _ in range(20)]
        pids = [client.result("info")["pid"] for client in clients]
        everyone = [worker.pid for worker in workers] + master.worker_pids()
        self.assertEqual([pids.count(pid) for pid in everyone], [5] * 4)

    def test_they_may_be_the_only_ones_though_there_is_a_command(self):
        master = self.master("-n", "0", command=[WORKER])
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)
        master.kill(signal.SIGTTIN)
        handoff.wait_for(lambda: len(set(self.pids(master, 4))) == 2, "a worker of its own")

    def test_one_holds_no_more_connections_than_it_said(self):
        master = self.master()
        worker = self.joined("--credits", "2")
        first, second, third = (self.open(master) for _ in range(3))
        self.assertEqual(first.result("info")["pid"], worker.pid)
        self.assertEqual(second.result("info")["pid"], worker.pid)
        third.send("ping", "waits")
        self.assertEqual(select.select([third.socket], [], [], 0.1)[0], [])
        first.close()
        self.assertEqual(third.receive()["result"], "waits")

    def test_an_abstract_name_will_do(self):
        self.door = f"@handoff-test-joining-{os.getpid()}"
        master = self.master()
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)
        self.assertEqual(worker.stop(), 0)

    def test_usr1_says_what_they_do(self):
        master = self.master("-n", "1", command=[WORKER])
        worker = self.joined()
        self.wait_until_serving(master, [worker])
        clients = [self.open(master) for _ in range(4)]
        for client in clients:
            client.result("ping")
        (own,) = master.worker_pids()
        # It hears a moment later that the connections of before have ended.
        for number, pid in ((1, own), (2, worker.pid)):
            self.wait_for_status(
                master, rf"worker {number}, pid {pid}: ready, 2 connections, 0 restarts$")
        self.assertEqual(worker.stop(), 0)
        master.wait_for_line(rf"worker 2, pid {worker.pid}: left$")
        said = len(master.lines)
        self.wait_for_status(master, f"worker 1, pid {own}: ready, ")
        self.assertEqual(self.open(master).result("info")["worker"], 1)
        self.assertNotIn("worker 2", " ".join(master.lines[said:]))

    def test_ttou_takes_no_worker_that_has_joined(self):
        master = self.master("-v", "-n", "2", command=[WORKER])
        worker = self.joined()
        self.wait_until_serving(master, [worker])
        master.kill(signal.SIGTTOU)
        master.wait_for_line("worker 2, pid .*: left, exit status 0")
        self.assertEqual(len(master.worker_pids()), 1)
        self.assertEqual(set(self.pids(master, 6)), {worker.pid, *master.worker_pids()})


class Going(JoiningTest):
    def test_one_that_is_told_to_leave_finishes_its_calls_and_gets_no_more_connections(self):
        gate = self.gate()
        master = self.master()
        leaving = self.joined("-m", f"slow=cat {gate}")
        client, idle = self.open(master), self.open(master)
        self.assertEqual(client.result("info")["pid"], leaving.pid)
        self.assertEqual(idle.result("info")["pid"], leaving.pid)
        client.send("slow")
        staying = self.joined()
        self.wait_until_serving(master, [staying])
        with gate.open("w") as opened:
            leaving.kill(signal.SIGTERM)
            handoff.wait_for(lambda: self.has_left(idle, leaving.pid), "the idle one to be let go")
            handoff.wait_for(lambda: set(self.pids(master, 4)) == {staying.pid},
                             "the connections to go to the other")
            self.assertIsNone(leaving.process.poll(), "it waits for its call")
            opened.write('"finished"')
        self.assertEqual(client.receive(), {"out": "slow", "result": "finished"})
        self.assert_ends(leaving, 0)
        self.assertTrue(self.has_left(client, leaving.pid))

    def test_one_after_another_leaves_and_comes_and_clients_are_served(self):
        master = self.master()
        workers = [self.joined() for _ in range(2)]
        self.wait_until_serving(master, workers)
        descriptors = handoff.descriptor_count(master.pid)
        for _ in range(10):
            workers.append(self.joined())
            self.wait_until_serving(master, workers[1:])
            left = workers.pop(0)
            self.assertEqual(left.stop(), 0)
            self.assertEqual(set(self.pids(master, 4)), {worker.pid for worker in workers})
        handoff.wait_for(lambda: handoff.descriptor_count(master.pid) <= descriptors,
                         "the master's descriptors to be as few as before")

    def test_what_was_sent_to_one_that_leaves_is_not_lost(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                self.door = str(self.directory / handshake)
                master = self.master("--handshake", handshake)
                # Half a second between the signal and its telling the master.
                tracing = self.start(handoff.Server(
                    "strace", "-qq", "-o", "/dev/null", "-e", "trace=shutdown",
                    "-e", "inject=shutdown:delay_enter=500000:when=1", WORKER, "-j", self.door,
                    ready=False, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}))
                tracing.wait_for_line("(joined, on|connected to) ")
                (leaving,) = handoff.children(tracing.pid)
                self.stack.callback(self.end, leaving)
                self.joined()
                for number in (1, 2):
                    self.wait_for_status(master, f"worker {number}.*: ready, ")
                os.kill(leaving, signal.SIGTERM)
                handoff.wait_for(lambda: self.has_taken_its_signals(leaving), "the signal")
                clients = [self.open(master) for _ in range(10)]
                for client in clients:
                    client.send("ping", 1)
                for client in clients:
                    self.assertEqual(client.receive(), {"out": "pong", "result": 1})
                self.assert_ends(tracing, 0)

    def test_one_that_wakes_up_too_late_does_no_harm_to_what_others_have(self):
        master = self.master("--drain-timeout", "300ms", "-c", str(self.directory / "control"))
        late = self.joined()
        self.wait_until_serving(master, [late])
        handoff.stop_process(late.pid)
        clients = [self.open(master) for _ in range(10)]
        for client in clients:
            client.send("info")
        other = self.joined()
        self.wait_for_status(master, "worker 2.*: ready, ")
        with handoff.Connection(str(self.directory / "control")) as control:
            control.result("drain", {"worker": 1})
        for client in clients:
            self.assertEqual(client.receive()["result"]["pid"], other.pid)
        os.kill(late.pid, signal.SIGCONT)
        late.process.wait(handoff.PATIENCE)
        for client in clients:
            self.assertEqual(client.result("info")["pid"], other.pid)

    @staticmethod
    def end(pid: int):
        """It would outlive strace."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def has_taken_its_signals(pid: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            return "ShdPnd:\t0000000000000000\n" in text
        return True

    def test_no_client_of_one_that_is_killed_sees_the_end(self):
        master = self.master()
        killed, staying = self.joined(), self.joined()
        self.wait_until_serving(master, [killed, staying])
        descriptors = handoff.descriptor_count(master.pid)
        clients = [self.open(master) for _ in range(10)]
        pids = [client.result("info")["pid"] for client in clients]
        self.assertEqual(pids.count(killed.pid), 5)
        handoff.wait_for(lambda: handoff.sleeps(killed.pid), "the worker to have nothing to do")
        killed.kill(signal.SIGKILL)
        for client in clients:
            self.assertEqual(client.result("info")["pid"], staying.pid)
        master.wait_for_line(rf"worker \d+, pid {killed.pid}: left$")
        self.assertEqual(set(self.pids(master, 10)), {staying.pid})
        # The master has a copy of each client's connection.
        handoff.wait_for(
            lambda: handoff.descriptor_count(master.pid) < descriptors + len(clients),
            "the channel to be closed")

    def test_after_the_last_one_was_killed_clients_wait_for_the_next(self):
        master = self.master()
        killed = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], killed.pid)
        killed.kill(signal.SIGKILL)
        master.wait_for_line(rf"worker 1, pid {killed.pid}: left$")
        client = self.open(master)
        client.send("info")
        self.assertEqual(select.select([client.socket], [], [], 0.1)[0], [])
        following = self.joined()
        self.assertEqual(client.receive()["result"]["pid"], following.pid)


class MasterGoing(JoiningTest):
    GONE = r"the master at .* is gone \(--wait would wait for another one\)$"

    def test_a_master_that_stops_has_them_finish_and_end(self):
        gate = self.gate()
        master = self.master()
        busy, idle = self.joined("-m", f"slow=cat {gate}"), self.joined("-m", f"slow=cat {gate}")
        self.wait_until_serving(master, [busy, idle])
        clients = [self.open(master) for _ in range(4)]
        for client in clients:
            client.result("ping")
        clients[0].send("slow")
        with gate.open("w") as opened:
            master.kill(signal.SIGTERM)
            for client in clients[1:]:
                self.assertIsNone(client.receive())
            self.assertIsNone(master.process.poll(), "it waits for the call")
            opened.write("1")
        self.assertEqual(clients[0].receive(), {"out": "slow", "result": 1})
        self.assertIsNone(clients[0].receive())
        for server in (master, busy, idle):
            self.assert_ends(server, 0)
        self.assertFalse(os.path.exists(self.door))

    def test_what_does_not_finish_in_time_is_counted(self):
        gate = self.gate()
        master = self.master("--drain-timeout", "100ms")
        worker = self.joined("-m", f"slow=cat {gate}")
        client = self.open(master)
        client.send("slow")
        with gate.open("w") as opened:
            self.assertEqual(master.stop(), 124)
            master.wait_for_line(r"ended with 1 connection cut off and 0 workers killed$")
            # It is no child of the master's, and goes on.
            self.assertIsNone(worker.process.poll())
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assert_ends(worker, 0)

    def test_they_outlive_a_master_that_is_killed_until_their_calls_are_done(self):
        gate = self.gate()
        master = self.master("-n", "1", command=[WORKER])
        workers = [self.joined("-m", f"slow=cat {gate}") for _ in range(2)]
        self.wait_until_serving(master, workers)
        clients = {}
        while len(clients) < 2:
            client = self.open(master)
            pid = client.result("info")["pid"]
            if pid in (worker.pid for worker in workers):
                clients[pid] = client
        busy, idle = workers
        clients[busy.pid].send("slow")
        with gate.open("w") as opened:
            master.kill(signal.SIGKILL)
            self.assertIsNone(clients[idle.pid].receive())
            self.assert_ends(idle, 3)
            idle.wait_for_line(self.GONE)
            self.assertIsNone(busy.process.poll(), "it waits for its call")
            opened.write("1")
        self.assertEqual(clients[busy.pid].receive()["result"], 1)
        self.assertIsNone(clients[busy.pid].receive())
        self.assert_ends(busy, 3)
        busy.wait_for_line(self.GONE)

    def test_one_that_waits_joins_the_next_master_whenever_that_comes(self):
        """After its calls are done, which is when it looks for one."""
        gate = self.gate()
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                first = self.master("--handshake", handshake)
                worker = self.joined("--wait", "-m", f"slow=cat {gate}")
                client = self.open(first)
                client.send("slow")
                with gate.open("w") as opened:
                    first.kill(signal.SIGKILL)
                    first.process.wait()
                    opened.write("1")
                self.assertEqual(client.receive()["result"], 1)
                self.assertIsNone(client.receive())
                worker.wait_for_line("the master at .* is gone; waiting for another one$")
                for _ in range(2):
                    seen = len(worker.lines)
                    second = self.master("--handshake", handshake)
                    worker.wait_for_line("(joined, on|connected to)", seen)
                    with second.connect() as client:
                        self.assertEqual(client.result("info")["pid"], worker.pid)
                    second.kill(signal.SIGKILL)
                    second.process.wait()
                    worker.wait_for_line("waiting for another one$", seen)
                worker.kill(signal.SIGTERM)
                self.assert_ends(worker, 0)

    def test_one_that_waits_ends_with_a_master_that_stops(self):
        master = self.master()
        worker = self.joined("--wait")
        self.wait_until_serving(master, [worker])
        self.assertEqual(master.stop(), 0)
        self.assert_ends(worker, 0)

    def test_a_master_that_is_being_killed_may_accept_for_a_moment_yet(self):
        # Its channels are closed one by one, and the socket where workers join is behind them.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.settimeout(handoff.PATIENCE)
            listener.bind(self.door)
            listener.listen()
            worker = self.start(handoff.Server(WORKER, "-j", self.door, ready=False))
            channel, _ = listener.accept()
            with channel:
                self.assertEqual(channel.recv(100)[:4], hello()[:4])
                self.assertEqual(channel.recv(100), READY)
                ours, theirs = socket.socketpair()
                client = handoff.Connection.__new__(handoff.Connection)
                client.socket = self.stack.enter_context(ours)
                entry = struct.pack("<QHHI", 1, 2, 0, 0) + struct.pack("H", socket.AF_UNIX)
                socket.send_fds(channel, [header(3, 1) + entry], [theirs.fileno()])
                theirs.close()
                self.assertEqual(client.result("ping", 1), 1)
            channel, _ = listener.accept()
            os.unlink(self.door)
        channel.close()
        self.assert_ends(worker, 3)
        worker.wait_for_line(self.GONE)

    def test_one_that_is_still_busy_when_there_is_another_master_joins_that(self):
        gate = self.gate()
        for handshake, following in (("full", "full"), ("none", "full"), ("full", "none")):
            with self.subTest(f"{handshake}, then {following}"):
                first = self.master("--handshake", handshake)
                worker = self.joined("-m", f"slow=cat {gate}")
                client = self.open(first)
                client.send("slow")
                with gate.open("w") as opened:
                    first.kill(signal.SIGKILL)
                    first.process.wait()
                    second = self.master("--handshake", following)
                    opened.write("1")
                self.assertEqual(client.receive()["result"], 1)
                self.assertIsNone(client.receive())
                with second.connect() as client:
                    self.assertEqual(client.result("info")["pid"], worker.pid)
                self.assertEqual(second.stop(), 0)
                self.assert_ends(worker, 0)

    def test_without_a_master_there_is_nothing_to_join(self):
        def is_refused(door: str, why: str):
            done = subprocess.run([WORKER, "-j", door], capture_output=True, text=True,
                                  timeout=handoff.PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
            self.assertRegex(done.stderr, rf"^rpc-worker: cannot connect to {re.escape(door)}: {why}\n$")

        is_refused(self.door, "No such file or directory")
        is_refused("@handoff-nobody-listens-here", "Connection refused")
        (self.directory / "file").touch()
        is_refused(str(self.directory / "file"),
                   r"Connection refused \(the file is no socket\)")
        master = self.master()
        master.kill(signal.SIGKILL)
        master.process.wait()
        self.assertTrue(os.path.exists(self.door))
        is_refused(self.door, "Connection refused")

    def test_a_socket_with_an_owner_is_not_taken_away(self):
        master = self.master()
        other = self.start(handoff.Server(MASTER, "-l", "127.0.0.1:0", "-j", self.door,
                                          ready=False))
        self.assert_ends(other, 125)
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)


class Plain(JoiningTest):
    """--handshake none: a byte and a descriptor for each connection."""

    def receive(self, channel: socket.socket) -> handoff.Connection:
        """The next connection that the master passes."""
        data, descriptors, flags, _ = socket.recv_fds(channel, 1, 1)
        self.assertEqual((data, len(descriptors), flags & socket.MSG_CTRUNC), (b"\0", 1, 0))
        connection = handoff.Connection.__new__(handoff.Connection)
        connection.socket = self.stack.enter_context(socket.socket(fileno=descriptors[0]))
        connection.socket.settimeout(handoff.PATIENCE)
        return connection

    def test_a_worker_in_python_joins_and_leaves(self):
        master = self.master("--handshake", "none", "-n", "1",
                             command=[sys.executable, "-B", PLAIN_WORKER])
        (own,) = master.worker_pids()
        workers = [self.start(handoff.Server(sys.executable, "-B", "-c", JOIN_AND_RUN, self.door,
                                             PLAIN_WORKER, ready=False)) for _ in range(2)]
        everyone = {own, *(worker.pid for worker in workers)}
        handoff.wait_for(lambda: set(self.python_pids(master, 6)) == everyone, "each to serve")
        pids = self.python_pids(master, 9)
        self.assertEqual([pids.count(pid) for pid in everyone], [3] * 3)
        # It serves one connection after the other, and ends between two.
        leaving, staying = workers
        said = len(master.lines)
        leaving.kill(signal.SIGTERM)
        leaving.process.wait()
        master.wait_for_line(rf"worker \d+, pid {leaving.pid}: left$", said)
        self.assertEqual(set(self.python_pids(master, 6)), {own, staying.pid})
        self.assertEqual(master.stop(), 0)
        self.assert_ends(staying, 0)

    @staticmethod
    def python_pids(master: handoff.Server, connections: int) -> list[int]:
        found = []
        for _ in range(connections):
            with master.connect() as client:
                found.append(client.result("pid"))
        return found

    def test_a_worker_gets_every_second_connection_and_leaves_in_good_order(self):
        master = self.master("--handshake", "none")
        one, other = (self.door_of(socket.SOCK_STREAM) for _ in range(2))
        self.wait_for_status(master, "worker 2, .*: ready")
        clients = [self.open(master) for _ in range(4)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        for channel in (one, other, one, other):
            connection = self.receive(channel)
            request = connection.receive()
            connection.send_body(json.dumps({"out": "pong", "result": request["params"]}).encode())
            connection.close()
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
            self.assertIsNone(client.receive())
        more = [self.open(master) for _ in range(4)]
        handoff.wait_for(lambda: self.waiting(one) == 2, "two connections to be passed to it")
        # What it was given already is still its own, and then comes the end.
        one.shutdown(socket.SHUT_WR)
        for _ in range(2):
            self.receive(one)
        self.assertEqual(one.recv(1), b"")
        master.wait_for_line(rf"worker \d+, pid {os.getpid()}: left$")
        more += [self.open(master) for _ in range(4)]
        for _ in range(6):
            self.receive(other)

    @staticmethod
    def waiting(channel: socket.socket) -> int:
        """How many connections wait in the channel: each has a byte."""
        return struct.unpack("i", fcntl.ioctl(channel, termios.FIONREAD, bytes(4)))[0]

    def test_our_worker_takes_the_plain_form_when_that_is_spoken(self):
        master = self.master("--handshake", "none", "-n", "1", command=[WORKER])
        gate = self.gate()
        workers = [self.joined("-m", f"slow=cat {gate}") for _ in range(2)]
        self.wait_until_serving(master, workers)
        pids = self.pids(master, 9)
        everyone = {*master.worker_pids(), *(worker.pid for worker in workers)}
        self.assertEqual([pids.count(pid) for pid in everyone], [3] * 3)
        leaving = None
        while leaving is None:
            client = self.open(master)
            pid = client.result("info")["pid"]
            leaving = next((worker for worker in workers if worker.pid == pid), None)
        client.send("slow")
        with gate.open("w") as opened:
            leaving.kill(signal.SIGTERM)
            handoff.wait_for(lambda: leaving.pid not in self.pids(master, 6),
                             "the connections to go to others")
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assert_ends(leaving, 0)
        workers.remove(leaving)
        self.assertEqual(master.stop(), 0)
        self.assert_ends(workers[0], 0)

    def test_usr1_names_the_pid_that_has_connected(self):
        master = self.master("--handshake", "none")
        self.door_of(socket.SOCK_STREAM)
        self.wait_for_status(master, f"worker 1, pid {os.getpid()}: ready, 0 connections, 0 restarts$")

    def test_what_a_worker_says_is_ignored_and_a_descriptor_is_not_taken(self):
        master = self.master("--handshake", "none")
        before = handoff.descriptor_count(master.pid)
        channel = self.door_of(socket.SOCK_STREAM)
        channel.sendall(b"anything at all" * 10000)
        client = self.open(master)
        client.send("ping", "still")
        self.assertEqual(self.receive(channel).receive()["params"], "still")
        with open("/dev/null") as file:
            socket.send_fds(channel, [b"x"], [file.fileno()])
        self.assert_closed(channel)
        master.wait_for_line(f"worker 1, pid {os.getpid()}: .*; ")
        handoff.wait_for(lambda: handoff.descriptor_count(master.pid) <= before,
                         "what it has sent to be closed")


class Strangers(JoiningTest):
    """Who is no worker."""

    def serving_master(self, *options: str) -> handoff.Server:
        master = self.master("-n", "1", *options, command=[WORKER])
        self.client = self.open(master)
        self.client.result("ping")
        self.pids(master, 3)
        self.before = handoff.descriptor_count(master.pid)
        return master

    def assert_unharmed(self, master: handoff.Server):
        handoff.wait_for(lambda: handoff.descriptor_count(master.pid) <= self.before,
                         "the master's descriptors to be as few as before")
        self.assertEqual(self.client.result("ping", 1), 1)
        self.assertEqual(self.pids(master, 3), master.worker_pids() * 3)

    def test_who_says_nothing_is_sent_away_at_the_deadline(self):
        master = self.serving_master("--ready-timeout", "300ms")
        started = time.monotonic()
        silent = [self.door_of() for _ in range(20)]
        greeting = [self.door_of() for _ in range(20)]
        for channel in greeting:
            channel.send(hello())
        self.assertEqual(self.pids(master, 3), master.worker_pids() * 3)
        self.assert_closed(silent[0])
        self.assertGreater(time.monotonic() - started, 0.25)
        for channel in silent + greeting:
            self.assert_closed(channel)
        self.assertLess(time.monotonic() - started, QUICK)
        master.wait_for_line("not ready within 300ms")
        self.assert_unharmed(master)

    def test_who_talks_nonsense_is_sent_away_at_once(self):
        master = self.serving_master()
        kinds = {
            "a byte": [b"x"], "zeros": [bytes(8)], "HTTP": [b"GET / HTTP/1.1\r\n\r\n"],
            "half a header": [hello()[:7]], "half a HELLO": [hello()[:-1]],
            "a HELLO and more": [hello() + b"x"], "another version": [hello(version=2)],
            "an unknown type": [header(200)], "no HELLO": [READY],
            "two of them": [hello(), hello()],
            "what a master says": [hello(), READY, header(10)],
            "a connection of its own": [hello(), READY, header(3, 1) + bytes(16)],
            "what it was not given": [hello(), READY, header(6, 1) + bytes(8)],
            "a wrong count": [hello(), READY, header(6, 2) + bytes(8)],
            "too much": [bytes(150000)], "nothing": [b""],
        }
        for kind, packets in kinds.items():
            with self.subTest(kind):
                channel = self.door_of()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for packet in packets:
                        channel.send(packet)
                self.assert_closed(channel)
                self.assert_unharmed(master)

    def test_who_sends_descriptors_is_sent_away_and_they_are_closed(self):
        master = self.serving_master()
        for packet in (hello(), b"x", header(6, 0)):
            for count in (1, 2, 100):
                with self.subTest(packet=packet, count=count):
                    read_end, write_end = os.pipe()
                    channel = self.door_of()
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        socket.send_fds(channel, [packet], [write_end] * count)
                    os.close(write_end)
                    self.assert_closed(channel)
                    self.assertEqual(os.read(read_end, 1), b"")
                    os.close(read_end)
                    self.assert_unharmed(master)

    def test_who_speaks_another_kind_of_socket_does_not_get_in(self):
        master = self.serving_master()
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with self.assertRaises(OSError):
                self.door_of(kind)
        self.assert_unharmed(master)

    def test_who_leaves_again_at_once_is_forgotten(self):
        master = self.serving_master()
        for packets in ([], [hello()], [hello(), READY]):
            for _ in range(20):
                channel = self.door_of()
                for packet in packets:
                    channel.send(packet)
                channel.close()
        self.assert_unharmed(master)

    def test_a_worker_that_takes_nothing_costs_no_client_its_connection_but_its_own(self):
        master = self.serving_master()
        stuck = self.door_of()
        stuck.send(hello(credits=1))
        stuck.send(READY)
        clients = [self.open(master) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        handoff.wait_for(lambda: len(self.answered(clients)) >= 9, "the others to be answered")
        stuck.close()
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                client.receive()
            client.close()
        self.assert_unharmed(master)

    @staticmethod
    def answered(clients: list[handoff.Connection]) -> list:
        return select.select([client.socket for client in clients], [], [], 0)[0]

    def test_a_thousand_and_some_are_too_many(self):
        self.need_descriptors(4096)
        master = self.serving_master("--ready-timeout", "30s")
        channels = [self.door_of() for _ in range(1024)]
        last = self.door_of()
        self.assert_closed(last)
        master.wait_for_line("join: 1024 workers are the limit$")
        refused = self.start(handoff.Server(WORKER, "-j", self.door, ready=False))
        self.assert_ends(refused, 3)
        for channel in channels:
            channel.close()
        self.assert_unharmed(master)
        worker = self.joined()
        self.wait_until_serving(master, [worker])


class Users(JoiningTest):
    """Another user is refused at the file, or after a look at who it is."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs root and setpriv to be another user")
        self.be_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if subprocess.run([*self.be_nobody, WORKER, "--version"], capture_output=True).returncode:
            self.skipTest("another user can't execute what is tested here")
        os.chmod(self.directory, 0o755)

    def mode(self) -> int:
        return stat.S_IMODE(os.stat(self.door).st_mode)

    def join_as_nobody(self) -> handoff.Server:
        return self.start(handoff.Server(*self.be_nobody, WORKER, "-j", self.door, ready=False))

    def test_the_socket_is_its_owners_alone(self):
        for handshake in ("full", "none"):
            self.door = str(self.directory / handshake)
            master = self.master("--handshake", handshake)
            self.assertEqual(self.mode(), 0o600)
            other = self.join_as_nobody()
            self.assert_ends(other, 3)
            other.wait_for_line(f"cannot connect to {self.door}: Permission denied$")
            worker = self.joined()
            self.assertEqual(self.open(master).result("info")["pid"], worker.pid)

    def test_the_umask_does_not_matter(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.master()
        self.assertEqual(self.mode(), 0o600)

    def test_allow_uid_admits_that_user(self):
        for handshake in ("full", "none"):
            self.door = str(self.directory / handshake)
            master = self.master("--handshake", handshake, "--allow-uid", str(NOBODY))
            self.assertEqual(self.mode(), 0o666)
            other = self.join_as_nobody()
            other.wait_for_line("(joined, on|connected to) ")
            self.assertEqual(self.open(master).result("info")["pid"], other.pid)
            self.assertEqual(os.stat(f"/proc/{other.pid}").st_uid, NOBODY)
            worker = self.joined()
            self.wait_until_serving(master, [other, worker])
            self.assertEqual(other.stop(), 0)

    def test_allow_uid_admits_nobody_else(self):
        master = self.master("--allow-uid", "1", "--allow-uid", "2")
        other = self.join_as_nobody()
        self.assert_ends(other, 3)
        master.wait_for_line(f"cannot accept on {self.door}: user {NOBODY} is refused "
                             r"\(--allow-uid allows it\)$")
        self.assertLess(len([line for line in master.lines if "is refused" in line]), 10)
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)

    def test_an_abstract_name_is_not_open_to_others_either(self):
        self.door = f"@handoff-test-users-{os.getpid()}"
        master = self.master()
        other = self.join_as_nobody()
        self.assert_ends(other, 3)
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)


class Ssh(JoiningTest):
    """A server that is started for each connection, on a host that is reached by ssh."""

    def setUp(self):
        super().setUp()
        self.sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
        if not self.sshd or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
            self.skipTest("ssh or sshd is not installed")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)],
                           check=True, stdin=subprocess.DEVNULL)
        port = self.start_sshd()
        public = pathlib.Path(self.path("host.pub")).read_text().split()
        known = self.write("known_hosts", f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
        self.ssh = " ".join([
            "exec ssh -F /dev/null -p", str(port), "-i", self.path("user"), "-o BatchMode=yes",
            "-o IdentitiesOnly=yes -o", f"UserKnownHostsFile={known}",
            f"{getpass.getuser()}@127.0.0.1"])

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return self.path(name)

    def start_sshd(self) -> int:
        """Runs sshd on a free port. It can't choose one by itself, so another process may come
        first: then there is another try."""
        if os.geteuid() == 0:
            # Debian makes it when the service starts. It stays: another run may need it now.
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        for _ in range(10):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            config = self.write("sshd_config", "\n".join([
                f"ListenAddress 127.0.0.1:{port}", f"HostKey {self.path('host')}",
                f"AuthorizedKeysFile {self.path('user.pub')}", "StrictModes no", "PidFile none",
                "PermitRootLogin yes", "PasswordAuthentication no", "UsePAM no",
                "KbdInteractiveAuthentication no", ""]))
            server = self.start(handoff.Server(self.sshd, "-D", "-e", "-f", config, ready=False))
            with contextlib.suppress(AssertionError):
                server.wait_for_line("(?i)listening on")
                return port
        self.skipTest("sshd does not start here")

    def test_rpc_call_calls_a_worker_at_the_other_end(self):
        address = f"exec:{self.ssh} {WORKER} --stdio"
        done = subprocess.run([CALL, "--full", address, "ping", '"over ssh"'], capture_output=True,
                              text=True, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stdout),
                         (0, '{"out":"pong","result":"over ssh"}\n'), done.stderr)
        lines = "".join(f"{number}\n" for number in range(20000))
        done = subprocess.run([CALL, address, "echo", "-"], input=lines, capture_output=True,
                              text=True, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout == lines)

    def test_a_method_is_answered_by_a_worker_at_the_other_end(self):
        words = f"{self.ssh} {WORKER} --stdio -m there=cat"
        server = self.start(handoff.worker("-f", f"there=exec:{words}"))
        client = self.open(server)
        for number in range(10):
            self.assertEqual(client.result("there", number), number)
        self.assertEqual(len(handoff.children(server.pid)), 1)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
