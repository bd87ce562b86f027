# SPDX-License-Identifier: MIT
"""--pass listener: the workers accept for themselves. Nobody who waits is lost when one of them
dies, leaves, is full or harms the socket; and a program that knows nothing of us is a worker too."""

import contextlib
import http.client
import os
import pathlib
import random
import re
import resource
import select
import shutil
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
    CONNECTION, FINISHED, LISTENER, RETURN, STARTED, Channel, connect)

MASTER = handoff.tool("rpc-master")
WORKER = handoff.tool("rpc-worker")

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0

OWN = 1 << 63

EPOLLEXCLUSIVE = 1 << 28
LISTENING = "0A"


def inode_of(address) -> str:
    """Of the listening socket that is bound there."""
    if isinstance(address, str):
        lines = pathlib.Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
        # It was bound beside, and renamed into place.
        found = [fields[6] for fields in map(str.split, lines)
                 if {address, f"{address}.new"} & set(fields[7:]) and fields[3] == "00010000"]
    else:
        lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        found = [fields[9] for fields in map(str.split, lines)
                 if fields[1] == f"0100007F:{address[1]:04X}" and fields[3] == LISTENING]
    assert len(found) == 1, (address, found)
    return found[0]


def numbers_of(pid: int, inode: str) -> list[int]:
    """The descriptors of a process that are this socket."""
    numbers = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}") == f"socket:[{inode}]":
                numbers.append(int(name))
    return sorted(numbers)


def wakeups(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M).group(1))


class ScriptedWorker(Channel):
    """A worker that has joined, and accepts only when a test says so."""

    def __init__(self, path: str, credits: int = 1000):
        super().__init__(connect(path), credits)
        self.listeners: list[socket.socket] = []
        self.connections: list[socket.socket] = []
        self.asked_to_look = 0

    def receive(self) -> int:
        """The next message's type."""
        packet, descriptors, kind, count = self.receive_message()
        sockets = [socket.socket(fileno=number) for number in descriptors]
        if kind == LISTENER:
            assert len(packet) == 8 and len(sockets) == count, packet
            if sockets:
                for old in self.listeners:
                    old.close()
                self.listeners = sockets
            else:
                self.asked_to_look += 1
        elif kind == CONNECTION:
            self.connections += sockets
        return kind

    def receive_until(self, condition):
        while not condition():
            self.receive()

    def take_listeners(self) -> list[socket.socket]:
        """The next ones that it is passed."""
        for old in self.listeners:
            old.close()
        self.listeners = []
        self.receive_until(lambda: self.listeners)
        return self.listeners

    def return_connection(self, number: int, connection: socket.socket):
        entry = struct.pack("<QHBBI", number, 0, 0, 0, 0)
        self.send(RETURN, entry, 1, [connection.fileno()])

    def die(self):
        for one in [*self.listeners, *self.connections, self.channel]:
            one.close()


