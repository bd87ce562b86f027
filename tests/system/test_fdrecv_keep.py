# SPDX-License-Identifier: MIT
"""fdrecv --keep with senders that are silent, slow or wordy: none keeps another one out."""

import os
import pathlib
import socket
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import passing_case as passing  # noqa: E402

# As many as fdrecv has connected at a time.
MOST_SENDERS = 64


class KeepTest(passing.PassingTest):
    def start_receiver(self, *options: str, command=("cat",)):
        receiving = self.launch(passing.FDRECV, "--keep", "--stdin", *options, self.path("s"), "--",
                                *command)
        self.wait_for_socket()
        return receiving

    def send_text(self, connection, text: bytes, message: bytes = b"\0"):
        read_end, write_end = os.pipe()
        os.write(write_end, text)
        os.close(write_end)
        socket.send_fds(connection, [message], [read_end])
        os.close(read_end)


class PlacesThatSendersTake(KeepTest):
    """All places are taken, and a further sender is served after ten seconds, not never."""

    def assert_one_more_is_served(self, receiving):
        last = self.connect()
        self.send_text(last, b"the last sender\n")
        self.assertEqual(receiving.process.stdout.readline(), b"the last sender\n")

    def test_senders_that_send_nothing_make_room_for_another_one(self):
        receiving = self.start_receiver()
        silent = [self.connect() for _ in range(MOST_SENDERS)]
        self.assert_one_more_is_served(receiving)
        self.assertEqual(silent[0].recv(1), b"")
        self.assertRegex(receiving.process.stderr.readline().decode(),
                         r"^fdrecv: cannot receive on .*/s: a sender that has sent no whole "
                         r"message is closed: timed out after 10s\n$")

    def test_senders_that_stop_within_a_message_make_room_for_another_one(self):
        receiving = self.start_receiver()
        for _ in range(MOST_SENDERS):
            socket.send_fds(self.connect(), [b"HOFD\1"], [0])
        self.assert_one_more_is_served(receiving)

    def test_senders_that_are_quiet_after_a_message_make_room_for_another_one(self):
        receiving = self.start_receiver()
        for _ in range(MOST_SENDERS):
            self.send_text(self.connect(), b"one of many\n")
        for _ in range(MOST_SENDERS):
            self.assertEqual(receiving.process.stdout.readline(), b"one of many\n")
        self.assert_one_more_is_served(receiving)

    def test_without_keep_silent_senders_make_room_for_another_one_too(self):
        receiving = self.launch(passing.FDRECV, self.path("s"))
        self.wait_for_socket()
        for _ in range(MOST_SENDERS):
            self.connect()
        self.send_text(self.connect(), b"the last sender\n")
        self.assertEqual(receiving.process.stdout.readline(), b"the last sender\n")
        self.assertEqual(receiving.process.wait(handoff.PATIENCE), 0)


class LongPlainMessages(KeepTest):
    """The text of a plain message is of any length, and arrives in any pieces."""

    SIZES = 1, 2, 4096, 4097, 64776, 200_000

    def assert_served_twice(self, send):
        ours, theirs = self.pair()
        receiving = self.launch(passing.FDRECV, "--keep", "--stdin", "-", "--", "cat",
                                stdin=theirs)
        theirs.close()
        for text in b"first\n", b"second\n":
            send(ours, text)
            self.assertEqual(receiving.process.stdout.readline(), text)
        ours.close()
        self.assertEqual(receiving.finish(), (0, b"", ""))

    def test_a_long_text_comes_with_a_descriptor(self):
        for size in self.SIZES:
            with self.subTest(size):
                self.assert_served_twice(
                    lambda sender, text: self.send_text(sender, text, b"x" * size))

    def test_a_text_goes_on_after_its_descriptor(self):
        for size in self.SIZES:
            with self.subTest(size):

                def send(sender, text):
                    self.send_text(sender, text, b"x")
                    sender.sendall(b"y" * size)

                self.assert_served_twice(send)

    def test_a_sender_whose_text_never_ends_keeps_nobody_waiting(self):
        receiving = self.start_receiver()
        endless = self.connect()
        self.send_text(endless, b"first\n")
        self.assertEqual(receiving.process.stdout.readline(), b"first\n")
        endless.setblocking(True)  # the program shares the flag, and does not expect it
        pump = self.launch("cat", "/dev/zero", stdout=endless)
        handoff.wait_for(lambda: handoff.unread(endless, termios.TIOCOUTQ) > 4096, "the text to flow")
        self.send_text(self.connect(), b"second\n")
        self.assertEqual(receiving.process.stdout.readline(), b"second\n")
        self.assertIsNone(pump.process.poll())

    def test_bytes_before_any_descriptor_are_no_message(self):
        ours, theirs = self.pair()
        receiving = self.launch(passing.FDRECV, "--keep", "--stdin", "-", "--", "cat",
                                stdin=theirs)
        ours.send(b"text")
        self.assertEqual(receiving.finish(), (4, b"", "fdrecv: cannot receive on -: bytes came without a "
                                              "descriptor\n"))


class Packets(KeepTest):
    """Over SOCK_SEQPACKET."""

    def receive(self, *packets: bytes):
        ours, theirs = self.pair(socket.SOCK_SEQPACKET)
        for packet in packets[:-1]:
            ours.send(packet)
        socket.send_fds(ours, [packets[-1]], [0])
        ours.close()
        return self.launch(passing.FDRECV, "--json", "-", stdin=theirs).finish()

    def test_an_empty_packet_is_not_the_end(self):
        status, output, errors = self.receive(b"", b"", b"\0")
        self.assertEqual((status, errors), (0, ""))
        self.assertIn(b'"type"', output)

    def test_a_long_packet_is_a_message(self):
        for size in 4096, 4097, 64776:
            with self.subTest(size):
                status, _, errors = self.receive(b"z" * size)
                self.assertEqual((status, errors), (0, ""))

    def test_a_packet_that_is_too_long_is_called_that(self):
        self.assertEqual(self.receive(b"z" * 64777),
                         (4, b"", "fdrecv: cannot receive on -: a packet of more than 64776 bytes (send "
                          "a shorter one, or use a stream socket)\n"))

    def test_nothing_but_empty_packets_is_no_message(self):
        ours, theirs = self.pair(socket.SOCK_SEQPACKET)
        ours.send(b"")
        ours.close()
        self.assertEqual(self.launch(passing.FDRECV, "--json", "-", stdin=theirs).finish(),
                         (4, b"", "fdrecv: cannot receive on -: the sender closed and sent nothing\n"))


if __name__ == "__main__":
    handoff.run_tests()
