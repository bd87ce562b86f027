# SPDX-License-Identifier: MIT
"""Receivers that serve many senders: silent ones, broken ones and many at a time cost no
descriptor and nobody else a place."""

import array
import contextlib
import fcntl
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from passing_case import CONFIRMATION, FDRECV, FDSEND, PassingTest, Process, header  # noqa: E402


class Leaks(PassingTest):
    """In the modes that go on, as many descriptors are open after many exchanges as before."""

    def assert_descriptors(self, process: Process, before: int):
        handoff.wait_for(lambda: handoff.descriptor_count(process.pid) == before,
                         f"{before} open descriptors")

    def receive_file(self, connection):
        data, numbers, _, _ = socket.recv_fds(connection, 100, 253)
        for number in numbers:
            os.close(number)
        return data, len(numbers)

    def test_a_keeper_serves_many_and_those_that_leave_at_each_step(self):
        keeper = self.launch(FDSEND, "-l", "--keep", "--ack", self.path("s"), "0", "0", "0",
                             stderr=subprocess.DEVNULL)
        self.wait_for_socket()

        def take(connection):
            self.assertEqual(self.receive_file(connection), (header(3, flags=1), 3))

        def connect_only(_):
            pass

        def confirm(connection):
            take(connection)
            connection.send(CONFIRMATION)
            self.assertEqual(connection.recv(1), b"")

        def send_garbage(connection):
            take(connection)
            connection.send(b"garbage")

        def send_descriptors(connection):
            take(connection)
            socket.send_fds(connection, [CONFIRMATION], [0, 1, 2])

        with self.connect() as first:
            confirm(first)
        before = handoff.descriptor_count(keeper.pid)
        # The connection of `first` may still be open there.
        before = min(before, self.settled_count(keeper))
        for _ in range(handoff.count(1000, 20)):
            for step in (connect_only, take, confirm, send_garbage, send_descriptors):
                with self.connect() as connection:
                    step(connection)
        self.assert_descriptors(keeper, before)
        with self.connect() as last:
            confirm(last)

    def settled_count(self, process: Process) -> int:
        """The count while exactly one connection is open, without that connection."""
        with self.connect() as connection:
            self.assertEqual(connection.recv(1), b"H")
            return handoff.descriptor_count(process.pid) - 1

    BROKEN = {
        "nothing": lambda s: None,
        "half a header": lambda s: socket.send_fds(s, [b"HOFD\1"], [0]),
        "half a name": lambda s: socket.send_fds(s, [b"HOFD\1\0\1\0\7abc"], [0]),
        "bytes alone": lambda s: s.send(b"bytes"),
        "three where one is expected": lambda s: socket.send_fds(s, [b"\0"], [0, 0, 0]),
        "another count": lambda s: socket.send_fds(s, [header(2)], [0]),
        "another version": lambda s: socket.send_fds(s, [header(1, version=9)], [0]),
        "a colon in a name": lambda s: socket.send_fds(s, [b"HOFD\1\0\1\0\3a:b"], [0]),
        "the most that fit": lambda s: socket.send_fds(s, [header(253)], [0] * 253),
    }

    def test_a_receiver_serves_many_and_survives_senders_that_are_broken(self):
        receiving = self.launch(FDRECV, "--keep", self.path("s"), "--", "true",
                                stderr=subprocess.DEVNULL)
        self.wait_for_socket()
        self.assert_serves()
        self.assert_idle(receiving)
        before = handoff.descriptor_count(receiving.pid)
        for _ in range(handoff.count(25, 5)):
            for name, send in self.BROKEN.items():
                with self.subTest(name), self.connect() as sender:
                    send(sender)
            self.assert_serves()
        self.assert_idle(receiving)
        self.assert_descriptors(receiving, before)

    def assert_serves(self):
        with self.connect() as sender:
            socket.send_fds(sender, [header(1, flags=1)], [0])
            self.assertEqual(sender.recv(10), CONFIRMATION)
            self.assertEqual(sender.recv(10) if sender.shutdown(socket.SHUT_WR) else b"", b"")

    def assert_idle(self, receiving: Process):
        """No process of its runs, and none is a zombie."""
        handoff.wait_for(lambda: not handoff.children(receiving.pid), "no child")
        handoff.wait_for(lambda: self.connections_of(receiving.pid) == 1, "only the listener")

    def connections_of(self, pid: int) -> int:
        links = 0
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links += os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:")
        return links

    def test_a_broken_sender_takes_nobodys_place(self):
        for name, send in self.BROKEN.items():
            with self.subTest(name):
                receiving = self.launch(FDRECV, "--keep", "--max-processes", "1", "-t", "10",
                                        self.path(name), "--", "true")
                self.wait_for_socket(name)
                with self.connect(name) as sender:
                    send(sender)
                self.assert_sent(self.launch(FDSEND, "-t", "5", "--ack", self.path(name)))
                receiving.process.terminate()
                self.assertEqual(receiving.process.wait(handoff.PATIENCE), 0)

    def test_descriptors_of_a_refused_message_are_closed_at_once(self):
        receiving = self.launch(FDRECV, "--keep", self.path("s"), "--", "true",
                                stderr=subprocess.PIPE)
        self.wait_for_socket()
        read_end, write_end = map(self.own_fd, os.pipe())
        with self.connect() as sender:
            socket.send_fds(sender, [b"\0"], [write_end] * 3)
            os.close(write_end)
            self.assertRegex(receiving.process.stderr.readline().decode(),
                             "3 descriptors came where 1 was expected")
            self.assertEqual(os.read(read_end, 1), b"")


