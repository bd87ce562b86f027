# SPDX-License-Identifier: MIT
"""--pass listener: the workers accept for themselves. What they have of the listener, and how
their connections move, are counted and end."""

import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import FINISHED, STARTED  # noqa: E402
from listener_case import (  # noqa: E402
    EPOLLEXCLUSIVE, LISTENING, ListenerTest, MASTER, OWN, WORKER, numbers_of)


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


def wakeups(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M).group(1))


class Model(ListenerTest):
    def test_the_workers_have_the_listening_socket(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake, workers=3)
                inode = inode_of(server.address)
                for pid in server.worker_pids():
                    self.assertEqual(numbers_of(pid, inode)[:1], [3])

    def test_with_pass_connection_only_the_master_has_the_listening_socket(self):
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

    def test_a_worker_inherits_the_listeners_and_nothing_else(self):
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

    def test_options_that_do_not_go_with_pass_listener_are_refused(self):
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
            scripted.hold(1)
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

    def test_a_worker_that_joined_is_drained_and_its_clients_stay(self):
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

    def test_a_master_that_stops_serves_first_those_who_wait_in_the_backlog(self):
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


if __name__ == "__main__":
    handoff.run_tests()
