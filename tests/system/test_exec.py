# SPDX-License-Identifier: MIT
"""A command of an exec: address ends with the tool that started it, and its end is told."""

import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

CALL = handoff.tool("rpc-call")
PING = handoff.tool("rpc-ping")
WORKER = handoff.tool("rpc-worker")


class ExecTest(handoff.TestCase):
    def run_tool(self, *words: str):
        done = subprocess.run(words, capture_output=True, text=True, check=False,
                              timeout=handoff.PATIENCE, cwd=self.directory)
        return done.returncode, done.stdout, done.stderr

    def pids(self, count: int = 1) -> list[int]:
        """Those that the command has written to the file `pids`."""
        path = self.directory / "pids"
        return handoff.wait_for(
            lambda: path.exists() and len(path.read_text().split()) >= count and
            [int(word) for word in path.read_text().split()], "the command to run")

    def assert_gone(self, pids):
        for pid in pids:
            handoff.wait_for(lambda pid=pid: not is_running(pid), f"process {pid} to end")


def is_running(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


class Status(ExecTest):
    """How the command ended is said, instead of what its end looks like from outside."""

    def assert_told(self, command: str, status: int, why: str):
        code, output, errors = self.run_tool(CALL, f"exec:{command}", "ping")
        self.assertEqual((code, output), (status, ""), errors)
        self.assertEqual(errors.splitlines()[-1], f"rpc-call: cannot call exec:{command}: {why}")

    def test_a_command_that_is_not_found_is_status_127(self):
        self.assert_told("./no-such-command", 127,
                         "the command was not found (exit status 127)")

    def test_a_command_that_cannot_be_run_is_status_126(self):
        (self.directory / "file").write_text("text")
        self.assert_told("./file", 126, "the command can't be run (exit status 126)")

    def test_a_command_that_ends_early_has_its_status_told(self):
        self.assert_told("exit 3", 4, "the command ended before it replied (exit status 3)")
        self.assert_told("true", 4, "the command ended before it replied (exit status 0)")

    def test_a_command_that_a_signal_ends_has_that_told(self):
        self.assert_told("kill -KILL $$", 4,
                         "the command ended before it replied (signal 9 (Killed))")

    def test_a_command_that_only_closes_its_output_has_not_ended(self):
        code, _, errors = self.run_tool(CALL, "exec:exec >&- <&-; exec sleep 60", "ping")
        self.assertEqual(code, 4)
        self.assertRegex(errors, "sleep 60: (the server closed the connection before it replied|"
                         "Broken pipe|Connection reset by peer)\n$")

    def test_a_ping_tells_it_too(self):
        code, _, errors = self.run_tool(PING, "-q", "-c", "1", "exec:exit 3")
        self.assertEqual(code, 1)
        self.assertIn("the command ended before it replied (exit status 3)", errors)


class Ends(ExecTest):
    STUBBORN = f"echo $$ >pids; {WORKER} -q --stdio; sleep 60"

    def test_a_command_that_goes_on_without_input_is_ended(self):
        code, output, _ = self.run_tool(CALL, f"exec:{self.STUBBORN}", "ping", "1")
        self.assertEqual((code, output), (0, "1\n"))
        self.assert_gone(self.pids())

    def test_a_command_that_ignores_term_is_killed(self):
        code, _, _ = self.run_tool(CALL, f"exec:trap '' TERM; {self.STUBBORN}", "ping")
        self.assertEqual(code, 0)
        self.assert_gone(self.pids())

    def test_the_processes_of_a_pipeline_end_too(self):
        command = "(echo $BASHPID >>pids; exec sleep 60) | (echo $BASHPID >>pids; exec sleep 60)"
        code, _, _ = self.run_tool(CALL, "-t", "1", f"exec:exec bash -c '{command}'", "ping")
        self.assertEqual(code, 124)
        self.assert_gone(self.pids(2))

    def test_a_command_ends_with_a_tool_that_a_signal_ends(self):
        for number in signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL:
            for program in ([CALL], [PING, "-q"]):
                with self.subTest(number=number, program=program):
                    (self.directory / "pids").unlink(missing_ok=True)
                    words = [*program, "exec:echo $$ >pids; exec sleep 60"]
                    if program == [CALL]:
                        words.append("ping")
                    with subprocess.Popen(words, cwd=self.directory, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL) as process:
                        pids = self.pids()
                        process.send_signal(number)
                        status = process.wait(handoff.PATIENCE)
                    if program == [CALL] or number == signal.SIGKILL:
                        self.assertEqual(status, -number)
                    self.assert_gone(pids)

    def test_a_daemon_that_the_command_has_left_behind_is_left_alone(self):
        command = ("(setsid sh -c 'echo $$ >pids; exec sleep 60' >/dev/null 2>&1 </dev/null &); "
                   f"while ! test -s pids; do :; done; exec {WORKER} -q --stdio")
        code, _, _ = self.run_tool(CALL, f"exec:{command}", "ping")
        self.assertEqual(code, 0)
        pid = self.pids()[0]
        self.assertTrue(is_running(pid))
        os.kill(pid, signal.SIGKILL)

    def test_a_forward_to_a_command_ends_with_its_worker(self):
        server = self.start(handoff.Server(WORKER, "-l", str(self.directory / "s"), "-f",
                                           f"ping=exec:{self.STUBBORN}", cwd=self.directory))
        with server.connect() as client:
            client.call("ping")
        pids = self.pids()
        server.stop()
        self.assert_gone(pids)


if __name__ == "__main__":
    handoff.run_tests()
