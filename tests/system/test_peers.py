# SPDX-License-Identifier: MIT
"""Who may be at the other end of a Unix socket, and what is believed of it: each program judges the
user of its peer, whichever of the two listens, also in a user namespace."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import HELLO, READY, REQUESTS, hello, message  # noqa: E402

MASTER, WORKER, CALL, FDSEND, FDRECV = map(
    handoff.tool, ("rpc-master", "rpc-worker", "rpc-call", "fdsend", "fdrecv"))

# Not 65534, which can be anybody in a user namespace.
OTHER = 61234
OVERFLOW = int(pathlib.Path("/proc/sys/kernel/overflowuid").read_text())

ALLOWS = r"\(--allow-uid allows it\)$"
NOT_MAPPED = r"\(it can be any user that this user namespace does not map; .*\)$"


class PeersTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        (self.directory / "file").write_text("text of a file\n")

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def abstract(self, name: str) -> str:
        return f"@handoff-test-peers-{os.getpid()}-{name}"

    def launch(self, *words: str, prefix=(), **popen) -> handoff.Server:
        return self.start(handoff.Server(*prefix, *words, ready=False, **popen))

    def assert_ends(self, server: handoff.Server, status: int):
        self.assertEqual(server.process.wait(handoff.PATIENCE), status, server.lines)

    def run_to_end(self, *words: str, prefix=()) -> subprocess.CompletedProcess:
        return subprocess.run([*prefix, *words], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=handoff.PATIENCE)

    def assert_refused(self, done: subprocess.CompletedProcess, status: int, line: str):
        """One line says why."""
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertRegex(done.stderr.removesuffix("\n"), "^" + line)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def listen(self, name: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A listener of this process's user, that everybody can connect to."""
        listener = self.stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        if not name.startswith("@"):
            os.chmod(name, 0o666)
        listener.listen()
        listener.settimeout(handoff.PATIENCE)
        return listener

    def accept(self, listener: socket.socket) -> socket.socket:
        connection = self.stack.enter_context(listener.accept()[0])
        connection.settimeout(handoff.PATIENCE)
        return connection

    def wait_for_socket(self, name: str):
        if name.startswith("@"):
            handoff.wait_for(lambda: name in pathlib.Path("/proc/net/unix").read_text(errors="replace"), name)
        else:
            handoff.wait_for(lambda: os.path.exists(name), name)

    def be_other(self) -> list[str]:
        """The words before a command that another user is to run."""
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs root and setpriv to be another user")
        words = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups"]
        if subprocess.run([*words, WORKER, "--version"], capture_output=True).returncode:
            self.skipTest("another user can't execute what is tested here")
        return words

    def unshare(self, *options: str) -> list[str]:
        """The words before a command that is to run in namespaces of its own."""
        words = ["unshare", *options]
        if not shutil.which("unshare"):
            self.skipTest("unshare is not installed")
        tried = subprocess.run([*words, "true"], capture_output=True, text=True)
        if tried.returncode:
            self.skipTest(f"namespaces of one's own are not permitted: {tried.stderr.strip()}")
        return words

    def listen_as_other(self, name: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A listener that another user has made; it is accepted from here."""
        self.be_other()
        listener = self.stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        listener.settimeout(handoff.PATIENCE)
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        # What counts is the user who calls listen(2).
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.setresuid(OTHER, OTHER, OTHER)
                listener.listen()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        return listener

    def assert_told_nothing(self, listener: socket.socket):
        self.assertEqual(self.accept(listener).recv(100), b"")


class Joining(PeersTest):
    """A worker serves whoever is its master with its own rights."""

    def test_a_worker_does_not_join_a_listener_of_another_user(self):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            for name in (self.path(f"{kind}"), self.abstract(f"{kind}")):
                with self.subTest(name=name, kind=kind):
                    listener = self.listen_as_other(name, kind)
                    for wait in ([], ["--wait"]):
                        done = self.run_to_end(WORKER, "-j", name, *wait)
                        self.assert_refused(done, 3, f"rpc-worker: cannot join {name}: "
                                            f"user {OTHER} listens there {ALLOWS}")
                        self.assert_told_nothing(listener)

    def test_a_worker_joins_the_master_of_a_user_who_is_allowed(self):
        prefix = self.be_other()
        os.mkdir(self.path("theirs"))
        os.chown(self.path("theirs"), OTHER, OTHER)
        door = self.path("theirs/join")
        master = self.launch(MASTER, "-l", "127.0.0.1:0", "-j", door, prefix=prefix)
        master.wait_for_line(": ready, ")
        self.assert_refused(self.run_to_end(WORKER, "-j", door), 3,
                            f"rpc-worker: cannot join {door}: user {OTHER} listens there {ALLOWS}")
        worker = self.launch(WORKER, "-j", door, "--allow-uid", "7", "--allow-uid", str(OTHER))
        # Root is let in by everybody's master.
        worker.wait_for_line(f"joined, on {door}$")

    def test_a_worker_joins_a_listener_that_root_has_made(self):
        prefix = self.be_other()
        listener = self.listen(self.path("join"), socket.SOCK_SEQPACKET)
        worker = self.launch(WORKER, "-j", self.path("join"), prefix=prefix)
        channel = self.accept(listener)
        self.assertEqual(channel.recv(100)[3], HELLO)
        channel.send(message(REQUESTS, bytes(8)))
        worker.wait_for_line(f"joined, on {self.path('join')}$")

    def test_a_worker_has_joined_only_when_the_master_has_spoken(self):
        listener = self.listen(self.path("join"), socket.SOCK_SEQPACKET)
        worker = self.launch(WORKER, "-j", self.path("join"))
        channel = self.accept(listener)
        self.assertEqual([channel.recv(100)[3] for _ in range(2)], [HELLO, READY])
        self.assertEqual(worker.lines, [])
        channel.send(message(REQUESTS, bytes(8)))
        worker.wait_for_line(f"joined, on {self.path('join')}$")
        self.assertEqual(channel.recv(100)[3], REQUESTS)
        channel.send(message(REQUESTS, bytes(8)))
        self.assertEqual(channel.recv(100)[3], REQUESTS)
        self.assertEqual(len(worker.lines), 1, worker.lines)

    def test_what_is_no_master_is_not_joined(self):
        listener = self.listen(self.path("join"), socket.SOCK_SEQPACKET)
        for packet in (b"220 mail.example.com ESMTP\r\n", message(READY)):
            worker = self.launch(WORKER, "-j", self.path("join"))
            self.accept(listener).send(packet)
            self.assert_ends(worker, 4)
            self.assertEqual(len(worker.lines), 1, worker.lines)
            self.assertIn("channel: the master sent ", worker.lines[0])

    def test_a_worker_waits_for_a_silent_listener_and_says_so_if_asked(self):
        self.listen(self.path("join"), socket.SOCK_SEQPACKET)
        worker = self.launch(WORKER, "-v", "-j", self.path("join"))
        worker.wait_for_line(f"waiting for the master at {self.path('join')}$")
        self.assertEqual(len(worker.lines), 1, worker.lines)

    def test_without_a_handshake_a_worker_says_that_it_has_connected(self):
        self.listen(self.path("join"))
        worker = self.launch(WORKER, "-j", self.path("join"))
        worker.wait_for_line(f"connected to {self.path('join')} .*no master confirms")
        self.assertFalse([line for line in worker.lines if "joined, on" in line])


class Admission(PeersTest):
    """Those who connect: the own user, root, and who is allowed, everywhere alike."""

    def test_an_allowed_user_joins_and_controls_also_at_abstract_names(self):
        door, control = self.abstract("join"), self.abstract("control")
        prefix = self.be_other()
        master = self.launch(MASTER, "-l", "127.0.0.1:0", "-j", door, "-c", control, "--allow-uid",
                             str(OTHER))
        master.wait_for_line(": ready, ")
        worker = self.launch(WORKER, "-j", door, prefix=prefix)
        worker.wait_for_line(f"joined, on {door}$")
        done = self.run_to_end(CALL, control, "ping", "1", prefix=prefix)
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)

    def test_who_is_not_allowed_is_refused_also_at_abstract_names_and_the_log_says_so(self):
        names = {word: self.abstract(word) for word in ("join", "control", "clients")}
        prefix = self.be_other()
        master = self.launch(MASTER, "-l", names["clients"], "-j", names["join"], "-c",
                             names["control"], "--allow-uid", "7", "-n", "1", "--", WORKER)
        master.wait_for_line(": ready, ")
        self.assertEqual(self.run_to_end(WORKER, "-j", names["join"], prefix=prefix).returncode, 3)
        for word in ("control", "clients"):
            done = self.run_to_end(CALL, names[word], "ping", prefix=prefix)
            self.assertIn(done.returncode, (3, 4), done.stderr)
        for name in names.values():
            master.wait_for_line(f"cannot accept on {name}: user {OTHER} is refused {ALLOWS}")

    def test_a_worker_alone_lets_in_who_is_allowed_at_an_abstract_name(self):
        prefix = self.be_other()
        for allowed, status in ((OTHER, (0,)), (7, (3, 4))):
            name = self.abstract(f"{allowed}")
            worker = self.launch(WORKER, "-l", name, "--allow-uid", str(allowed))
            worker.wait_for_line(": ready, ")
            done = self.run_to_end(CALL, name, "ping", prefix=prefix)
            self.assertIn(done.returncode, status, done.stderr)
        worker.wait_for_line(f"cannot accept on {name}: user {OTHER} is refused {ALLOWS}")

    def test_a_worker_that_accepts_for_a_master_lets_in_who_is_allowed(self):
        prefix = self.be_other()
        name = self.abstract("listener")
        master = self.launch(MASTER, "-p", "listener", "-l", name, "-n", "1", "--", WORKER,
                             "--allow-uid", str(OTHER))
        master.wait_for_line(": ready, ")
        done = self.run_to_end(CALL, name, "ping", "1", prefix=prefix)
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)

    def test_root_is_let_in_by_the_server_of_another_user(self):
        prefix = self.be_other()
        names = {word: self.abstract(word) for word in ("join", "control", "clients")}
        master = self.launch(MASTER, "-l", names["clients"], "-j", names["join"], "-c",
                             names["control"], "-n", "1", "--", WORKER, prefix=prefix)
        master.wait_for_line(": ready, ")
        for word in ("control", "clients"):
            done = self.run_to_end(CALL, names[word], "ping", "1")
            self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)
        worker = self.launch(WORKER, "-j", names["join"], "--allow-uid", str(OTHER))
        worker.wait_for_line("joined, on ")

    def test_a_listener_that_root_made_serves_its_user_and_root(self):
        """As a service manager makes it for a service."""
        prefix = self.be_other()
        listener = self.listen(self.path("s"))
        receiving = self.launch(FDRECV, "-k", "--count", "2", "--stdin", f"fd:{listener.fileno()}",
                                "--", "cat", prefix=prefix, pass_fds=[listener.fileno()],
                                stdout=subprocess.PIPE)
        # A sender of the service's user, and root.
        for words in (prefix, []):
            done = self.run_to_end(FDSEND, "--ack", "-o", self.path("file"), self.path("s"),
                                   prefix=words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_ends(receiving, 0)
        with receiving.process.stdout as output:
            self.assertEqual(output.read(), 2 * "text of a file\n")

    def test_a_receiver_that_connects_takes_from_a_listener_that_root_made(self):
        prefix = self.be_other()
        sending = self.launch(FDSEND, "-l", "--mode", "666", "--allow-uid", str(OTHER), "-o",
                              self.path("file"), self.path("s"))
        self.wait_for_socket(self.path("s"))
        done = self.run_to_end(FDRECV, "-c", self.path("s"), prefix=prefix)
        self.assertEqual((done.returncode, done.stdout), (0, "text of a file\n"), done.stderr)
        self.assert_ends(sending, 0)


class UserNamespaces(PeersTest):
    """All users that a user namespace does not map read as one there, who may be the own."""

    def in_namespace(self) -> list[str]:
        """In it only this user is mapped, to root."""
        return self.unshare("-U", "--map-root-user")

    def test_a_receiver_refuses_who_is_not_mapped_and_serves_who_is(self):
        name = self.abstract("fdrecv")
        prefix = self.be_other()
        receiving = self.launch(FDRECV, "--allow-uid", str(OVERFLOW), name,
                                prefix=self.in_namespace(), stdout=subprocess.PIPE)
        self.wait_for_socket(name)
        done = self.run_to_end(FDSEND, "--ack", "-o", self.path("file"), name, prefix=prefix)
        self.assertEqual(done.returncode, 4, done.stderr)
        receiving.wait_for_line(f"cannot accept on {name}: user {OVERFLOW} is refused {NOT_MAPPED}")
        done = self.run_to_end(FDSEND, "--ack", "-o", self.path("file"), name)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_ends(receiving, 0)
        with receiving.process.stdout as output:
            self.assertEqual(output.read(), "text of a file\n")

    def test_nothing_is_sent_to_a_listener_of_a_user_who_is_not_mapped(self):
        name = self.abstract("fdsend")
        listener = self.listen_as_other(name)
        for words in ([FDSEND, "-o", self.path("file")], [FDRECV, "-c"]):
            done = self.run_to_end(*words, "--allow-uid", str(OVERFLOW), name,
                                   prefix=self.in_namespace())
            self.assert_refused(done, 3, rf"{pathlib.Path(words[0]).name}: cannot connect to "
                                f"{name}: user {OVERFLOW} listens there {NOT_MAPPED}")
            self.assert_told_nothing(listener)

    def test_a_worker_does_not_join_a_listener_of_a_user_who_is_not_mapped(self):
        name = self.abstract("join")
        listener = self.listen_as_other(name, socket.SOCK_SEQPACKET)
        done = self.run_to_end(WORKER, "-j", name, "--allow-uid", str(OVERFLOW),
                               prefix=self.in_namespace())
        self.assert_refused(done, 3, f"rpc-worker: cannot join {name}: "
                            f"user {OVERFLOW} listens there {NOT_MAPPED}")
        self.assert_told_nothing(listener)

    def test_a_master_refuses_who_is_not_mapped_and_serves_who_is(self):
        names = {word: self.abstract(word) for word in ("join", "control", "clients")}
        prefix = self.be_other()
        master = self.launch(MASTER, "-l", names["clients"], "-j", names["join"], "-c",
                             names["control"], "--allow-uid", str(OVERFLOW), "-n", "1", "--", WORKER,
                             prefix=self.in_namespace())
        master.wait_for_line(": ready, ")
        self.assertEqual(self.run_to_end(WORKER, "-j", names["join"], prefix=prefix).returncode, 3)
        for word in ("control", "clients"):
            done = self.run_to_end(CALL, names[word], "ping", prefix=prefix)
            self.assertIn(done.returncode, (3, 4), done.stderr)
        for name in names.values():
            master.wait_for_line(f"cannot accept on {name}: user {OVERFLOW} is refused {NOT_MAPPED}")
        self.assertEqual(self.run_to_end(CALL, names["control"], "ping", "1").stdout, "1\n")

    def test_a_worker_alone_refuses_who_is_not_mapped(self):
        name = self.abstract("alone")
        prefix = self.be_other()
        worker = self.launch(WORKER, "-l", name, prefix=self.in_namespace())
        worker.wait_for_line(": ready, ")
        done = self.run_to_end(CALL, name, "ping", prefix=prefix)
        self.assertIn(done.returncode, (3, 4), done.stderr)
        worker.wait_for_line(f"cannot accept on {name}: user {OVERFLOW} is refused {NOT_MAPPED}")
        self.assertEqual(self.run_to_end(CALL, name, "ping", "1").stdout, "1\n")

    def test_where_no_user_is_mapped_not_even_the_own_user_is_let_in(self):
        name = self.abstract("none")
        receiving = self.launch(FDRECV, "--allow-uid", str(OVERFLOW), name,
                                prefix=self.unshare("-U"))
        self.wait_for_socket(name)
        done = self.run_to_end(FDSEND, "--ack", "-o", self.path("file"), name)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assert_ends(receiving, 3)
        self.assertRegex(receiving.lines[0], f"cannot accept on {name}: user {OVERFLOW} is refused "
                         r"\(this user namespace maps no user; write its uid_map first\)$")

    def test_the_overflow_uid_is_a_user_like_others_outside_of_user_namespaces(self):
        self.be_other()
        if OVERFLOW == 0 or "4294967295" not in pathlib.Path("/proc/self/uid_map").read_text():
            self.skipTest("this user namespace does not map every user")
        nobody = ["setpriv", f"--reuid={OVERFLOW}", f"--regid={OVERFLOW}", "--clear-groups"]
        name = self.abstract("nobody")
        receiving = self.launch(FDRECV, "--allow-uid", str(OVERFLOW), name,
                                stdout=subprocess.DEVNULL)
        self.wait_for_socket(name)
        done = self.run_to_end(FDSEND, "--ack", "-o", self.path("file"), name, prefix=nobody)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_ends(receiving, 0)


class Additions(PeersTest):
    """What the kernel adds to messages, because a socket's maker has asked for it, is no error."""

    def pair(self) -> tuple[socket.socket, socket.socket]:
        return tuple(map(self.stack.enter_context, socket.socketpair()))

    def test_what_was_taken_is_confirmed_to_a_sender_that_gets_credentials(self):
        for passes in (False, True):
            ours, theirs = self.pair()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, passes)
            receiving = self.launch(FDRECV, f"fd:{theirs.fileno()}", stdout=subprocess.PIPE,
                                    pass_fds=[theirs.fileno()])
            sending = self.launch(FDSEND, "--ack", "-o", self.path("file"), f"fd:{ours.fileno()}",
                                  pass_fds=[ours.fileno()])
            self.assert_ends(sending, 0)
            self.assert_ends(receiving, 0)
            with receiving.process.stdout as output:
                self.assertEqual(output.read(), "text of a file\n")

    def test_a_receiver_behind_a_listener_that_asks_for_credentials_gets_all_descriptors(self):
        """What is accepted from such a listener asks for them too."""
        listener = self.listen(self.path("s"))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, True)
        receiving = self.launch(FDRECV, "--json", f"fd:{listener.fileno()}",
                                pass_fds=[listener.fileno()], stdout=subprocess.PIPE)
        with open("/dev/null") as file, socket.socket(socket.AF_UNIX) as sender:
            sender.connect(self.path("s"))
            socket.send_fds(sender, [b"x"], [file.fileno()] * 253)
            self.assert_ends(receiving, 0)
        with receiving.process.stdout as output:
            self.assertEqual(output.read().count('"/dev/null"'), 253)


