# SPDX-License-Identifier: MIT
"""fdsend and fdrecv between different users: refused, unless allowed."""

import contextlib
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from passing_case import FDRECV, FDSEND, PassingTest  # noqa: E402

NOBODY = 61234  # not 65534, which a user namespace gives to all who are not mapped


class Users(PassingTest):
    """Needs root, to be somebody else."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can be another user")
        os.chmod(self.directory, 0o755)
        self.name = f"handoff-{os.getpid()}"

    def as_nobody(self, action) -> None:
        """Runs it in a child process of another user, which must succeed."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                action()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def address(self, name: str):
        return f"\0{self.name}" if name.startswith("@") else self.path("s")

    def word(self, name: str) -> str:
        return self.address(name).replace("\0", "@")

    def connect_as_nobody(self, name: str, action):
        def run():
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(handoff.PATIENCE)
                client.connect(self.address(name))
                action(client)

        self.as_nobody(run)

    def send_file(self, client):
        with open(self.file) as file:
            socket.send_fds(client, [b"\0"], [file.fileno()])

    def expect_closed(self, client):
        with contextlib.suppress(ConnectionResetError):
            if client.recv(1) != b"":
                raise AssertionError("something was sent")

    def expect_reset_or_sent(self, client):
        with contextlib.suppress(OSError):
            self.send_file(client)
        self.expect_closed(client)

    def wait_for_name(self, name: str):
        def there():
            if name.startswith("@"):
                return self.word(name) in pathlib.Path("/proc/net/unix").read_text(errors="replace")
            return os.path.exists(self.path("s"))

        handoff.wait_for(there, f"the socket {name}")

    def test_a_sender_of_another_user_is_refused_and_the_own_is_served(self):
        for name in ("path", "@abstract"):
            with self.subTest(name):
                receiving = self.launch(FDRECV, "--mode", "666", self.word(name))
                self.wait_for_name(name)
                self.connect_as_nobody(name, self.expect_reset_or_sent)
                self.assert_sent(self.launch(FDSEND, "-o", self.file, self.word(name)))
                self.assert_ends(receiving, 0, "hello from a file\n",
                                 f"fdrecv: cannot accept on .*: user {NOBODY} is refused "
                                 r"\(--allow-uid allows it\)\n")

    def test_an_asker_of_another_user_is_refused_and_the_own_is_served(self):
        sending = self.launch(FDSEND, "-l", "--mode", "666", "-o", self.file, self.path("s"))
        self.wait_for_socket()
        self.connect_as_nobody("path", self.expect_closed)
        self.assert_ends(self.launch(FDRECV, "-c", self.path("s")), 0, "hello from a file\n")
        self.assert_ends(sending, 0, "", f"fdsend: cannot accept on .*: user {NOBODY} is refused "
                         r"\(--allow-uid allows it\)\n")

    def test_the_default_mode_keeps_another_user_from_connecting(self):
        self.launch(FDRECV, self.path("s"))
        self.wait_for_socket()

        def run():
            with socket.socket(socket.AF_UNIX) as client, self.assertRaises(PermissionError):
                client.connect(self.path("s"))

        self.as_nobody(run)

    def test_another_user_is_let_in_when_allowed(self):
        receiving = self.launch(FDRECV, "--mode", "666", "--allow-uid", "7", "--allow-uid",
                                str(NOBODY), self.path("s"))
        self.wait_for_socket()
        self.connect_as_nobody("path", self.send_file)
        self.assert_ends(receiving, 0, "hello from a file\n")

    def listener_of_nobody(self) -> socket.socket:
        """A listener that another user has made."""
        ours, theirs = self.pair()

        def run():
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(self.address("@abstract"))
                listener.listen()
                socket.send_fds(theirs, [b"\0"], [listener.fileno()])

        self.as_nobody(run)
        _, numbers, _, _ = socket.recv_fds(ours, 1, 1)
        listener = self.own(socket.socket(fileno=numbers[0]))
        listener.settimeout(handoff.PATIENCE)
        return listener

    def test_a_listener_of_another_user_gets_nothing(self):
        listener = self.listener_of_nobody()
        name = self.word("@abstract")
        self.assert_ends(self.launch(FDSEND, "-o", self.file, name), 3, "",
                         rf"fdsend: cannot connect to {name}: user {NOBODY} listens there "
                         r"\(--allow-uid allows it\)\n")
        self.assertEqual(self.accept(listener).recv(1), b"")

    def test_nothing_is_taken_from_a_listener_of_another_user(self):
        self.listener_of_nobody()
        name = self.word("@abstract")
        self.assert_ends(self.launch(FDRECV, "-c", name), 3, "",
                         rf"fdrecv: cannot connect to {name}: user {NOBODY} listens there "
                         r"\(--allow-uid allows it\)\n")

    def test_a_listener_of_another_user_is_accepted_when_allowed(self):
        listener = self.listener_of_nobody()
        sending = self.launch(FDSEND, "--allow-uid", str(NOBODY), "-o", self.file,
                              self.word("@abstract"))
        _, numbers, _, _ = socket.recv_fds(self.accept(listener), 1, 1)
        self.assertEqual(os.read(self.own_fd(numbers[0]), 5), b"hello")
        self.assert_sent(sending)


if __name__ == "__main__":
    handoff.run_tests()
