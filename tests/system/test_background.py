# SPDX-License-Identifier: MIT
"""Servers in the background of a terminal that stops jobs which write to it (`stty tostop`)."""

import contextlib
import os
import pathlib
import pty
import signal
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handoff import tool  # noqa: E402


class Background(handoff.TestCase):
    def launch(self, *words: str) -> int:
        """Gives the process id of a background job of a shell on a terminal."""
        tell, told = os.pipe()
        shell, terminal = pty.fork()
        if shell == 0:
            modes = termios.tcgetattr(2)
            modes[3] |= termios.TOSTOP
            termios.tcsetattr(2, termios.TCSANOW, modes)
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.write(told, b"%d" % os.getpid())
                os.execv(words[0], words)
            os.waitpid(job, 0)
            os._exit(0)
        pid = int(os.read(tell, 100))
        self.addCleanup(os.waitpid, shell, 0)
        self.addCleanup(os.close, terminal)
        for process in (shell, pid):
            self.addCleanup(self.kill, process)
        os.close(tell)
        os.close(told)
        return pid

    def kill(self, pid: int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def test_a_server_and_what_it_starts_may_write(self):
        path = str(self.directory / "s")
        noisy = f"echo a worker starts >&2; exec {tool('rpc-worker')}"
        for words in ([tool("rpc-worker"), "-v", "-l", path, "-m", "noise=echo a call >&2; echo 1"],
                      [tool("rpc-master"), "-v", "-l", path, "-n", "1", "--", "sh", "-c", noisy]):
            with self.subTest(words[0]):
                pid = self.launch(*words)
                handoff.wait_for(lambda: os.path.exists(path), "the server to listen")
                with handoff.Connection(path) as client:
                    self.assertEqual(client.result("ping", 1), 1)
                    if "noise" in words[-1]:
                        self.assertEqual(client.result("noise"), 1)
                os.kill(pid, signal.SIGTERM)
                handoff.wait_for(lambda: not os.path.exists(path), "the server to end")


if __name__ == "__main__":
    handoff.run_tests()
