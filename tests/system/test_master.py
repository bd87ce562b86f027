# SPDX-License-Identifier: MIT
"""What a master survives: workers that die or never start, a kernel that refuses to accept, its own
sudden end."""

import os
import pathlib
import resource
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402


class Workers(handoff.TestCase):
    def test_a_killed_worker_is_replaced_and_serves(self):
        server = self.start(handoff.master(workers=2))
        before = server.worker_pids()
        os.kill(before[0], signal.SIGKILL)
        server.wait_for_line(rf"pid {before[0]}: signal 9")
        after = handoff.wait_for(
            lambda: self.serving_pids(server) - set(before), "another worker that serves")
        self.assertEqual(len(after), 1)
        self.assertIn(before[1], server.worker_pids())

    @staticmethod
    def serving_pids(server) -> set:
        pids = set()
        for _ in range(4):
            with server.connect() as client:
                pids.add(client.result("info")["pid"])
        return pids

    @handoff.only("connection", "queue", because="what was just accepted is not deposited yet")
    def test_no_client_of_a_killed_worker_sees_the_end(self):
        server = self.start(handoff.master(workers=2))
        clients = [self.open(server) for _ in range(8)]
        pids = [client.result("info")["pid"] for client in clients]
        handoff.wait_for(lambda: handoff.sleeps(pids[0]), "the worker to have nothing to do")
        os.kill(pids[0], signal.SIGKILL)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)

    def test_a_worker_that_closes_a_client_is_seen_by_the_client(self):
        server = self.start(handoff.master("-v", command=[handoff.tool("rpc-worker"),
                                                          "--idle-timeout", "50ms"]))
        for _ in range(handoff.count(100, 5)):
            client = self.open(server)
            client.result("ping")
            readable, _, _ = select.select([client.socket], [], [], 10)
            self.assertEqual(readable, [client.socket], "end-of-file within the deadline")
            self.assertIsNone(client.receive())

    def test_a_worker_that_crashes_at_start_is_retried_ever_later_and_never_ready(self):
        server = self.start(handoff.master("--backoff", "10ms:40ms", workers=1, ready=False,
                                           command=["sh", "-c", "echo last words >&2; echo >>n; "
                                                    "exit $((2 + $(wc -l <n)))"],
                                           cwd=self.directory))
        for pause in ("10ms", "20ms", "40ms", "40ms"):
            line = server.wait_for_line(f"again in {pause}")
        self.assertIn("worker 1: started again in 40ms", line)
        server.wait_for_line(r"worker 1, pid \d+: exit status 3, before it was ready")
        server.wait_for_line("^last words$")
        self.assertFalse(any("ready, 1 worker" in line for line in server.lines))
        self.assertEqual(server.stop(), 0)

    def test_a_worker_that_never_gets_ready_is_killed_and_retried(self):
        server = self.start(handoff.master("--ready-timeout", "100ms", workers=1, ready=False,
                                           command=["sh", "-c", "cat <&$HANDOFF_CHANNEL_FD"]))
        server.wait_for_line(r"worker 1, pid \d+: not ready within 100ms, killed")
        server.wait_for_line("again in 100ms")
        self.assertEqual(server.stop(), 0)

    def test_workers_are_gone_when_the_master_is_killed(self):
        server = self.start(handoff.master(workers=3))
        client = self.open(server)
        client.result("ping")
        workers = server.worker_pids()
        server.kill(signal.SIGKILL)
        handoff.wait_for(lambda: not any(map(handoff.alive, workers)), "the workers to leave")

    @handoff.only("connection", "listener", because="the connections end with the master")
    def test_a_call_that_runs_when_the_master_is_killed_is_answered(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.start(handoff.master(
            command=[handoff.tool("rpc-worker"), "-m", f"slow=cat {gate}"]))
        client = self.open(server)
        client.send("slow")
        workers = server.worker_pids()
        with gate.open("w") as opened:
            server.kill(signal.SIGKILL)
            server.process.wait()
            opened.write("1")
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assertIsNone(client.receive())
        handoff.wait_for(lambda: not any(map(handoff.alive, workers)), "the workers to leave")

    def test_the_same_descriptors_are_open_after_many_connections(self):
        server = self.start(handoff.master())
        workers = server.worker_pids()
        # Each has served somebody, so each has all that it was given: a listener too.
        for worker in workers:
            client = self.stack.enter_context(handoff.connect_at(server, worker, workers))
            client.result("ping")
        pids = [server.pid, *workers]
        before = [handoff.descriptor_count(pid) for pid in pids]
        if handoff.PASS == "listener":  # the master gets copies of what is open for a second
            before[0] += len(workers)
        for _ in range(handoff.count(1000000, 2000)):
            with server.connect() as client:
                client.result("ping")
        # At most: the first connection may have been on its way still when they were counted.
        handoff.wait_for(lambda: all(handoff.descriptor_count(pid) <= count
                                     for pid, count in zip(pids, before)),
                         "as many open descriptors as before")

    def test_an_idle_server_makes_no_system_call(self):
        """A descriptor that was passed and closed would keep epoll busy, if it were left in it."""
        server = self.start(handoff.master())
        clients = [self.open(server) for _ in range(20)]
        for client in clients:
            client.result("ping")
            client.close()
        other = self.open(server)
        other.result("ping")
        pids = [server.pid, *server.worker_pids()]
        before = [handoff.cpu_seconds(pid) for pid in pids]
        started = time.monotonic()
        select.select([other.socket], [], [], 1)
        used = sum(map(handoff.cpu_seconds, pids)) - sum(before)
        self.assertLess(used / (time.monotonic() - started), 0.05)

    @handoff.only("connection", "queue", because="nobody counts before a worker accepts")
    def test_max_connections_leaves_further_clients_in_the_backlog(self):
        server = self.start(handoff.master("--max-connections", "2"))
        first, second = self.open(server), self.open(server)
        first.result("ping")
        second.result("ping")
        third = self.open(server)
        third.send("ping", "waits")
        first.result("ping")
        self.assertEqual(select.select([third.socket], [], [], 0.2)[0], [])
        second.close()
        self.assertEqual(third.receive()["result"], "waits")


class Accepting(handoff.TestCase):
    @handoff.only("connection", "queue", because="the master does not accept")
    def test_running_out_of_descriptors_pauses_and_recovers(self):
        server = self.start(handoff.master())
        client = self.open(server)
        client.result("ping")
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, hard))
        late = self.open(server)
        late.send("ping", "late")
        server.wait_for_line("cannot accept on .*: Too many open files; trying again")
        before = handoff.cpu_seconds(server.pid)
        started = time.monotonic()
        self.assertEqual(select.select([late.socket], [], [], 1)[0], [], server.lines)
        used = handoff.cpu_seconds(server.pid) - before
        self.assertLess(used / (time.monotonic() - started), 0.05)
        self.assertEqual(client.result("ping", "others are served"), "others are served")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        self.assertEqual(late.receive()["result"], "late")
        said = [line for line in server.lines if "Too many open files" in line]
        self.assertEqual(len(said), 1, "it is said once, not for each attempt")

    @handoff.only("connection", "queue", because="the master does not accept")
    def test_errors_of_a_lost_connection_are_survived(self):
        for error in ("ECONNABORTED", "EPROTO", "ENETDOWN", "ENOBUFS", "EINTR"):
            with self.subTest(error):
                words = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=accept4",
                         "-e", f"inject=accept4:error={error}:when=1..20",
                         handoff.tool("rpc-master"), *handoff.passing(), "-l", "127.0.0.1:0",
                         "-n", "1", "--", handoff.tool("rpc-worker")]
                # A leak checker can't work in a traced process.
                environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
                with handoff.Server(*words, env=environment) as server:
                    with server.connect() as client:
                        self.assertEqual(client.result("ping", error), error)
                    master = handoff.children(server.pid)[0]
                    os.kill(master, signal.SIGTERM)
                    self.assertEqual(server.process.wait(handoff.PATIENCE), 0)


