# SPDX-License-Identifier: MIT
"""tests/demo/demo: what it shows, on terminals and in a pipe, and how it ends."""

import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from terminal import Terminal  # noqa: E402

DEMO = handoff.ROOT / "tests" / "demo" / "demo"
STEPS = ("start", "connect", "kill", "queue", "reload", "upgrade", "hand over", "compare")
TOOLS = ("rpc-master", "rpc-worker", "rpc-call", "rpc-ping", "fdsend", "fdrecv")
CTRL_C = "\x03"


def processes_in(directory: pathlib.Path) -> list[str]:
    """The processes that work somewhere below a directory, which may be gone."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd").startswith(str(directory)):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


class Demo(handoff.TestCase):
    def environment(self, **more: str) -> dict[str, str]:
        """All that the demo may rely on."""
        return {"TMPDIR": str(self.directory), **more}

    def words(self, tools: pathlib.Path = handoff.BIN) -> list[str]:
        return [sys.executable, str(DEMO), "--quick", str(tools)]

    def in_a_pipe(self, tools: pathlib.Path = handoff.BIN, **run) -> subprocess.CompletedProcess:
        return subprocess.run(self.words(tools), env=self.environment(), capture_output=True,
                              text=True, **run)

    def on_a_terminal(self, columns: int, rows: int, **environment: str) -> Terminal:
        environment = {"TERM": "xterm", "LANG": "C.UTF-8", **environment}
        return self.stack.enter_context(
            Terminal(self.words(), columns, rows, self.environment(**environment)))

    def changed_tools(self, changes: str) -> pathlib.Path:
        """Makes a directory of the tools in which rpc-call first runs some lines of shell. They
        find the directory in $tools."""
        tools = self.directory / "tools"
        tools.mkdir()
        for name in TOOLS:
            (tools / name).symlink_to(handoff.BIN / name)
        (tools / "rpc-call").unlink()
        (tools / "rpc-call").write_text(f"#!/bin/sh\ntools={tools}\n{changes}\n"
                                        f"exec {handoff.tool('rpc-call')} \"$@\"\n")
        (tools / "rpc-call").chmod(0o755)
        return tools

    def assert_nothing_is_left(self):
        self.assertEqual(processes_in(self.directory), [])
        self.assertEqual([path.name for path in self.directory.iterdir()
                          if path.name.startswith("handoff-demo-")], [])

    def test_in_a_pipe_it_writes_a_line_for_each_step_and_what_it_has_measured(self):
        done = self.in_a_pipe(tools=pathlib.Path(os.path.relpath(handoff.BIN, "/")), cwd="/")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(re.findall(r"^\[\d/8\] ([a-z ]+):", done.stdout, re.MULTILINE),
                         list(STEPS))
        self.assertNotIn("\x1b", done.stdout)
        calls, pings, lost = re.search(
            r"^([\d,]+) calls on 64 connections and ([\d,]+) pings: (\d+) lost", done.stdout,
            re.MULTILINE).groups()
        self.assertGreater(int(calls.replace(",", "")), 5 * 64)
        self.assertGreater(int(pings.replace(",", "")), 5)
        self.assertEqual(lost, "0")
        self.assertRegex(done.stdout,
                         r"closed: 0 by the reload, 0 by the upgrade, [01] by the kill\n")
        self.assertRegex(done.stdout, r"killed: [01] of its [1-9]\d* connections ended, ")
        self.assertRegex(done.stdout, r"SHA-256 ([0-9a-f]{16}) asked, \1 answered")
        self.assertRegex(done.stdout,
                         r"\n  handoff +0 of 16 connections closed; failed calls of others: 0\n")
        self.assertRegex(done.stdout, r"\n  nginx +(not installed|\d+ of 16 connections closed)")
        self.assert_nothing_is_left()

    def test_on_a_terminal_it_draws_a_picture_in_place(self):
        terminal = self.on_a_terminal(80, 24)
        window = terminal.window
        self.assertTrue(terminal.read_until(
            lambda: any(line.startswith("> hand over") for line in window.lines)))
        text = "\n".join(window.lines)
        self.assertIn("handoff: 64 clients stay", window.lines[0])
        self.assertFalse(window.cursor_is_visible)
        for step in STEPS[:6]:
            self.assertRegex(text, f"(?m)^✓ {step} ")
        self.assertRegex(text, r"(?m)^master      \d+ +before: \d+$")
        self.assertEqual(len(re.findall(r"(?m)^worker \d  [J-M] \d+ +ready +█+ \d+ +before: [F-I]",
                                        text)), 4)
        self.assertRegex(text, r"(?m)^clients     [J-M]{64}$")
        self.assertRegex(text, r"(?m)^pings       [▁▂▃▄▅▆▇█]+$")
        terminal.read_until(lambda: False)
        self.assertEqual(terminal.process.wait(), 0)
        self.assertTrue(window.cursor_is_visible)
        self.assertTrue(window.is_coloured)
        self.assertFalse(window.has_wrapped)
        self.assert_nothing_is_left()

    def test_the_picture_follows_the_size_of_the_window(self):
        terminal = self.on_a_terminal(40, 12, NO_COLOR="1")
        window = terminal.window
        for columns, rows, step in ((40, 12, "connect"), (100, 30, "reload"), (20, 6, "compare")):
            if columns != window.columns:
                terminal.resize(columns, rows)
            self.assertTrue(terminal.read_until(
                lambda: any(line.startswith(f"> {step}") for line in window.lines)))
            self.assertIn(" calls, 0 lost", "\n".join(window.lines))
        terminal.read_until(lambda: False)
        self.assertEqual(terminal.process.wait(), 0)
        self.assertTrue(window.cursor_is_visible)
        self.assertFalse(window.is_coloured)
        self.assertFalse(window.has_wrapped)

    def test_without_a_utf_8_locale_the_picture_is_plain_ascii(self):
        terminal = self.on_a_terminal(80, 24, LC_ALL="C")
        self.assertTrue(terminal.read_until(
            lambda: any(line.startswith("> reload") for line in terminal.window.lines)))
        text = "\n".join(terminal.window.lines)
        self.assertTrue(text.isascii(), text)
        self.assertRegex(text, r"(?m)^\+ connect ")
        self.assertRegex(text, r"(?m)^worker 1 +[A-Z] \d+ +ready +#+ \d+")

    def test_a_dumb_terminal_gets_lines(self):
        terminal = self.on_a_terminal(80, 24, TERM="dumb")
        self.assertTrue(terminal.read_until(
            lambda: any(line.startswith("[3/8] kill") for line in terminal.window.lines)))
        self.assertEqual(terminal.window.frames, 0)
        self.assertFalse(terminal.window.is_coloured)

    def test_ctrl_c_ends_it_with_status_0_and_leaves_nothing_running(self):
        for step in ("start", "kill", "queue", "upgrade", "compare"):
            with self.subTest(step=step):
                terminal = self.on_a_terminal(80, 24)
                self.assertTrue(terminal.read_until(
                    lambda: any(line.startswith(f"> {step}") for line in terminal.window.lines)))
                terminal.type(CTRL_C)
                terminal.read_until(lambda: False)
                self.assertEqual(terminal.process.wait(), 0)
                self.assertTrue(terminal.window.cursor_is_visible)
                self.assert_nothing_is_left()

    def test_term_ends_it_and_leaves_nothing_running(self):
        with subprocess.Popen(self.words(), env=self.environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as demo:
            while not demo.stdout.readline().startswith("[4/8] queue"):
                self.assertIsNone(demo.poll())
            demo.terminate()
            self.assertEqual(demo.communicate()[1], "")
            self.assertEqual(demo.returncode, 128 + 15)
        self.assert_nothing_is_left()

    def test_a_reload_that_fails_is_named(self):
        done = self.in_a_pipe(self.changed_tools(
            '[ "$2" = reload ] && ln -sf /bin/false $tools/rpc-worker'))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'^demo: step "reload": `rpc-call \./server\.ctl reload` '
                                      r"ended with status 1: .*\n(  rpc-master's log: .*\n)+\Z")
        self.assert_nothing_is_left()

    def test_an_upgrade_that_fails_is_named(self):
        done = self.in_a_pipe(self.changed_tools(
            '[ "$2" = upgrade ] && ln -sf /bin/false $tools/rpc-master'))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'^demo: step "upgrade": `rpc-call \./server\.ctl upgrade` '
                                      r"ended with status 1: .*\n(  rpc-master's log: .*\n)+\Z")

    def test_connections_that_a_reload_loses_are_told(self):
        # The new workers are of a kind that closes connections.
        closing = self.directory / "closing-worker"
        closing.write_text(f'#!/bin/sh\nexec {handoff.tool("rpc-worker")} "$@" --idle-timeout 1ms\n')
        closing.chmod(0o755)
        done = self.in_a_pipe(self.changed_tools(
            f'[ "$2" = reload ] && ln -sf {closing} $tools/rpc-worker'))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'^demo: step "reload": the connection of client \d+ was '
                                      r"closed: .* \(connections closed: \d+, calls lost: \d+\)\n")
        self.assert_nothing_is_left()

    def test_a_directory_without_the_tools_is_an_error(self):
        done = self.in_a_pipe(self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^demo: there is no program rpc-master in .*\n$")


if __name__ == "__main__":
    handoff.run_tests()