class Senders(PassingTest):
    """Several senders of one fdrecv --keep."""

    def start_receiver(self, *options: str, command=("cat",), **more) -> Process:
        receiving = self.launch(FDRECV, "--keep", "--stdin", *options, self.path("s"), "--",
                                *command, **more)
        self.wait_for_socket()
        return receiving

    def send_text(self, connection, text: bytes):
        read_end, write_end = os.pipe()
        os.write(write_end, text)
        os.close(write_end)
        socket.send_fds(connection, [b"\0"], [read_end])
        os.close(read_end)

    def test_a_sender_that_sends_nothing_keeps_nobody_waiting(self):
        for options in ([], ["--max-processes", "1"]):
            with self.subTest(options):
                receiving = self.start_receiver("--count", "1", *options)
                with self.connect():
                    sender = self.connect()
                    self.send_text(sender, b"the second sender\n")
                    sender.close()
                    readable, _, _ = select.select([receiving.process.stdout], [], [], 5)
                    self.assertTrue(readable, "the second sender is served")
                self.assert_ends(receiving, 0, "the second sender\n")

    def test_a_sender_that_sends_nothing_does_not_keep_it_from_ending(self):
        for way in ("TERM", "--count"):
            with self.subTest(way):
                receiving = self.start_receiver(*(["--count", "1"] if way == "--count" else []))
                with self.connect(), self.connect() as sender:
                    self.send_text(sender, b"served\n")
                    self.assertEqual(receiving.process.stdout.readline(), b"served\n")
                    if way == "TERM":
                        receiving.process.terminate()
                    self.assertEqual(receiving.process.wait(5), 0)

    def test_term_ends_it_while_its_only_sender_is_silent(self):
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "--keep", "--stdin", "-", "--", "cat", stdin=theirs)
        self.send_text(ours, b"served\n")
        self.assertEqual(receiving.process.stdout.readline(), b"served\n")
        receiving.process.terminate()
        self.assertEqual(receiving.process.wait(5), 0)

    def test_a_sender_sends_many_messages_over_one_connection(self):
        receiving = self.start_receiver("--count", "20", "--max-processes", "1")
        with self.connect() as sender:
            for i in range(20):
                self.send_text(sender, f"{i}\n".encode())
            self.assert_ends(receiving, 0, "".join(f"{i}\n" for i in range(20)))

    def test_more_senders_than_are_served_at_a_time_are_all_served(self):
        receiving = self.start_receiver("--count", "150", command=("sh", "-c", "cat"))
        senders = [self.connect() for _ in range(150)]
        for sender in senders:
            self.send_text(sender, b"x")
            sender.close()
        self.assert_ends(receiving, 0, "x" * 150)

    def test_a_command_that_is_away_for_a_while_takes_nobodys_place(self):
        program = self.write("program", "#!/bin/sh\ncat\n")
        os.chmod(program, 0o755)
        receiving = self.start_receiver("--count", "4", "--max-processes", "1",
                                        command=(program,))

        def lose():
            os.rename(program, self.path("away"))
            with self.connect() as sender:
                self.send_text(sender, b"lost\n")
                line = receiving.process.stderr.readline().decode()
                self.assertEqual(line, f"fdrecv: cannot run {program}: No such file or directory\n")
            os.rename(self.path("away"), program)

        lose()
        for _ in range(2):
            with self.connect() as sender:
                self.send_text(sender, b"served\n")
            self.assertEqual(receiving.process.stdout.readline(), b"served\n")
        lose()
        self.assertEqual(receiving.process.wait(5), 0, "lost messages have come too")

    def test_a_listener_that_was_inherited_is_accepted_from(self):
        """It is blocking, and stays so: others may have it too."""
        listener = self.listen()
        receiving = self.launch(FDRECV, "--keep", "--stdin", "--count", "2", "-", "--", "cat",
                                stdin=listener)
        for _ in range(2):
            with self.connect() as sender:
                self.send_text(sender, b"served\n")
        self.assert_ends(receiving, 0, "served\nserved\n")

    def test_an_inherited_listener_has_a_deadline_and_is_ended_by_term(self):
        listener = self.listen()
        listener.setblocking(True)
        receiving = self.launch(FDRECV, "-t", "50ms", "-", stdin=listener)
        self.assertEqual(receiving.process.wait(5), 124)
        receiving = self.launch(FDRECV, "-", stdin=listener)
        receiving.process.terminate()
        self.assertEqual(receiving.process.wait(5), -signal.SIGTERM)

    def test_a_sender_at_its_descriptor_limit_is_told(self):
        ours, theirs = self.pair()
        receiving = self.launch("sh", "-c", 'ulimit -n 20; exec "$@"', "sh", FDRECV, "--json", "-",
                                stdin=theirs)
        socket.send_fds(ours, [b"\0"], [0] * 40)
        self.assert_ends(receiving, 4, "", r"fdrecv: cannot receive on -: more descriptors than fit "
                         r"\(the limit is 20, see `ulimit -n`\)\n")

    def test_two_control_messages_at_once_are_understood(self):
        """A kernel gives what several senders queued in pieces; a name may come after its
        descriptor."""
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "--json", "-", stdin=theirs)
        ours.sendmsg([b"HOFD\1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                    array.array("i", [0]))])
        handoff.wait_for(lambda: self.unread(ours) == 0, "the first piece to be read")
        for letter in b"\0\1\0\3in!":
            ours.send(bytes([letter]))
        status, output, errors = receiving.finish()
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output.decode(), '^{"name":"in!","type":')

    @staticmethod
    def unread(connection) -> int:
        size = array.array("i", [0])
        fcntl.ioctl(connection, termios.TIOCOUTQ, size)
        return size[0]


if __name__ == "__main__":
    handoff.run_tests()
