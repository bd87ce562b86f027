# SPDX-License-Identifier: MIT
"""--pass listener: workers that harm the socket that all of them share, or say what is wrong."""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import FINISHED, STARTED  # noqa: E402
from listener_case import Answers, ListenerTest, MASTER, OWN, QUICK, WORKER  # noqa: E402


class Hostile(ListenerTest):
    """A worker that shuts the listener down, for everyone."""

    def healed(self, server, seen: int, started: float):
        server.wait_for_line("listening again on .*: a worker had shut the socket down", after=seen,
                             patience=QUICK)
        client = self.connect_anyhow(server.address)
        self.assertLess(time.monotonic() - started, QUICK)
        return client

    def free_port(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            return f"127.0.0.1:{free.getsockname()[1]}"

    def addresses(self) -> dict:
        """By name; a test that fails with one goes on with the next. An abstract name belongs to the
        old socket for as long as a worker has it."""
        return {"a port of the kernel's": "127.0.0.1:0", "a port": self.free_port(),
                "a path": str(self.directory / "socket")}

    def test_a_hostile_worker_with_messages_harms_no_client(self):
        for kind, address in self.addresses().items():
            with self.subTest(kind):
                server, path = self.open_door(workers=2, listen=address)
                long_lived = self.open(server)
                long_lived.result("ping")
                descriptors = None
                for _ in range(handoff.count(100, 5)):
                    worker = self.join(path)
                    (listener,) = worker.take_listeners()
                    seen = len(server.lines)
                    started = time.monotonic()
                    listener.shutdown(socket.SHUT_RDWR)
                    self.healed(server, seen, started).close()
                    # It gets what is listened on now, as the others do.
                    (fresh,) = worker.take_listeners()
                    if not kind.endswith("path"):  # it is bound under another name first
                        self.assertEqual(fresh.getsockname(), self.named(server.address))
                    self.assertTrue(fresh.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                    worker.die()
                    descriptors = descriptors or handoff.descriptor_count(server.pid)
                self.assertEqual(long_lived.result("ping", 1), 1)
                for pid in server.worker_pids():
                    with self.open_with_others_stopped(
                            server, pid, set(server.worker_pids()) - {pid}) as client:
                        self.assertEqual(client.result("info")["pid"], pid)
                handoff.wait_for(
                    lambda: handoff.descriptor_count(server.pid) <= descriptors + 1,
                    "the old sockets to be closed")
                self.assertEqual(server.stop(), 0)
                if kind == "a path":
                    self.assertFalse(os.path.lexists(address))

    @staticmethod
    def named(address):
        """As getsockname() gives it."""
        if isinstance(address, str) and address.startswith("@"):
            return b"\0" + address[1:].encode()
        return address

    HOSTILE = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("hostile", file=sys.stderr, flush=True)
signal.sigwait([signal.SIGUSR1])
socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)
signal.pause()
"""

    def test_a_hostile_worker_without_messages_harms_no_client(self):
        for kind, address in self.addresses().items():
            with self.subTest(kind):
                mark = self.directory / f"mark {kind}"
                command = ["sh", "-c", f'mkdir "{mark}" 2>/dev/null || exec "$0"; '
                           'exec "$1" -I -c "$2"', WORKER, sys.executable, self.HOSTILE]
                server = self.master("-v", "--handshake", "none", "-l", address, workers=2,
                                     command=command)
                server.wait_for_line("^hostile$")
                (hostile,) = [pid for pid in server.worker_pids()
                              if pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
                              == sys.executable]
                seen = len(server.lines)
                started = time.monotonic()
                os.kill(hostile, signal.SIGUSR1)
                client = self.healed(server, seen, started)
                self.assertEqual(client.result("ping", 1), 1)
                with contextlib.suppress(ProcessLookupError):  # unless it was replaced
                    os.kill(hostile, signal.SIGKILL)
                for _ in range(20):
                    with server.connect() as client:
                        self.assertEqual(client.result("ping", 1), 1)
                self.assertEqual(server.stop(), 0, server.lines)

    def test_a_hostile_worker_harms_no_client_under_load(self):
        server, path = self.open_door(workers=2)
        answers = Answers(lambda: self.ask(server.address))
        with answers:
            for _ in range(handoff.count(100, 5)):
                worker = self.join(path)
                (listener,) = worker.take_listeners()
                answers.wait_for(20)
                seen = len(server.lines)
                listener.shutdown(socket.SHUT_RDWR)
                server.wait_for_line("listening again", after=seen, patience=QUICK)
                worker.take_listeners()
                worker.die()
                answers.wait_for(20)
        self.assertLessEqual(set(answers.all), {"answered", "refused", "ended"})

    @staticmethod
    def ask(address) -> str:
        try:
            with handoff.Connection(address, timeout=QUICK) as client:
                return "answered" if client.call("ping", 1) else "ended"
        except ConnectionRefusedError:
            return "refused"
        except (ConnectionResetError, BrokenPipeError):
            return "ended"

    def test_what_a_worker_says_wrong_about_its_own_connections(self):
        for name, say in {
                "returned what it did not start":
                    lambda worker, one: worker.return_connection(OWN | 1, one),
                "finished what it did not start": lambda worker, _: worker.send_ids(FINISHED, OWN),
                "started what it was not given": lambda worker, _: worker.send_ids(STARTED, 7)
        }.items():
            with self.subTest(name):
                server, path = self.open_door("-v", workers=1)
                worker = self.join(path)
                worker.take_listeners()
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    say(worker, theirs)
                server.wait_for_line(rf"worker 2, pid {os.getpid()}: it .*; sent away")
                self.assert_answered(self.asking(server, 10))
                self.assertEqual(server.stop(), 0)

    def test_with_pass_connection_nobody_has_connections_of_its_own(self):
        path = str(self.directory / "join")
        server = self.start(handoff.Server(MASTER, "--pass", "connection", "-l", "127.0.0.1:0",
                                           "-j", path, ready=False))
        server.wait_for_line(": ready, ")
        worker = self.join(path)
        worker.send_ids(STARTED, OWN | 1)
        server.wait_for_line("it started a connection that it was not given; sent away")


if __name__ == "__main__":
    handoff.run_tests()
