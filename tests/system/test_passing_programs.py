# SPDX-License-Identifier: MIT
"""fdsend and fdrecv with other programs that pass descriptors or use them: Python, Ruby, Perl, nc,
ssh."""

import hashlib
import os
import pathlib
import select
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import sshd  # noqa: E402
from passing_case import FDRECV, FDSEND, PassingTest, Process  # noqa: E402


class OtherPrograms(PassingTest):
    def test_python_send_fds_is_received(self):
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "-", stdin=theirs)
        with open(self.file) as file:
            socket.send_fds(ours, [b"any bytes"], [file.fileno()])
        self.assert_ends(receiving, 0, "hello from a file\n")

    def test_python_recv_fds_receives(self):
        listener = self.listen()
        for byte in (0, 1, 72, 255):
            sending = self.launch(FDSEND, "--byte", str(byte), "-o", self.file, self.path("s"))
            data, numbers, flags, _ = socket.recv_fds(self.accept(listener), 100, 253)
            self.assertEqual((data, len(numbers), flags & socket.MSG_CTRUNC),
                             (bytes([byte]), 1, 0))
            with open(numbers[0]) as file:
                self.assertEqual(file.read(), "hello from a file\n")
            self.assert_sent(sending)

    def test_ruby_send_io_is_received(self):
        self.needs("ruby")
        self.assertEqual(self.exchange(
            ["ruby", "-rsocket", "-e", "UNIXSocket.for_fd(1).send_io(File.open(ARGV[0]))",
             self.file], [FDRECV, "-"]), "hello from a file\n")

    def test_ruby_recv_io_receives(self):
        self.needs("ruby")
        self.assertEqual(self.exchange(
            [FDSEND, "-o", self.file, "-"],
            ["ruby", "-rsocket", "-e", "print UNIXSocket.for_fd(0).recv_io.read"]),
            "hello from a file\n")

    def needs_fdpass(self):
        self.needs("perl")
        if subprocess.run(["perl", "-MIO::FDPass", "-e1"], capture_output=True).returncode:
            self.skipTest("IO::FDPass of Perl is not installed")

    def test_perl_fdpass_send_is_received(self):
        self.needs_fdpass()
        self.assertEqual(self.exchange(
            ["perl", "-MIO::FDPass", "-e",
             'open F, "<", $ARGV[0] or die; IO::FDPass::send 1, fileno F or die', self.file],
            [FDRECV, "-"]), "hello from a file\n")

    def test_perl_fdpass_recv_receives(self):
        self.needs_fdpass()
        self.assertEqual(self.exchange(
            [FDSEND, "-o", self.file, "-"],
            ["perl", "-MIO::FDPass", "-e",
             'my $n = IO::FDPass::recv 0; open F, "<&=", $n or die; print <F>']),
            "hello from a file\n")

    def start_nc(self, port: int, *receiver: str) -> Process:
        self.needs("nc")
        if b"-F" not in subprocess.run(["nc", "-h"], capture_output=True).stderr:
            self.skipTest("nc has no -F: it is not netcat-openbsd")
        ours, theirs = self.pair()
        receiving = self.launch(*receiver, stdin=theirs)
        passing = self.launch("nc", "-F", "127.0.0.1", str(port), stdout=ours)
        ours.close()
        theirs.close()
        self.assert_sent(passing)
        return receiving

    def test_a_connection_of_nc_is_given_to_a_command(self):
        listener = self.listen_tcp()
        receiving = self.start_nc(listener.getsockname()[1], FDRECV, "-", "--", "sh", "-c",
                                  "echo hello from sh")
        client = self.accept(listener)
        self.assertEqual(client.makefile().read(), "hello from sh\n")
        self.assert_ends(receiving, 0)

    def test_a_connection_of_nc_is_copied_to_stdout(self):
        """nc leaves O_NONBLOCK set on what it passes."""
        listener = self.listen_tcp()
        receiving = self.start_nc(listener.getsockname()[1], FDRECV, "-")
        self.assert_copied(receiving, self.accept(listener))

    def assert_copied(self, receiving: Process, client):
        """Each letter is sent once the one before has come, so that fdrecv has to wait."""
        for i in range(50):
            letter = bytes([65 + i])
            client.sendall(letter)
            readable, _, _ = select.select([receiving.process.stdout], [], [], handoff.PATIENCE)
            self.assertTrue(readable)
            self.assertEqual(os.read(receiving.process.stdout.fileno(), 10), letter,
                             receiving.process.poll() and receiving.process.stderr.read())
        client.close()
        self.assert_ends(receiving, 0)

    def test_a_non_blocking_connection_is_copied_to_stdout(self):
        ours, theirs = self.pair()
        client, passed = self.pair()
        passed.setblocking(False)
        receiving = self.launch(FDRECV, "-", stdin=theirs)
        socket.send_fds(ours, [b"\0"], [passed.fileno()])
        self.assert_copied(receiving, client)
        self.assertFalse(passed.getblocking())

    def test_a_pipe_that_is_non_blocking_is_copied_to(self):
        read_end, write_end = map(self.own_fd, os.pipe())
        os.set_blocking(write_end, False)
        text = "0123456789abcdef" * 100000
        large = self.write("large", text)
        ours, theirs = self.pair()
        receiving = self.launch(FDRECV, "-", stdin=theirs, stdout=write_end)
        os.close(write_end)
        with open(large) as file:
            socket.send_fds(ours, [b"\0"], [file.fileno()])
        with open(read_end, closefd=False) as got:
            self.assertEqual(hashlib.sha256(got.read().encode()).digest(),
                             hashlib.sha256(text.encode()).digest())
        self.assert_ends(receiving, 0)

    def test_ssh_logs_in_through_a_connection_that_fdsend_made(self):
        words = ["ssh", "-o", "ProxyUseFdpass=yes",
                 "-o", f"ProxyCommand={FDSEND} --tcp-connect %h:%p -",
                 *sshd.start(self), "cat; echo logged in"]
        client = self.launch(*words, stdin=subprocess.PIPE)
        output, errors = client.process.communicate(b"typed here\n", handoff.PATIENCE)
        self.assertEqual((client.process.returncode, output), (0, b"typed here\nlogged in\n"),
                         errors)


if __name__ == "__main__":
    handoff.run_tests()
