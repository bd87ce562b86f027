# SPDX-License-Identifier: MIT
"""What a sender learns of its receiver, which confirms, dies, leaves or talks nonsense
(--confirm)."""

import os
import pathlib
import select
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from passing_case import CONFIRMATION, FDRECV, FDSEND, PassingTest, Process, header  # noqa: E402


class Confirmation(PassingTest):
    """fdsend --ack fails unless the receiver says that it has the descriptors."""

    GONE = r"fdsend: cannot send to .*: the receiver (did not confirm|is gone)\n"

    def start_sender(self, *options: str, peer=None) -> Process:
        return self.launch(FDSEND, "--ack", *options, "-o", self.file,
                           "-" if peer else self.path("s"), stdout=peer)

    def received(self, connection):
        data, numbers, _, _ = socket.recv_fds(connection, 100, 10)
        self.assertEqual((data, len(numbers)), (header(1, flags=1), 1))
        os.close(numbers[0])

    def test_a_receiver_that_confirms_is_success(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        self.received(ours)
        ours.send(CONFIRMATION)
        self.assert_sent(sending)

    def test_fdrecv_confirms(self):
        receiving = self.launch(FDRECV, self.path("s"))
        self.assert_sent(self.start_sender("--wait"))
        self.assert_ends(receiving, 0, "hello from a file\n")

    def test_a_receiver_that_is_not_there_confirms_nothing(self):
        self.listen().close()
        self.assert_ends(self.start_sender(), 3, "",
                         "fdsend: cannot connect to .*: Connection refused\n")

    def test_a_receiver_that_leaves_before_it_accepts_confirms_nothing(self):
        listener = self.listen()
        sending = self.start_sender()
        readable, _, _ = select.select([listener], [], [], handoff.PATIENCE)
        self.assertTrue(readable)
        listener.close()
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_closes_without_reading_confirms_nothing(self):
        listener = self.listen()
        sending = self.start_sender()
        self.accept(listener).close()
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_closed_already_confirms_nothing(self):
        ours, theirs = self.pair()
        ours.close()
        self.assert_ends(self.start_sender(peer=theirs), 4, "", self.GONE)

    def test_a_receiver_that_closes_after_it_has_read_confirms_nothing(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        theirs.close()
        self.received(ours)
        ours.close()
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_ends_its_side_only_confirms_nothing(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        ours.shutdown(socket.SHUT_WR)
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_answers_garbage_confirms_nothing(self):
        for garbage in (b"\0", b"\x15", b"OK", b"H" * 1000):
            with self.subTest(garbage[:10]):
                ours, theirs = self.pair()
                sending = self.start_sender(peer=theirs)
                self.received(ours)
                ours.send(garbage)
                self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_answers_with_a_descriptor_confirms_nothing(self):
        ours, theirs = self.pair()
        sending = self.start_sender(peer=theirs)
        self.received(ours)
        socket.send_fds(ours, [CONFIRMATION], [0])
        self.assert_ends(sending, 4, "", self.GONE)

    def test_a_receiver_that_answers_nothing_confirms_nothing(self):
        _, theirs = self.pair()
        self.assert_ends(self.start_sender("-t", "50ms", peer=theirs), 124, "",
                         "fdsend: cannot send to -: the receiver did not confirm: timed out after 50ms\n")

    def test_an_fdrecv_that_is_killed_before_it_has_read_confirms_nothing(self):
        receiving = self.launch(FDRECV, self.path("s"))
        self.wait_for_socket()
        os.kill(receiving.pid, signal.SIGSTOP)
        self.wait_for_state(receiving.pid, "T")
        sending = self.start_sender()
        # It waits for the confirmation once it sleeps.
        self.wait_for_state(sending.pid, "S")
        os.kill(receiving.pid, signal.SIGKILL)
        self.assert_ends(sending, 4, "", self.GONE)
        self.assertEqual(receiving.process.wait(handoff.PATIENCE), -signal.SIGKILL)

    @staticmethod
    def wait_for_state(pid: int, state: str):
        stat = pathlib.Path(f"/proc/{pid}/stat")
        handoff.wait_for(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == state,
                         f"state {state}")

    def test_an_fdrecv_that_expected_another_number_confirms_nothing(self):
        receiving = self.launch(FDRECV, "--fd", "5", "--fd", "6", self.path("s"), "--", "true")
        self.assert_ends(self.start_sender("--wait"), 4, "", self.GONE)
        self.assert_ends(receiving, 4, "",
                         "fdrecv: cannot receive on .*: 1 descriptors? came where 2 (was|were) expected\n")

    def test_an_asker_that_closes_does_not_end_a_keeper(self):
        keeper = self.launch(FDSEND, "-l", "--keep", "--ack", "-o", self.file, self.path("s"))
        self.wait_for_socket()
        connection = self.connect()
        self.received(connection)
        connection.close()
        line = keeper.process.stderr.readline().decode()
        while "ready" in line:
            line = keeper.process.stderr.readline().decode()
        self.assertRegex(line, self.GONE)
        self.assert_ends(self.launch(FDRECV, "-c", self.path("s")), 0, "hello from a file\n")


if __name__ == "__main__":
    handoff.run_tests()