class ListenerTest(handoff.TestCase):
    doors = 0

    def start(self, server: handoff.Server) -> handoff.Server:
        started = super().start(server)
        self.stack.callback(self.end, started)
        return started

    @staticmethod
    def end(server):
        """Workers that are stopped, or know nothing of us, would outlive a failed test."""
        pids = handoff.children(server.pid)
        if server.process.poll() is None:
            server.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def master(self, *options: str, **more) -> handoff.Server:
        return self.start(handoff.master("--pass", "listener", *options, **more))

    def open_door(self, *options: str, workers: int = 0, listen: str = "127.0.0.1:0"):
        """A master that workers can join."""
        self.doors += 1
        path = str(self.directory / f"join{self.doors}")
        spawned = ["-n", str(workers), "--", WORKER] if workers else []
        server = self.start(handoff.Server(MASTER, "--pass", "listener", "-l", listen, "-j", path,
                                           *options, *spawned, ready=False))
        line = server.wait_for_line(r": ready, .* on ").split(" (")[0]
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        return server, path

    def join(self, path: str, **more) -> ScriptedWorker:
        worker = ScriptedWorker(path, **more)
        self.addCleanup(worker.die)
        return worker

    def joined(self, path: str, *options: str) -> handoff.Server:
        worker = self.start(handoff.Server(WORKER, "-j", path, *options, ready=False))
        worker.wait_for_line("joined, on ")
        # It accepts when it holds the listener in its epoll.
        handoff.wait_for(lambda: self.watches(worker.pid), "the worker to have the listener")
        return worker

    @staticmethod
    def watches(pid: int) -> int:
        """The events that it waits for on listeners, together."""
        listening = set()
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            if line.split()[3] == LISTENING:
                listening.add(line.split()[9])
        numbers = {number for inode in listening for number in numbers_of(pid, inode)}
        events = 0
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(FileNotFoundError):
                text = pathlib.Path(f"/proc/{pid}/fdinfo/{name}").read_text()
                for number, mask in re.findall(r"^tfd:\s+(\d+) events:\s+([0-9a-f]+)", text, re.M):
                    if int(number) in numbers:
                        events |= int(mask, 16)
        return events

    def open_with_others_stopped(self, server, pid: int, others) -> handoff.Connection:
        """A connection that the worker `pid` has accepted."""
        for other in others:
            handoff.stop_process(other)
        client = self.open(server)
        self.assertEqual(client.result("info")["pid"], pid)
        for other in others:
            os.kill(other, signal.SIGCONT)
        return client

    def asking(self, server, count: int) -> list[handoff.Connection]:
        """Clients that have sent a request."""
        clients = [self.open(server) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        return clients

    def assert_answered(self, clients):
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def connect_anyhow(self, address) -> handoff.Connection:
        """As soon as somebody listens."""
        def connected():
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                client = self.stack.enter_context(handoff.Connection(address))
                return client if client.call("ping", 1) else None
            return None
        return handoff.wait_for(connected, "the socket to be listened on", patience=QUICK)


class Model(ListenerTest):
    def test_the_workers_have_the_listening_socket(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake, workers=3)
                inode = inode_of(server.address)
                for pid in server.worker_pids():
                    self.assertEqual(numbers_of(pid, inode)[:1], [3])

    def test_with_pass_connection_only_the_master_has_it(self):
        server = self.start(handoff.master("--pass", "connection", workers=2))
        inode = inode_of(server.address)
        self.assertEqual(len(numbers_of(server.pid, inode)), 1)
        for pid in server.worker_pids():
            self.assertEqual(numbers_of(pid, inode), [])

    def test_connections_do_not_wake_the_master(self):
        server = self.master("--handshake", "none")
        self.open(server).result("ping")
        before = wakeups(server.pid)
        for number in range(100):
            with server.connect() as client:
                self.assertEqual(client.result("ping", number), number)
        self.assertLess(wakeups(server.pid) - before, 10)

    def test_connections_wake_one_worker_or_all(self):
        for options, exclusive in (([], True), (["--wake", "one"], True),
                                   (["--wake", "all"], False)):
            with self.subTest(options):
                server = self.master(command=[WORKER, *options])
                for pid in server.worker_pids():
                    events = handoff.wait_for(lambda: self.watches(pid), "the worker to listen")
                    self.assertEqual(bool(events & EPOLLEXCLUSIVE), exclusive)
                clients = self.asking(server, 50)
                self.assert_answered(clients)

    def test_every_worker_accepts(self):
        for options in ([], ["--handshake", "none"], ["-l", str(self.directory / "socket")]):
            with self.subTest(options):
                server = self.master(*options, workers=3)
                pids = server.worker_pids()
                for pid in pids:
                    for other in pids:
                        if other != pid:
                            handoff.stop_process(other)
                    for _ in range(5):
                        with server.connect() as client:
                            self.assertEqual(client.result("info")["pid"], pid)
                    for other in pids:
                        os.kill(other, signal.SIGCONT)

    def test_what_a_worker_inherits(self):
        for handshake, kind in (("full", socket.SOCK_SEQPACKET), ("none", socket.SOCK_STREAM)):
            with self.subTest(handshake):
                directory = self.directory / handshake
                directory.mkdir()
                path = str(directory / "socket")
                # The numbers 3 to 5 are looked at before the worker takes them.
                server = self.master(
                    "--handshake", handshake, "-l", "127.0.0.1:0", "-l", path, workers=2,
                    command=["sh", "-c", f'cd "{directory}"; echo $$ >"$HANDOFF_WORKER.pid"; '
                             'env >"$HANDOFF_WORKER.env"; '
                             'for n in 3 4 5 6; do readlink /proc/$$/fd/$n; done '
                             f'>"$HANDOFF_WORKER.fds"; exec "$0"', WORKER])
                inodes = [inode_of(address) for address in server.addresses]
                for number, pid in enumerate(server.worker_pids(), 1):
                    handoff.wait_for(lambda: self.watches(pid), "the worker to listen")
                    self.assertEqual(int((directory / f"{number}.pid").read_text()), pid)
                    environment = dict(line.split("=", 1) for line in
                                       (directory / f"{number}.env").read_text().splitlines()
                                       if "=" in line)
                    self.assertEqual(
                        {name: environment.get(name) for name in
                         ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "HANDOFF_CHANNEL_FD",
                          "HANDOFF_WORKER")},
                        {"LISTEN_FDS": "2", "LISTEN_PID": str(pid), "HANDOFF_CHANNEL_FD": "5",
                         "LISTEN_FDNAMES": "listener:listener", "HANDOFF_WORKER": str(number)})
                    links = (directory / f"{number}.fds").read_text().splitlines()
                    self.assertEqual(links[:2], [f"socket:[{inode}]" for inode in inodes])
                    self.assertEqual(len(links), 3, "the channel is the last")
                    with socket.socket(fileno=self.copy_of(pid, 5)) as channel:
                        self.assertEqual((channel.family, channel.type), (socket.AF_UNIX, kind))
                for address in server.addresses:
                    with handoff.Connection(address) as client:
                        self.assertEqual(client.result("ping", 1), 1)

    def copy_of(self, pid: int, number: int) -> int:
        """A descriptor of another process, taken by fdsend."""
        yama = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
        if os.geteuid() != 0 and yama.exists() and yama.read_text().strip() != "0":
            self.skipTest("Yama forbids to take descriptors from other processes")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run([handoff.tool("fdsend"), "--pid", f"{pid}:{number}", "-"],
                           stdout=theirs, check=True, timeout=handoff.PATIENCE)
            return socket.recv_fds(ours, 100, 1)[1][0]

    def test_a_listener_that_came_from_elsewhere_is_passed_on(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            number = listener.fileno()
            server = self.master("-l", f"fd:{number}", pass_fds=[number])
            self.assertEqual(server.address, listener.getsockname())
        inode = inode_of(server.address)
        for pid in server.worker_pids():
            self.assertTrue(numbers_of(pid, inode))
        self.assert_answered(self.asking(server, 20))

    def test_no_client_is_accepted_before_all_workers_are_ready(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        path = str(self.directory / "socket")
        server = self.start(handoff.master(
            "--pass", "listener", "-l", path, workers=2, ready=False,
            command=["sh", "-c", f'test $HANDOFF_WORKER = 1 || read x <"{gate}"; exec "$0"',
                     WORKER]))
        handoff.wait_for(lambda: os.path.exists(path), "the socket")
        client = self.stack.enter_context(handoff.Connection(path))
        client.send("ping", 1)
        self.assertEqual(select.select([client.socket], [], [], 0.2)[0], [])
        gate.write_text("go\n")
        self.assertEqual(client.receive()["result"], 1)
        server.wait_for_line(": ready, 2 workers, on ")

    def test_usage_errors(self):
        command = ["--", WORKER]
        for words, said in (
                ([MASTER, "-p", "listener", "-b", "least", *command], "--balance"),
                ([MASTER, "-p", "listener", "--balance", "round-robin", *command], "--balance"),
                ([MASTER, "--pass", "listener", "--max-connections", "2", *command],
                 "--max-connections"),
                ([MASTER, "--pass", "nothing", *command], "--pass nothing: write"),
                ([WORKER, "-l", "127.0.0.1:0", "--wake", "nobody"], "--wake nobody: write")):
            with self.subTest(words[1:]):
                done = subprocess.run(words, capture_output=True, text=True, check=False,
                                      timeout=handoff.PATIENCE)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertRegex(done.stderr, rf"\A{pathlib.Path(words[0]).name}: .*{said}.*\n\Z")


class Backlog(ListenerTest):
    """Those who wait to be accepted are served, whatever becomes of the workers."""

    def test_all_workers_but_one_are_killed(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake, workers=4)
                *victims, survivor = server.worker_pids()
                for pid in (*victims, survivor):
                    handoff.stop_process(pid)
                clients = self.asking(server, 50)
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                os.kill(survivor, signal.SIGCONT)
                self.assert_answered(clients)

    def test_all_workers_but_one_are_killed_and_none_can_be_started(self):
        """Only the one that is left can serve them."""
        program = self.directory / "worker"
        program.symlink_to(WORKER)
        server = self.master(workers=4, command=[str(program)])
        program.unlink()
        *victims, survivor = server.worker_pids()
        for pid in (*victims, survivor):
            handoff.stop_process(pid)
        clients = self.asking(server, 50)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        handoff.wait_for(lambda: not any(map(handoff.alive, victims)), "them to die")
        os.kill(survivor, signal.SIGCONT)
        self.assert_answered(clients)
        for client in clients:
            self.assertEqual(client.result("info")["pid"], survivor)

    def test_all_workers_are_killed(self):
        server = self.master(workers=3)
        victims = server.worker_pids()
        for pid in victims:
            handoff.stop_process(pid)
        clients = self.asking(server, 50)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.assert_answered(clients)

    def test_all_workers_are_replaced_while_they_are_stopped(self):
        server = self.master("--drain-timeout", "300ms", workers=2)
        stopped = server.worker_pids()
        for pid in stopped:
            handoff.stop_process(pid)
        clients = self.asking(server, 50)
        server.kill(signal.SIGHUP)
        self.assert_answered(clients)
        handoff.wait_for(lambda: not any(map(handoff.alive, stopped)), "the old workers' end")

    def first_scripted_then_real(self):
        """The kernel wakes the one that came first, which is the scripted one."""
        server, path = self.open_door()
        scripted = self.join(path)
        (listener,) = scripted.take_listeners()
        woken = self.stack.enter_context(select.epoll())
        woken.register(listener, select.EPOLLIN | EPOLLEXCLUSIVE)
        self.joined(path)
        return server, scripted, woken

    def wake(self, server, woken) -> handoff.Connection:
        """A client whose connection has woken the scripted worker. The others may have been too:
        then it is served, and there is another try."""
        events = []
        thread = threading.Thread(target=lambda: events.extend(woken.poll(handoff.PATIENCE)))
        thread.start()
        wchan = pathlib.Path(f"/proc/self/task/{thread.native_id}/stat")
        handoff.wait_for(lambda: wchan.read_text().rsplit(")", 1)[1].split()[0] == "S",
                         "the scripted worker to wait")
        client = self.open(server)
        thread.join()
        self.assertTrue(events)
        client.send("ping", 0)
        return client

    def test_one_that_was_woken_and_dies_leaves_its_client_to_another(self):
        server, scripted, woken = self.first_scripted_then_real()
        client = self.wake(server, woken)
        self.assertEqual(select.select([client.socket], [], [], 0.2)[0], [], "nobody else knows")
        woken.close()
        scripted.die()
        self.assert_answered([client])

    def test_one_that_was_woken_and_says_so_leaves_its_client_to_another(self):
        server, scripted, woken = self.first_scripted_then_real()
        client = self.wake(server, woken)
        self.assertEqual(select.select([client.socket], [], [], 0.2)[0], [], "nobody else knows")
        woken.close()
        scripted.send(LISTENER)
        self.assert_answered([client])
        self.assertEqual(scripted.asked_to_look, 0)

    def test_one_that_is_full_leaves_its_clients_to_others(self):
        for options in (["--wake", "one"], ["--wake", "all"]):
            with self.subTest(options):
                server = self.master(workers=3, command=[WORKER, "--credits", "1", *options])
                for _ in range(handoff.count(200, 10)):
                    clients = [self.open(server) for _ in range(3)]
                    pids = {client.result("info")["pid"] for client in clients}
                    self.assertEqual(pids, set(server.worker_pids()))
                    waiting = self.open(server)
                    waiting.send("ping", "waits")
                    self.assertEqual(select.select([waiting.socket], [], [], 0.01)[0], [])
                    clients[1].close()
                    self.assertEqual(waiting.receive()["result"], "waits")
                    for client in (clients[0], clients[2], waiting):
                        client.close()

    def test_clients_that_come_together_are_shared_by_those_that_have_room(self):
        server = self.master(workers=4, command=[WORKER, "--credits", "5"])
        for _ in range(handoff.count(200, 10)):
            clients = self.asking(server, 20)
            self.assert_answered(clients)
            pids = [client.result("info")["pid"] for client in clients]
            self.assertEqual([pids.count(pid) for pid in server.worker_pids()], [5] * 4)
            for client in clients:
                client.close()

    def test_one_without_descriptors_leaves_its_clients_to_others(self):
        server = self.master(workers=2)
        for pid in server.worker_pids():
            handoff.wait_for(lambda: self.watches(pid), "the worker to listen")
        for full in server.worker_pids():
            _, hard = resource.prlimit(full, resource.RLIMIT_NOFILE)
            resource.prlimit(full, resource.RLIMIT_NOFILE, (3, hard))
            for _ in range(5):
                with server.connect() as client:
                    client.socket.settimeout(QUICK)
                    self.assertNotEqual(client.result("info")["pid"], full)
            resource.prlimit(full, resource.RLIMIT_NOFILE, (hard, hard))

    def test_all_are_out_of_descriptors_for_a_while(self):
        server = self.master(workers=2)
        limits = {}
        for pid in server.worker_pids():
            handoff.wait_for(lambda: self.watches(pid), "the worker to listen")
            _, limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[pid]))
        clients = self.asking(server, 10)
        server.wait_for_line("rpc-worker: cannot accept on .*: Too many open files; trying again")
        before = sum(map(handoff.cpu_seconds, limits))
        self.assertEqual(select.select([client.socket for client in clients], [], [], 1)[0], [])
        self.assertLess(sum(map(handoff.cpu_seconds, limits)) - before, 0.1)
        for pid, hard in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        self.assert_answered(clients)


