# SPDX-License-Identifier: MIT
"""The article's protocol, spoken with peers that know nothing of handoff."""

import hashlib
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PLAIN_WORKER = str(handoff.ROOT / "tests" / "support" / "plain_worker.py")


class Protocol(handoff.TestCase):
    def test_a_python_client_is_answered_by_a_worker_behind_the_master(self):
        server = self.start(handoff.master())
        client = self.open(server)
        self.assertEqual(client.call("ping", [1, 2.5, {"x": None}]),
                         {"out": "pong", "result": [1, 2.5, {"x": None}]})
        self.assertEqual(client.call("echo", "x"), {"out": "echo", "result": "x"})
        self.assertEqual(client.result("methods"), ["echo", "info", "methods", "ping"])
        self.assertIn(client.result("info")["pid"], server.worker_pids())

    @handoff.only("connection", because="it is what this worker knows")
    def test_a_python_worker_in_the_articles_way_serves_under_the_master(self):
        server = self.start(handoff.master("--handshake", "none", workers=3,
                                           command=[sys.executable, "-B", PLAIN_WORKER]))
        pids = set()
        for number in range(6):
            with server.connect() as client:
                self.assertEqual(client.call("ping", number), {"out": "pong", "result": number})
                pids.add(client.result("pid"))
        self.assertEqual(pids, set(server.worker_pids()), "round robin reaches each worker")
        self.assertEqual(server.stop(), 0, "the workers end when their channel does")

    @handoff.only("connection", "listener", because="a queue needs the full handshake")
    def test_our_worker_serves_on_the_plain_channel_too(self):
        server = self.start(handoff.master("--handshake", "none"))
        self.assertEqual(self.open(server).result("ping", 7), 7)
        self.assertEqual(server.stop(), 0)

    def test_fifty_clients_at_once_are_served_by_three_workers(self):
        server = self.start(handoff.master(workers=3))
        clients = [self.open(server) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive()["result"], number)

    @handoff.only("connection", because="the kernel does not choose in turn")
    def test_64_connections_on_four_workers_are_16_each(self):
        server = self.start(handoff.master(workers=4))
        clients = [self.open(server) for _ in range(64)]
        pids = [client.result("info")["pid"] for client in clients]
        self.assertEqual([pids.count(pid) for pid in server.worker_pids()], [16] * 4)

    def test_a_frame_that_arrives_a_byte_at_a_time_is_answered(self):
        server = self.start(handoff.master())
        client = self.open(server)
        for byte in handoff.frame(b'{"in":"ping","params":"slow"}'):
            client.socket.sendall(bytes([byte]))
        self.assertEqual(client.receive()["result"], "slow")

    def test_a_thousand_frames_in_one_write_are_answered_in_order(self):
        server = self.start(handoff.master())
        client = self.open(server)
        client.socket.sendall(b"".join(
            handoff.frame(b'{"in":"echo","params":%d}' % number) for number in range(1000)))
        self.assertEqual([client.receive()["result"] for _ in range(1000)], list(range(1000)))

    def test_requests_that_arrive_together_are_answered_with_one_write(self):
        server = self.start(handoff.worker())
        client = self.open(server)
        client.result("ping")
        trace = self.directory / "trace"
        strace = subprocess.Popen(["strace", "-q", "-e", "trace=sendto,recvfrom", "-o", str(trace),
                                   "-p", str(server.pid)], stderr=subprocess.PIPE)
        self.addCleanup(strace.stderr.close)
        self.addCleanup(strace.wait)
        self.addCleanup(strace.terminate)
        handoff.wait_for(lambda: self.is_traced(server.pid), "strace to attach")
        client.socket.sendall(handoff.frame(b'{"in":"ping","params":1}') * 20)
        for _ in range(20):
            client.receive()
        writes = handoff.wait_for(
            lambda: [line for line in trace.read_text().splitlines() if "sendto" in line],
            "the reply in the trace")
        self.assertEqual(len(writes), 1, writes)

    @staticmethod
    def is_traced(pid: int) -> bool:
        return "TracerPid:\t0\n" not in pathlib.Path(f"/proc/{pid}/status").read_text()

    def test_replies_without_id_keep_their_order_and_one_with_an_id_may_overtake(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        server = self.start(handoff.worker("-m", f"slow=cat {gate}"))
        client = self.open(server)
        client.send("slow")
        client.send("ping", "second")
        client.send("ping", "overtakes", id="a")
        self.assertEqual(client.receive(), {"out": "pong", "result": "overtakes", "id": "a"})
        gate.write_text("1")
        self.assertEqual(client.receive()["out"], "slow")
        self.assertEqual(client.receive()["result"], "second")

    def test_lines_through_rpc_call_come_back_as_they_went(self):
        lines = "".join(f"{number}\n" for number in range(1, handoff.count(1000000, 100000) + 1))
        server = self.start(handoff.master())
        host, port = server.address
        done = subprocess.run([handoff.tool("rpc-call"), f"{host}:{port}", "echo", "-"],
                              input=lines, capture_output=True, text=True, check=True)
        self.assertEqual(hashlib.md5(done.stdout.encode()).hexdigest(),
                         hashlib.md5(lines.encode()).hexdigest())
        self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    handoff.run_tests()