class Pids(PeersTest):
    """The master knows a worker by the process that has connected, not by what that says."""

    def master(self, *options: str, prefix=()) -> handoff.Server:
        server = self.launch(MASTER, "-v", "-l", self.path("s"), "-j", self.path("join"), "-c",
                             self.path("control"), *options, prefix=prefix)
        server.wait_for_line(": ready, ")
        return server

    def joined_pids(self) -> list[int]:
        with handoff.Connection(self.path("control")) as control:
            return [worker["pid"] for worker in control.result("workers")]

    def test_a_pid_that_a_worker_claims_is_not_shown(self):
        master = self.master()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.connect(self.path("join"))
            channel.send(hello(credits=10, pid=1))
            channel.send(message(READY))
            master.wait_for_line(f"worker 1, pid {os.getpid()}: ready$")
            self.assertEqual(self.joined_pids(), [os.getpid()])
        master.wait_for_line(f"worker 1, pid {os.getpid()}: left$")
        self.assertFalse([line for line in master.lines if "pid 1:" in line])

    def test_a_worker_without_a_handshake_has_a_pid(self):
        master = self.master("--handshake", "none")
        worker = self.launch(WORKER, "-j", self.path("join"))
        master.wait_for_line(f"worker 1, pid {worker.pid}: ready$")
        self.assertEqual(self.joined_pids(), [worker.pid])

    def test_a_worker_of_another_pid_namespace_has_none(self):
        prefix = self.unshare("-U", "--map-root-user", "--pid", "--fork", "--kill-child")
        master = self.master(prefix=prefix)
        self.launch(WORKER, "-j", self.path("join"))
        master.wait_for_line("worker 1: ready$")
        self.assertEqual(self.joined_pids(), [0])


if __name__ == "__main__":
    handoff.run_tests()
