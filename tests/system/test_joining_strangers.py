# SPDX-License-Identifier: MIT
"""Who may join a master and who may not: strangers, floods, and other users."""

import contextlib
import os
import pathlib
import select
import shutil
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import CONNECTION, DRAIN, FINISHED, READY, hello, message  # noqa: E402
from joining_case import JoiningTest, NOBODY, WORKER  # noqa: E402

GREETING = hello(credits=10, pid=1)
IS_READY = message(READY)

# What is quick must not take longer, on however loaded a machine.
QUICK = 10.0


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

    def test_a_stranger_who_says_nothing_is_sent_away_at_the_deadline(self):
        master = self.serving_master("--ready-timeout", "300ms")
        started = time.monotonic()
        silent = [self.door_of() for _ in range(20)]
        greeting = [self.door_of() for _ in range(20)]
        for channel in greeting:
            channel.send(GREETING)
        self.assertEqual(self.pids(master, 3), master.worker_pids() * 3)
        self.assert_closed(silent[0])
        self.assertGreater(time.monotonic() - started, 0.25)
        for channel in silent + greeting:
            self.assert_closed(channel)
        self.assertLess(time.monotonic() - started, QUICK)
        master.wait_for_line("not ready within 300ms")
        self.assert_unharmed(master)

    def test_a_stranger_who_talks_nonsense_is_sent_away_at_once(self):
        master = self.serving_master()
        kinds = {
            "a byte": [b"x"], "zeros": [bytes(8)], "HTTP": [b"GET / HTTP/1.1\r\n\r\n"],
            "half a header": [GREETING[:7]], "half a HELLO": [GREETING[:-1]],
            "a HELLO and more": [GREETING + b"x"],
            "another version": [hello(credits=10, pid=1, version=2)],
            "an unknown type": [message(200)], "no HELLO": [IS_READY],
            "two of them": [GREETING, GREETING],
            "what a master says": [GREETING, IS_READY, message(DRAIN)],
            "a connection of its own": [GREETING, IS_READY,
                                        message(CONNECTION, count=1) + bytes(16)],
            "what it was not given": [GREETING, IS_READY, message(FINISHED, count=1) + bytes(8)],
            "a wrong count": [GREETING, IS_READY, message(FINISHED, count=2) + bytes(8)],
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

    def test_a_stranger_who_sends_descriptors_is_sent_away_and_they_are_closed(self):
        master = self.serving_master()
        for packet in (GREETING, b"x", message(FINISHED)):
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

    def test_a_stranger_with_another_kind_of_socket_does_not_get_in(self):
        master = self.serving_master()
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with self.assertRaises(OSError):
                self.door_of(kind)
        self.assert_unharmed(master)

    def test_a_stranger_who_leaves_again_at_once_is_forgotten(self):
        master = self.serving_master()
        for packets in ([], [GREETING], [GREETING, IS_READY]):
            for _ in range(20):
                channel = self.door_of()
                for packet in packets:
                    channel.send(packet)
                channel.close()
        self.assert_unharmed(master)

    def test_a_worker_that_takes_nothing_costs_no_client_its_connection_but_its_own(self):
        master = self.serving_master()
        stuck = self.door_of()
        stuck.send(hello(credits=1, pid=1))
        stuck.send(IS_READY)
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

    def test_more_than_a_thousand_joined_workers_are_too_many(self):
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


if __name__ == "__main__":
    handoff.run_tests()