class Stopping(handoff.TestCase):
    def test_term_int_and_quit_drain_and_give_status_0(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(number.name):
                server = self.start(handoff.master())
                client = self.open(server)
                client.result("ping")
                workers = server.worker_pids()
                self.assertEqual(server.stop(number), 0)
                self.assertIsNone(client.receive())
                self.assertFalse(any(map(handoff.alive, workers)))

    def test_a_running_call_is_finished_before_the_server_ends(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.start(handoff.master(
            command=[handoff.tool("rpc-worker"), "-m", f"slow=cat {gate}"]))
        client = self.open(server)
        client.send("slow")
        with gate.open("w") as opened:
            server.kill(signal.SIGTERM)
            handoff.wait_for(lambda: not self.listens(server), "the listener to close")
            opened.write("1")
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assertIsNone(client.receive())
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    @staticmethod
    def listens(server) -> bool:
        try:
            socket.create_connection(server.address, handoff.PATIENCE).close()
            return True
        except ConnectionError:
            return False

    def test_past_the_deadline_what_is_left_is_cut_off_and_counted(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.start(handoff.master(
            "--drain-timeout", "100ms",
            command=[handoff.tool("rpc-worker"), "-m", f"slow=cat {gate}"]))
        client = self.open(server)
        client.send("slow")
        with gate.open("w"):
            self.assertEqual(server.stop(), 124)
        server.wait_for_line("ended with 1 connection cut off and 1 worker killed")

    def test_a_second_signal_ends_it_at_once(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.start(handoff.master(
            command=[handoff.tool("rpc-worker"), "-m", f"slow=cat {gate}"]))
        client = self.open(server)
        client.send("slow")
        with gate.open("w"):
            server.kill(signal.SIGTERM)
            handoff.wait_for(lambda: not self.listens(server), "the listener to close")
            server.kill(signal.SIGTERM)
            self.assertEqual(server.process.wait(handoff.PATIENCE), 124)

    def test_signals_at_its_very_end_do_not_change_its_status(self):
        for words, first, flood in (
                ([handoff.tool("rpc-master"), *handoff.passing(), "-l", "127.0.0.1:0", "--",
                  handoff.tool("rpc-worker")], signal.SIGTERM, signal.SIGUSR1),
                ([handoff.tool("rpc-worker"), "-l", "127.0.0.1:0"], signal.SIGTERM, signal.SIGTERM)):
            for _ in range(handoff.count(200, 10)):
                with self.subTest(words[0]):
                    server = self.start(handoff.Server(*words))
                    server.kill(first)
                    while server.process.poll() is None:
                        server.kill(flood)
                    self.assertEqual(server.process.returncode, 0)

    def test_no_handler_outlives_a_killed_worker(self):
        gate, mark = self.directory / "gate", self.directory / "pid"
        os.mkfifo(gate)
        server = self.start(handoff.master(
            workers=1,
            command=[handoff.tool("rpc-worker"), "-m", f"slow=echo $$ >{mark}; exec cat {gate}"]))
        client = self.open(server)
        client.send("slow")
        handler = int(handoff.wait_for(lambda: mark.exists() and mark.read_text(), "the handler"))
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(handler), "the handler to end with its worker")


    def test_a_stop_that_comes_with_the_start_ends_it(self):
        words = [sys.executable, "-c", "import os, signal, sys\n"
                 "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
                 "os.kill(os.getpid(), signal.SIGTERM)\n"
                 "os.execv(sys.argv[1], sys.argv[1:])", handoff.tool("rpc-master"),
                 *handoff.passing(), "-l", "127.0.0.1:0", "-n", "2", "--",
                 handoff.tool("rpc-worker")]
        server = self.start(handoff.Server(*words, ready=False))
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_connections_that_wait_for_a_slow_worker_are_served_before_the_end(self):
        server = self.start(handoff.master("-v", workers=1))
        pid = server.worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)
        clients = [self.open(server) for _ in range(handoff.count(5000, 400))]
        for client in clients:
            client.send("ping", 1)
        server.kill(signal.SIGTERM)
        server.wait_for_line(": stopping$")
        os.kill(pid, signal.SIGCONT)
        for client in clients:
            self.assertEqual(client.receive()["result"], 1)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_a_worker_that_is_told_to_leave_gets_no_more_connections(self):
        server = self.start(handoff.master(workers=2))
        leaving = server.worker_pids()[0]
        clients = [self.open(server) for _ in range(8)]
        for client in clients:
            client.result("ping")
        os.kill(leaving, signal.SIGTERM)
        handoff.wait_for(lambda: not handoff.alive(leaving), "the worker to leave")
        for _ in range(20):
            with server.connect() as client:
                self.assertEqual(client.result("ping", 1), 1)

    @handoff.only("connection", because="with the others a full channel stops nobody")
    def test_without_a_handshake_a_stuck_worker_does_not_take_the_others_down(self):
        self.need_descriptors(2048)
        server = self.start(handoff.master("--handshake", "none", workers=2))
        stuck = server.worker_pids()[0]
        # Fewer than the clients, and more than what can be on its way to one worker: the kernel lets
        # a user have no more descriptors on their way than this.
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (512, 512))
        os.kill(stuck, signal.SIGSTOP)
        answered = 0
        waiting = []
        for number in range(1500):
            client = server.connect()
            client.send("ping", number)
            if select.select([client.socket], [], [], 0 if number % 2 else 0.01)[0]:
                self.assertEqual(client.receive()["result"], number)
                answered += 1
                client.close()
            else:
                waiting.append(client)
        self.assertGreater(answered, 0)
        os.kill(stuck, signal.SIGCONT)
        for client in waiting:
            self.assertIsNotNone(client.receive())
            client.close()


class Scaling(handoff.TestCase):
    def test_ttin_adds_a_worker_and_ttou_takes_it_away(self):
        server = self.start(handoff.master("-v", workers=1))
        server.kill(signal.SIGTTIN)
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "a second worker")
        server.wait_for_line("worker 2, pid .*: ready")
        server.kill(signal.SIGTTOU)
        server.wait_for_line("worker 2, pid .*: left, exit status 0")
        server.kill(signal.SIGTTOU)
        server.wait_for_line("cannot remove a worker: the last one stays")
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_usr1_says_what_the_workers_do(self):
        server = self.start(handoff.master(workers=1))
        client = self.open(server)
        client.result("ping")
        server.kill(signal.SIGUSR1)
        held = "0 connections" if handoff.PASS == "queue" else "1 connection"
        server.wait_for_line(rf"worker 1, pid \d+: ready, {held}, 0 restarts")


if __name__ == "__main__":
    handoff.run_tests()
