# SPDX-License-Identifier: MIT
"""Workers in Python that join a master by the plain form of the channel."""

import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from joining_case import JoiningTest, WORKER  # noqa: E402

PLAIN_WORKER = str(handoff.ROOT / "tests" / "support" / "plain_worker.py")

# How a worker that only knows what a master gives it joins one by itself.
JOIN_AND_RUN = """
import os, runpy, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[1])
os.environ["HANDOFF_CHANNEL_FD"] = str(channel.detach())
runpy.run_path(sys.argv[2])
"""


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


if __name__ == "__main__":
    handoff.run_tests()
