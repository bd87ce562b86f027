# SPDX-License-Identifier: MIT
"""Workers that join a running master (-j): how they come, what they get, how they go, and a master
that dies."""

import contextlib
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import CONNECTION, HELLO, READY, message  # noqa: E402
from joining_case import JoiningTest, MASTER, WORKER  # noqa: E402


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

    def test_workers_that_joined_get_connections_in_turn_without_a_command(self):
        master = self.master()
        workers = [self.joined() for _ in range(3)]
        self.wait_until_serving(master, workers)
        clients = [self.open(master) for _ in range(30)]
        pids = [client.result("info")["pid"] for client in clients]
        self.assertEqual([pids.count(worker.pid) for worker in workers], [10] * 3)
        self.assertEqual([client.result("info")["worker"] for client in clients], [0] * 30)

    def test_workers_that_joined_get_connections_in_turn_with_those_of_the_command(self):
        master = self.master("-n", "2", command=[WORKER])
        workers = [self.joined() for _ in range(2)]
        self.wait_until_serving(master, workers)
        clients = [self.open(master) for _ in range(20)]
        pids = [client.result("info")["pid"] for client in clients]
        everyone = [worker.pid for worker in workers] + master.worker_pids()
        self.assertEqual([pids.count(pid) for pid in everyone], [5] * 4)

    def test_workers_that_joined_may_be_the_only_ones_though_there_is_a_command(self):
        master = self.master("-n", "0", command=[WORKER])
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)
        master.kill(signal.SIGTTIN)
        handoff.wait_for(lambda: len(set(self.pids(master, 4))) == 2, "a worker of its own")

    def test_a_worker_that_joined_holds_no_more_connections_than_it_said(self):
        master = self.master()
        worker = self.joined("--credits", "2")
        first, second, third = (self.open(master) for _ in range(3))
        self.assertEqual(first.result("info")["pid"], worker.pid)
        self.assertEqual(second.result("info")["pid"], worker.pid)
        third.send("ping", "waits")
        self.assertEqual(select.select([third.socket], [], [], 0.1)[0], [])
        first.close()
        self.assertEqual(third.receive()["result"], "waits")

    def test_workers_join_by_an_abstract_name_too(self):
        self.door = f"@handoff-test-joining-{os.getpid()}"
        master = self.master()
        worker = self.joined()
        self.assertEqual(self.open(master).result("info")["pid"], worker.pid)
        self.assertEqual(worker.stop(), 0)

    def test_usr1_says_what_workers_that_joined_do(self):
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
    def test_a_worker_that_is_told_to_leave_finishes_its_calls_and_gets_no_more_connections(self):
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

    def test_workers_leave_and_come_one_after_another_and_clients_are_served(self):
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

    def test_what_was_sent_to_a_worker_that_leaves_is_not_lost(self):
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
                    self.assertEqual(client.receive_last(), {"out": "pong", "result": 1})
                self.assert_ends(tracing, 0)

    def test_a_worker_that_wakes_up_too_late_does_no_harm_to_what_others_have(self):
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

    def test_no_client_of_a_joined_worker_that_is_killed_sees_the_end(self):
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
        self.assertEqual(clients[0].receive_last(), {"out": "slow", "result": 1})
        self.assertIsNone(clients[0].receive())
        for server in (master, busy, idle):
            self.assert_ends(server, 0)
        self.assertFalse(os.path.exists(self.door))

    def test_what_joined_workers_do_not_finish_in_time_is_counted(self):
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

    def test_joined_workers_outlive_a_master_that_is_killed_until_their_calls_are_done(self):
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

    def test_a_worker_that_waits_joins_the_next_master_whenever_that_comes(self):
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

    def test_a_worker_that_waits_ends_with_a_master_that_stops(self):
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
                self.assertEqual(channel.recv(100)[:4], message(HELLO)[:4])
                self.assertEqual(channel.recv(100), message(READY))
                ours, theirs = socket.socketpair()
                client = handoff.Connection.__new__(handoff.Connection)
                client.socket = self.stack.enter_context(ours)
                entry = struct.pack("<QHHI", 1, 2, 0, 0) + struct.pack("H", socket.AF_UNIX)
                socket.send_fds(channel, [message(CONNECTION, count=1) + entry], [theirs.fileno()])
                theirs.close()
                self.assertEqual(client.result("ping", 1), 1)
            channel, _ = listener.accept()
            os.unlink(self.door)
        channel.close()
        self.assert_ends(worker, 3)
        worker.wait_for_line(self.GONE)

    def test_a_worker_that_is_still_busy_when_there_is_another_master_joins_that(self):
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


if __name__ == "__main__":
    handoff.run_tests()