class Racing(ListenerTest):
    """Clients that come at the very moment when a worker goes."""

    def test_kills_strand_nobody(self):
        server = self.master("--backoff", "5ms:20ms", workers=3)
        chance = random.Random(1)
        lost = 0
        for number in range(handoff.count(1000, 60)):
            clients = []
            victim = chance.choice(handoff.wait_for(server.worker_pids, "a worker"))
            for place in range(6):
                if place == number % 6:
                    with contextlib.suppress(ProcessLookupError):  # of an earlier round
                        os.kill(victim, signal.SIGKILL)
                client = self.open(server)
                clients.append(client)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send("ping", number)
            for client in clients:
                # Those that the killed one had accepted end; nobody waits for ever.
                client.socket.settimeout(QUICK)
                with client, contextlib.suppress(ConnectionResetError):
                    reply = client.receive()
                    if reply is not None:
                        self.assertEqual(reply["result"], number)
                        continue
                lost += 1
            handoff.wait_for(lambda: len(server.worker_pids()) == 3, "another in its place")
        print(f"kills: {lost} connections ended with their workers", file=sys.stderr)

    def test_reloads_strand_nobody(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake)
                for number in range(handoff.count(500, 30)):
                    clients = []
                    for place in range(6):
                        if place == number % 6:
                            server.kill(signal.SIGHUP)
                        clients.append(self.open(server))
                        with contextlib.suppress(ConnectionError):
                            clients[-1].send("ping", place)
                    if handshake == "full":
                        self.assert_answered(clients)
                    else:
                        self.assert_not_stranded(clients)
                    for client in clients:
                        client.close()
                handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the old ones to leave")
                self.assertEqual(server.stop(), 0)

    def assert_not_stranded(self, clients):
        """Without messages, one that was accepted and had not asked yet may be closed."""
        for client in clients:
            client.socket.settimeout(QUICK)
            with contextlib.suppress(ConnectionResetError):
                self.assertIn((client.receive() or {"out": None})["out"], ("pong", None))

    def test_workers_that_are_terminated_strand_nobody(self):
        server = self.master()
        terminated: set[int] = set()  # a second one would end them at once
        for _ in range(handoff.count(500, 30)):
            pid = handoff.wait_for(
                lambda: next(iter(set(server.worker_pids()) - terminated), None), "a worker")
            handoff.wait_for(lambda: self.watches(pid), "it to accept")
            terminated.add(pid)
            clients = self.asking(server, 3)
            os.kill(pid, signal.SIGTERM)
            more = self.asking(server, 3)
            self.assert_answered(clients)
            self.assert_answered(more)
            for client in clients + more:
                client.close()

    def test_workers_that_join_and_leave_strand_nobody(self):
        server, path = self.open_door()
        staying = self.joined(path)
        self.assertEqual(self.open(server).result("info")["pid"], staying.pid)
        for _ in range(handoff.count(200, 10)):
            leaving = self.joined(path)
            client = self.open_with_others_stopped(server, leaving.pid, [staying.pid])
            clients = self.asking(server, 3)
            leaving.kill(signal.SIGTERM)
            more = self.asking(server, 3)
            self.assert_answered(clients)
            self.assert_answered(more)
            self.assertEqual(leaving.process.wait(handoff.PATIENCE), 0)
            self.assertEqual(client.result("info")["pid"], staying.pid, "it has moved")
            for one in [client, *clients, *more]:
                one.close()


