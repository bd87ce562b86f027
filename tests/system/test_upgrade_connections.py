# SPDX-License-Identifier: MIT
"""What becomes of connections in an upgrade, whatever they are doing just then."""

import ctypes
import fcntl
import json
import os
import pathlib
import resource
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from upgrade_case import UpgradeTest, WORKER, setUpModule  # noqa: E402,F401

PR_CAPBSET_DROP = 24
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24


class Connections(UpgradeTest):
    """Whatever state a connection is in, its client notices nothing."""

    def slow_worker(self) -> tuple[str, ...]:
        os.mkfifo(self.path("slow"))
        return (WORKER, "-m", f"slow=cat {self.path('slow')}")

    @staticmethod
    def wait_until_told_to_drain(server):
        """All workers of the old master were."""
        seen = len(server.lines)
        server.kill(signal.SIGUSR1)
        server.wait_for_line(r"worker \d, pid \d+: draining|cut off", seen)

    def join_new_master(self, join: str, *options: str):
        worker = self.start(handoff.Server(WORKER, "-j", join, *options, ready=False))
        worker.wait_for_line("joined, on")
        return worker

    @handoff.only("queue", because="a connection moves with its call, or waits for its reply")
    def test_a_slow_call_keeps_no_idle_worker_from_the_new_master(self):
        join = self.path("join")
        server = self.launch("-j", join, workers=0)
        options = self.slow_worker()[1:]
        for _ in range(2):
            self.join_new_master(join, *options)
        client = self.open(server)
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            pid = self.upgrade(server, server.pid)
            self.assertEqual(self.open(server).result("ping", "served"), "served")
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assert_replaced(server, server.pid)
        self.assertEqual(client.result("ping", "moved"), "moved")
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("queue", because="a worker has its clients until they have read")
    def test_a_client_that_does_not_read_keeps_no_worker_from_the_new_master(self):
        join = self.path("join")
        for threads in ("1", "2"):
            with self.subTest(io_threads=threads):
                server = self.launch("-j", join, "--io-threads", threads, workers=0)
                worker = self.join_new_master(
                    join, "--text", "-m", "long=head -c 900000 /dev/zero | tr '\\0' x")
                idler = self.open(server)
                for _ in range(16):
                    idler.send("long")
                pid = self.upgrade(server, server.pid)
                self.assertEqual(self.open(server).result("ping", "served"), "served")
                for _ in range(16):
                    self.assertEqual(len(idler.receive()["result"]), 900_000)
                self.assert_replaced(server, server.pid)
                self.assertEqual(idler.result("ping", "moved"), "moved")
                self.assertEqual(self.stop(server, pid), 0)
                self.assertEqual(worker.process.wait(handoff.PATIENCE), 0)

    def test_a_call_that_runs_gets_its_reply(self):
        server = self.launch(command=self.slow_worker())
        client = self.open(server)
        worker = client.result("info")["pid"]
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            pid = self.upgrade(server, server.pid)
            self.assertEqual(self.open(server).result("ping", "the new one serves"),
                             "the new one serves")
            self.assertIsNone(server.process.poll(), "the old one waits for the call")
            self.wait_until_told_to_drain(server)
            client.send("info")
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertNotEqual(client.receive()["result"]["pid"], worker)
        self.assert_replaced(server, server.pid)
        self.assertEqual(client.result("ping", 1), 1)
        self.assertEqual(self.stop(server, pid), 0)

    def test_term_to_the_old_one_that_drains_does_not_cut_a_call_off(self):
        server = self.launch(command=self.slow_worker())
        client = self.open(server)
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            self.upgrade(server, server.pid)
            server.kill(signal.SIGTERM)
            self.wait_until_told_to_drain(server)  # by then it has seen the other signal too
            slow.write("1")
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_a_frame_of_which_900_kb_were_sent_moves(self):
        server = self.launch()
        text = "x" * 950_000
        request = handoff.frame(json.dumps({"in": "ping", "params": text}).encode())
        client = self.open(server)
        pids = [client.result("info")["pid"]]
        client.socket.sendall(request[:900_000])
        worker = pids[0]
        handoff.wait_for(lambda: handoff.resident_bytes(worker) and not self.unread(client),
                         "the worker to have read it")
        pid = server.pid
        for _ in range(2):
            new = self.upgrade(server, pid)
            self.assert_replaced(server, pid)
            pid = new
        client.socket.sendall(request[900_000:])
        self.assertEqual(client.receive()["result"], text)
        self.assertNotIn(client.result("info")["pid"], pids)

    @staticmethod
    def unread(client) -> int:
        """Bytes that were sent and not yet acknowledged."""
        siocoutq = 0x5411
        return int.from_bytes(fcntl.ioctl(client.socket, siocoutq, b"\0\0\0\0"), sys.byteorder)

    def test_half_a_line_and_its_dialect_move(self):
        server = self.launch()
        client = self.open(server)
        file = client.socket.makefile("rb")
        client.socket.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "info"}\n')
        worker = json.loads(file.readline())["result"]["pid"]
        client.socket.sendall(b'{"jsonrpc": "2.0", "id": 2, "me')
        self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        client.socket.sendall(b'thod": "info"}\n')
        reply = json.loads(file.readline())
        client.socket.sendall(b'nonsense\n')
        self.assertEqual((reply["jsonrpc"], reply["id"]), ("2.0", 2))
        self.assertNotEqual(reply["result"]["pid"], worker)
        self.assertEqual(json.loads(file.readline())["error"]["code"], -32700)

    def test_many_idle_connections_move(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(handoff.count(5000, 600))]
        for client in clients:
            client.send("ping", 0)
        for client in clients:
            self.assertEqual(client.receive()["result"], 0)
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        for number, client in enumerate(clients):
            client.send("ping", number)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive()["result"], number)
        self.assertEqual(self.ask("status")["connections"], len(clients))
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("connection", "listener", because="a queue's calls keep their connection")
    def test_what_a_stopped_worker_never_started_goes_to_the_new_master(self):
        server = self.launch("--drain-timeout", "300ms", workers=1)
        stuck = server.worker_pids()[0]
        os.kill(stuck, signal.SIGSTOP)
        clients = [self.open(server) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        self.upgrade(server, server.pid)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive()["result"], number)
        server.wait_for_line("ended with 0 connections cut off and 1 worker killed")
        handoff.wait_for(lambda: self.holds_nothing(server.pid), "the old master to have ended")

    @handoff.only("connection", "listener", because="a queue's calls keep their connection")
    def test_what_waits_while_no_worker_is_there_goes_to_the_new_master(self):
        join = self.path("join")
        server = self.launch("-j", join, workers=0)
        client = self.open(server)
        client.send("ping", 1)
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        self.start(handoff.Server(WORKER, "-j", join, ready=False))
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("connection", "listener", because="the new master holds them all itself")
    def test_more_connections_than_one_process_may_have_descriptors_move(self):
        self.move_more_than_the_limit()

    @handoff.only("connection", "listener", because="the new master holds them all itself")
    def test_more_connections_than_the_limit_move_without_privileges_too(self):
        """Then the kernel lets no more descriptors be in flight than the sender may open."""
        libc = ctypes.CDLL(None)

        def drop_privileges():
            for capability in CAP_SYS_ADMIN, CAP_SYS_RESOURCE:
                libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

        self.move_more_than_the_limit(preexec_fn=drop_privileges)

    def move_more_than_the_limit(self, **server):
        self.need_descriptors(4096)
        server = self.launch("-v", workers=6, command=(WORKER, "-C", "4"), **server)
        # The new master and its workers have the same limit.
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (512, 512))
        clients = [self.open(server) for _ in range(1800)]
        for number, client in enumerate(clients):
            self.assertEqual(client.result("ping", number), number)
        workers = set(server.worker_pids())
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        for number, client in enumerate(clients):
            client.send("info", number)
        for client in clients:
            self.assertNotIn(client.receive()["result"]["pid"], workers)
        self.assertEqual(self.ask("status")["connections"], len(clients))
        said = "\n".join(server.lines)
        self.assertNotRegex(said, r"Too many open files|killed|cannot receive|[1-9]\d* connections cut off")
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("connection", "listener", because="the new master holds them all itself")
    def test_a_new_master_without_descriptors_gets_them_all_in_the_end(self):
        # Its workers have the same limit, and hold half as many each.
        server = self.launch(workers=4)
        clients = [self.open(server) for _ in range(100)]
        for client in clients:
            client.result("ping")
        self.put_gate()
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        resource.prlimit(successor, resource.RLIMIT_NOFILE, (60, 60))
        self.open_gate()
        self.wait_for_successor(server)
        self.assert_replaced(server, server.pid)
        for number, client in enumerate(clients):
            self.assertEqual(client.result("ping", number), number)


if __name__ == "__main__":
    handoff.run_tests()
