# SPDX-License-Identifier: MIT
"""Workers that know only of socket activation: they accept from the listeners of LISTEN_FDS, and
close every other descriptor, the channel too."""

import os
import pathlib
import re
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PROGRAM = """
import os, signal, socket, sys
count = int(os.environ["LISTEN_FDS"])
os.closerange(3 + count, 256)
listener = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    connection, _ = listener.accept()
    connection.sendall(b"%d\\n" % os.getpid())
    connection.close()
"""


class Activated(handoff.TestCase):
    def master(self, *options: str, workers: int = 1) -> handoff.Server:
        return self.start(handoff.master(
            "-v", "-l", str(self.directory / "s"), "-p", "listener", "--handshake", "none", *options,
            workers=workers, command=[sys.executable, "-c", PROGRAM]))

    def answering_pid(self, server: handoff.Server) -> int:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(handoff.PATIENCE)
            client.connect(server.address)
            return int(client.recv(100))

    def pids(self, server: handoff.Server) -> set[int]:
        """Of all workers that were ever started; the master has another child."""
        return {int(found.group(1)) for line in server.lines
                if (found := re.search(r"worker \d+, pid (\d+): started", line))}

    def has_closed_its_channel(self, pid: int) -> bool:
        return set(os.listdir(f"/proc/{pid}/fd")) <= {"0", "1", "2", "3"}

    def test_one_that_closes_its_channel_serves_on(self):
        server = self.master("--drain-timeout", "100ms")
        pid = self.answering_pid(server)
        handoff.wait_for(lambda: self.has_closed_its_channel(pid), "only its listener to be open")
        # Another one's --drain-timeout passes meanwhile.
        other = self.start(handoff.master("--drain-timeout", "500ms", workers=1))
        stopped = other.worker_pids()[0]
        handoff.stop_process(stopped)
        self.assertEqual(other.stop(), 124)
        self.assertEqual(self.answering_pid(server), pid)
        self.assertEqual(self.pids(server), {pid})
        self.assertEqual(server.stop(), 0)

    def test_term_drains_a_server_that_was_activated(self):
        server = self.master("--drain-timeout", "1h", workers=2)
        before = self.pids(server)
        self.assertIn(self.answering_pid(server), before)
        server.kill(signal.SIGHUP)
        server.wait_for_line("reloaded, 2 workers")
        handoff.wait_for(lambda: not any(map(handoff.alive, before)), "the old workers to be gone")
        self.assertNotIn(self.answering_pid(server), before)
        self.assertEqual(server.stop(), 0)

    def test_one_that_dies_is_replaced(self):
        server = self.master()
        pid = self.answering_pid(server)
        os.kill(pid, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(pid), "the worker to be gone")
        self.assertNotEqual(self.answering_pid(server), pid)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
