# SPDX-License-Identifier: MIT
"""Workers that lie to their master about their connections, or flood it, harm themselves alone."""

import os
import pathlib
import select
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import (  # noqa: E402
    DRAIN, FINISHED, HELLO, LEAVE, READY, REFUSED, REQUESTS, RETURN, STARTED, hello, message)
from passing_on_case import PassingOn  # noqa: E402
from scripted_worker import ASIDE, entry  # noqa: E402


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

    def test_a_worker_that_starts_an_unknown_connection_harms_no_other(self):
        clients = self.give_it(2)
        self.worker.send_ids(STARTED, 1 << 60)
        self.assert_blamed("it started a connection that it was not given")
        self.assert_others_live(clients)

    def test_a_worker_that_starts_a_connection_twice_harms_no_other(self):
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

    def test_a_worker_that_finishes_more_than_it_had_harms_no_other(self):
        clients = self.give_it(2)
        self.worker.send_ids(FINISHED, self.worker.held[0].id)
        self.assert_blamed("it finished more connections than it was given")
        self.assert_others_live(clients)

    def test_a_worker_that_refuses_what_it_was_not_given_harms_no_other(self):
        clients = self.give_it(2)
        self.worker.send_ids(REFUSED, 1 << 60)
        self.assert_blamed("it refused a connection that it was not given")
        self.assert_others_live(clients)

    def test_a_worker_that_returns_what_it_had_not_started_harms_no_other(self):
        clients = self.give_it(1)
        one = self.worker.held[0]
        self.worker.send(RETURN, entry(one.id), 1, [one.fd])
        self.assert_blamed("it returned a connection .*")
        self.assert_others_live(clients)

    def test_a_worker_that_returns_a_connection_without_a_descriptor_harms_no_other(self):
        self.give_it(1)
        one = self.worker.held[0]
        self.worker.start(one)
        self.worker.send(RETURN, entry(one.id), 1)
        self.assert_blamed("it returned a connection without its descriptor.*")
        self.assert_others_live()

    def test_a_worker_that_returns_a_connection_without_the_bytes_aside_harms_no_other(self):
        self.give_it(1)
        one = self.worker.held[0]
        self.worker.start(one)
        self.worker.send(RETURN, entry(one.id, flags=ASIDE, size=100), 1, [one.fd])
        self.assert_blamed("it returned a connection without its descriptor.*")
        self.assert_others_live()

    # Whoever gets it next must not suffer from what was returned.

    def test_a_worker_that_returns_a_file_harms_no_other(self):
        with open("/dev/null", "rb") as file:
            self.return_harmlessly(file.fileno())

    def test_a_worker_that_returns_a_pipe_harms_no_other(self):
        self.return_harmlessly(self.pipe())

    def test_a_worker_that_returns_an_epoll_instance_harms_no_other(self):
        with select.epoll() as epoll:
            self.return_harmlessly(epoll.fileno())

    def test_a_worker_that_returns_a_socket_of_datagrams_harms_no_other(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            self.return_harmlessly(datagrams.fileno())

    def test_a_worker_that_returns_a_listener_harms_no_other(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.return_harmlessly(listener.fileno())

    def test_a_worker_that_returns_less_aside_than_it_said_harms_no_other(self):
        with self.file_in_memory(b"x") as file:
            self.return_harmlessly(None, file.fileno(), size=100000)

    def test_a_worker_that_returns_a_pipe_for_the_bytes_aside_harms_no_other(self):
        self.return_harmlessly(None, self.pipe(), size=100000)

    def test_a_worker_that_returns_more_aside_than_may_be_harms_no_other(self):
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

    def test_a_worker_that_sends_what_is_no_message_harms_no_other(self):
        clients = self.give_it(1)
        self.worker.channel.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assert_blamed("it sent no valid message")
        self.assert_others_live(clients)

    def test_a_worker_that_sends_a_second_hello_harms_no_other(self):
        clients = self.give_it(1)
        self.worker.send(HELLO, struct.pack("<III", os.getpid(), 10, 1))
        self.assert_blamed("it sent a second HELLO")
        self.assert_others_live(clients)

    def test_a_worker_that_says_what_only_a_master_says_harms_no_other(self):
        clients = self.give_it(1)
        self.worker.send(DRAIN)
        self.assert_blamed("it sent a message that only a master sends")
        self.assert_others_live(clients)

    def test_a_worker_that_sends_a_descriptor_that_belongs_to_nothing_harms_no_other(self):
        clients = self.give_it(1)
        before = handoff.descriptor_count(self.server.pid)
        self.worker.send(READY, descriptors=[0])
        self.assert_blamed("it sent a descriptor with a message that has none")
        self.assert_others_live(clients)
        self.assertLessEqual(handoff.descriptor_count(self.server.pid), before)

    def test_a_worker_that_sends_more_descriptors_than_a_message_may_have_harms_no_other(self):
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

    def test_a_worker_that_says_no_hello_at_all_harms_no_other(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
            mute.connect(self.path)
            mute.send(message(READY))
            self.server.wait_for_line(
                f"worker 3, pid {os.getpid()}: its first message was no HELLO; sent away")
        self.worker.die()
        self.assert_others_live()

    def test_a_worker_that_speaks_another_version_harms_no_other(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.connect(self.path)
            other.send(hello(credits=1, version=9))
            self.server.wait_for_line("worker 3.*: it speaks version 9 .*, we speak 1; sent away")
        self.worker.die()
        self.assert_others_live()


if __name__ == "__main__":
    handoff.run_tests()
