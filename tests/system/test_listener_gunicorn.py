# SPDX-License-Identifier: MIT
"""--pass listener: gunicorn, a program that knows nothing of handoff, is a worker too."""

import contextlib
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import http.client  # noqa: E402
from listener_case import Answers, ListenerTest  # noqa: E402


class Gunicorn(ListenerTest):
    """A web server of others' that is started with a socket, as a service manager does it."""

    APPLICATION = """
import os

def application(environment, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getppid()).encode()]
"""

    def setUp(self):
        super().setUp()
        if not shutil.which("gunicorn"):
            self.skipTest("gunicorn is not installed")
        (self.directory / "application.py").write_text(self.APPLICATION)

    def ask(self, address) -> str:
        connection = http.client.HTTPConnection(*address, timeout=handoff.PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            reply = connection.getresponse()
            body = reply.read().decode()
            return body if reply.status == 200 else f"status {reply.status}"

    @staticmethod
    def heeds_signals(pid: int) -> bool:
        """Whether its own worker does: until that has handlers of its own, it loses a TERM."""
        children = handoff.children(pid)
        return bool(children) and not any(
            handoff.catches(child, signal.SIGHUP) for child in children)

    def test_reloads_cost_no_request(self):
        server = self.master(
            "--handshake", "none", "-v", workers=2,
            command=["gunicorn", "--workers", "1", "--chdir", str(self.directory),
                     "--log-level", "warning", "application"])
        answers = Answers(lambda: self.ask(server.address))
        everyone = set()
        with answers:
            answers.wait_for(10)
            for _ in range(handoff.count(50, 6)):
                old = set(server.worker_pids())
                everyone |= old
                handoff.wait_for(lambda: all(map(self.heeds_signals, old)), "them to have begun")
                seen = len(server.lines)
                server.kill(signal.SIGHUP)
                server.wait_for_line("reloaded, 2 workers", after=seen)
                handoff.wait_for(lambda: not any(map(handoff.alive, old)), "the old ones to leave")
                # For a moment the master is the parent of theirs too.
                handoff.wait_for(lambda: len(server.worker_pids()) == 2, "theirs to end")
                new = set(server.worker_pids())
                self.assertEqual(old & new, set())
                answers.wait_for(20)
                self.assertLessEqual(set(answers.all[-5:]), {str(pid) for pid in new})
            everyone |= set(server.worker_pids())
            handoff.wait_for(lambda: all(map(self.heeds_signals, server.worker_pids())),
                             "the last ones to have begun")
        self.assertLessEqual(set(answers.all), {str(pid) for pid in everyone})
        self.assertGreater(len(set(answers.all)), 5)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