class Hostile(ListenerTest):
    """A worker that shuts the listener down, for everyone."""

    def healed(self, server, seen: int, started: float):
        server.wait_for_line("listening again on .*: a worker had shut the socket down", after=seen,
                             patience=QUICK)
        client = self.connect_anyhow(server.address)
        self.assertLess(time.monotonic() - started, QUICK)
        return client

    def free_port(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            return f"127.0.0.1:{free.getsockname()[1]}"

    def addresses(self) -> dict:
        """By name; a test that fails with one goes on with the next. An abstract name belongs to the
        old socket for as long as a worker has it."""
        return {"a port of the kernel's": "127.0.0.1:0", "a port": self.free_port(),
                "a path": str(self.directory / "socket")}

    def test_one_with_messages(self):
        for kind, address in self.addresses().items():
            with self.subTest(kind):
                server, path = self.open_door(workers=2, listen=address)
                long_lived = self.open(server)
                long_lived.result("ping")
                descriptors = None
                for _ in range(handoff.count(100, 5)):
                    worker = self.join(path)
                    (listener,) = worker.take_listeners()
                    seen = len(server.lines)
                    started = time.monotonic()
                    listener.shutdown(socket.SHUT_RDWR)
                    self.healed(server, seen, started).close()
                    # It gets what is listened on now, as the others do.
                    (fresh,) = worker.take_listeners()
                    if not kind.endswith("path"):  # it is bound under another name first
                        self.assertEqual(fresh.getsockname(), self.named(server.address))
                    self.assertTrue(fresh.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                    worker.die()
                    descriptors = descriptors or handoff.descriptor_count(server.pid)
                self.assertEqual(long_lived.result("ping", 1), 1)
                for pid in server.worker_pids():
                    with self.open_with_others_stopped(
                            server, pid, set(server.worker_pids()) - {pid}) as client:
                        self.assertEqual(client.result("info")["pid"], pid)
                handoff.wait_for(
                    lambda: handoff.descriptor_count(server.pid) <= descriptors + 1,
                    "the old sockets to be closed")
                self.assertEqual(server.stop(), 0)
                if kind == "a path":
                    self.assertFalse(os.path.lexists(address))

    @staticmethod
    def named(address):
        """As getsockname() gives it."""
        if isinstance(address, str) and address.startswith("@"):
            return b"\0" + address[1:].encode()
        return address

    HOSTILE = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("hostile", file=sys.stderr, flush=True)
signal.sigwait([signal.SIGUSR1])
socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)
signal.pause()
"""

    def test_one_without_messages(self):
        for kind, address in self.addresses().items():
            with self.subTest(kind):
                mark = self.directory / f"mark {kind}"
                command = ["sh", "-c", f'mkdir "{mark}" 2>/dev/null || exec "$0"; '
                           'exec "$1" -I -c "$2"', WORKER, sys.executable, self.HOSTILE]
                server = self.master("-v", "--handshake", "none", "-l", address, workers=2,
                                     command=command)
                server.wait_for_line("^hostile$")
                (hostile,) = [pid for pid in server.worker_pids()
                              if pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
                              == sys.executable]
                seen = len(server.lines)
                started = time.monotonic()
                os.kill(hostile, signal.SIGUSR1)
                client = self.healed(server, seen, started)
                self.assertEqual(client.result("ping", 1), 1)
                with contextlib.suppress(ProcessLookupError):  # unless it was replaced
                    os.kill(hostile, signal.SIGKILL)
                for _ in range(20):
                    with server.connect() as client:
                        self.assertEqual(client.result("ping", 1), 1)
                self.assertEqual(server.stop(), 0, server.lines)

    def test_under_load(self):
        server, path = self.open_door(workers=2)
        answers = Answers(lambda: self.ask(server.address))
        with answers:
            for _ in range(handoff.count(100, 5)):
                worker = self.join(path)
                (listener,) = worker.take_listeners()
                answers.wait_for(20)
                seen = len(server.lines)
                listener.shutdown(socket.SHUT_RDWR)
                server.wait_for_line("listening again", after=seen, patience=QUICK)
                worker.take_listeners()
                worker.die()
                answers.wait_for(20)
        self.assertLessEqual(set(answers.all), {"answered", "refused", "ended"})

    @staticmethod
    def ask(address) -> str:
        try:
            with handoff.Connection(address, timeout=QUICK) as client:
                return "answered" if client.call("ping", 1) else "ended"
        except ConnectionRefusedError:
            return "refused"
        except (ConnectionResetError, BrokenPipeError):
            return "ended"

    def test_what_a_worker_says_wrong_about_its_own_connections(self):
        for name, say in {
                "returned what it did not start":
                    lambda worker, one: worker.return_connection(OWN | 1, one),
                "finished what it did not start": lambda worker, _: worker.send_ids(FINISHED, OWN),
                "started what it was not given": lambda worker, _: worker.send_ids(STARTED, 7)
        }.items():
            with self.subTest(name):
                server, path = self.open_door("-v", workers=1)
                worker = self.join(path)
                worker.take_listeners()
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    say(worker, theirs)
                server.wait_for_line(rf"worker 2, pid {os.getpid()}: it .*; sent away")
                self.assert_answered(self.asking(server, 10))
                self.assertEqual(server.stop(), 0)

    def test_with_pass_connection_nobody_has_connections_of_its_own(self):
        path = str(self.directory / "join")
        server = self.start(handoff.Server(MASTER, "--pass", "connection", "-l", "127.0.0.1:0",
                                           "-j", path, ready=False))
        server.wait_for_line(": ready, ")
        worker = self.join(path)
        worker.send_ids(STARTED, OWN | 1)
        server.wait_for_line("it started a connection that it was not given; sent away")


class Moving(ListenerTest):
    def test_a_connection_that_a_worker_accepted_is_given_back_to_another(self):
        server, path = self.open_door("-v")
        scripted = self.join(path)
        (listener,) = scripted.take_listeners()
        client = self.open(server)
        client.send("info")
        select.select([listener], [], [], handoff.PATIENCE)
        connection, _ = listener.accept()
        scripted.send_ids(STARTED, OWN | 1)
        self.wait_for_status(server, r"worker 1, .*: ready, 1 connection, ")
        with connection:
            scripted.return_connection(OWN | 1, connection)
        self.wait_for_status(server, r"worker 1, .*: ready, (0|1) connections?, ")
        other = self.joined(path)
        handoff.wait_for(lambda: self.said(server, rf"pid {other.pid}: ready"), "it to be ready")
        if not select.select([client.socket], [], [], 0.2)[0]:
            # The scripted one has got it again.
            scripted.receive_until(lambda: scripted.connections)
            scripted.die()
        self.assertEqual(client.receive()["result"]["pid"], other.pid)

    @staticmethod
    def said(server, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in server.lines)

    def wait_for_status(self, server, pattern: str):
        said = len(server.lines)

        def matching():
            server.kill(signal.SIGUSR1)
            return any(re.search(pattern, line) for line in server.lines[said:])

        handoff.wait_for(matching, f"{pattern} in the status")

    def test_connections_that_end_are_no_longer_counted(self):
        server, path = self.open_door()
        scripted = self.join(path)
        (listener,) = scripted.take_listeners()
        scripted.send_ids(STARTED, *(OWN | number for number in range(1, 6)))
        self.wait_for_status(server, r"worker 1, .*: ready, 5 connections, ")
        scripted.send_ids(FINISHED, *(OWN | number for number in range(1, 5)))
        self.wait_for_status(server, r"worker 1, .*: ready, 1 connection, ")
        self.assertTrue(listener)

    def test_one_that_joined_is_drained_and_its_clients_stay(self):
        server, path = self.open_door()
        first, second = self.joined(path), self.joined(path)
        clients = [self.open_with_others_stopped(server, first.pid, [second.pid])
                   for _ in range(10)]
        self.assertEqual(first.stop(), 0)
        for client in clients:
            self.assertEqual(client.result("info")["pid"], second.pid)

    def test_an_upgrade_keeps_clients_and_the_backlog(self):
        server = self.master("-v", "-c", str(self.directory / "control"))
        clients = [self.open(server) for _ in range(10)]
        before = {client.result("info")["pid"] for client in clients}
        stopped = server.worker_pids()
        for pid in stopped:
            handoff.stop_process(pid)
        waiting = self.asking(server, 20)
        seen = len(server.lines)
        server.kill(signal.SIGUSR2)
        line = server.wait_for_line(r"upgraded, pid \d+ takes over|cannot upgrade: ", after=seen)
        new = int(re.search(r"upgraded, pid (\d+)", line).group(1))
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        self.assert_answered(waiting)
        handoff.wait_for(lambda: handoff.children(server.pid) == [new], "the old workers to end")
        pids = set(handoff.children(new))
        self.assertEqual(len(pids), 2)
        for client in clients + waiting + [self.open(server)]:
            self.assertIn(client.result("info")["pid"], pids - before)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(handoff.alive(new))


class Stopping(ListenerTest):
    @staticmethod
    def waits_for_term(pid: int) -> bool:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        blocked = int(re.search(r"SigBlk:\s+([0-9a-f]+)", text).group(1), 16)
        return bool(blocked >> (signal.SIGTERM - 1) & 1)

    def test_those_who_wait_are_served_first(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("-v", "--handshake", handshake)
                workers = server.worker_pids()
                for pid in workers:
                    # Without a handshake nobody waits for that.
                    handoff.wait_for(lambda: self.waits_for_term(pid), "the worker to listen to us")
                    handoff.stop_process(pid)
                clients = self.asking(server, handoff.count(1000, 100))
                server.kill(signal.SIGTERM)
                server.wait_for_line(": stopping$")
                for pid in workers:
                    os.kill(pid, signal.SIGCONT)
                self.assert_answered(clients)
                for client in clients:
                    self.assertIsNone(client.receive())
                self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
                self.assertFalse(any(map(handoff.alive, workers)))
                with self.assertRaises(ConnectionRefusedError):
                    handoff.Connection(server.address)

    def test_a_master_that_is_killed_leaves_nobody_listening(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake)
                client = self.open(server)
                client.result("ping")
                workers = server.worker_pids()
                server.kill(signal.SIGKILL)
                self.assertIsNone(client.receive())
                handoff.wait_for(lambda: not any(map(handoff.alive, workers)),
                                 "the workers to leave")
                with self.assertRaises(ConnectionRefusedError):
                    handoff.Connection(server.address)


class Answers:
    """Of calls that are made without a pause."""

    def __init__(self, ask, clients: int = 2):
        self.all: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(ask,)) for _ in range(clients)]

    def _run(self, ask):
        while not self._over.is_set():
            try:
                self.all.append(ask())
            except Exception as problem:  # pylint: disable=broad-except
                self.all.append(repr(problem))

    def wait_for(self, count: int):
        """So many more."""
        wanted = len(self.all) + count
        handoff.wait_for(lambda: len(self.all) >= wanted, "answers")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(2 * handoff.PATIENCE)


class Gunicorn(ListenerTest):
    """A web server of others' that is started with a socket, as a service manager does it."""

    APPLICATION = """
import os

def application(environment, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getppid()).encode()]
"""

    def setUp(self):
        super().setUp()
        if not shutil.which("gunicorn"):
            self.skipTest("gunicorn is not installed")
        (self.directory / "application.py").write_text(self.APPLICATION)

    def ask(self, address) -> str:
        connection = http.client.HTTPConnection(*address, timeout=handoff.PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            reply = connection.getresponse()
            body = reply.read().decode()
            return body if reply.status == 200 else f"status {reply.status}"

    @staticmethod
    def heeds_signals(pid: int) -> bool:
        """Whether its own worker does: until that has handlers of its own, it loses a TERM."""
        children = handoff.children(pid)
        return bool(children) and not any(
            handoff.catches(child, signal.SIGHUP) for child in children)

    def test_reloads_cost_no_request(self):
        server = self.master(
            "--handshake", "none", "-v", workers=2,
            command=["gunicorn", "--workers", "1", "--chdir", str(self.directory),
                     "--log-level", "warning", "application"])
        answers = Answers(lambda: self.ask(server.address))
        everyone = set()
        with answers:
            answers.wait_for(10)
            for _ in range(handoff.count(50, 6)):
                old = set(server.worker_pids())
                everyone |= old
                handoff.wait_for(lambda: all(map(self.heeds_signals, old)), "them to have begun")
                seen = len(server.lines)
                server.kill(signal.SIGHUP)
                server.wait_for_line("reloaded, 2 workers", after=seen)
                handoff.wait_for(lambda: not any(map(handoff.alive, old)), "the old ones to leave")
                # For a moment the master is the parent of theirs too.
                handoff.wait_for(lambda: len(server.worker_pids()) == 2, "theirs to end")
                new = set(server.worker_pids())
                self.assertEqual(old & new, set())
                answers.wait_for(20)
                self.assertLessEqual(set(answers.all[-5:]), {str(pid) for pid in new})
            everyone |= set(server.worker_pids())
            handoff.wait_for(lambda: all(map(self.heeds_signals, server.worker_pids())),
                             "the last ones to have begun")
        self.assertLessEqual(set(answers.all), {str(pid) for pid in everyone})
        self.assertGreater(len(set(answers.all)), 5)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
