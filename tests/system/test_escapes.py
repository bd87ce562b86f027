#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What others send commands no terminal, and makes no line of a log that they could not write."""

import contextlib
import errno
import json
import os
import pathlib
import pty
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "support"

# A title for the window, an empty screen, a line of its own, the one byte that begins a command, and
# text from right to left.
HOSTILE = "x\x1b]0;title\x07\x1b[2J\r\nrpc-call: made up\x9b31m\u202e"
SHOWN = r"x\x1b]0;title\x07\x1b[2J\r\nrpc-call: made up\u009b31m\u202e"
# What JSON may have in a string without an escape.
BARE = "\x7f\x9b31m\u202e"
ESCAPED = r"\u007f\u009b31m\u202e"


class Escapes(handoff.TestCase):
    def serve(self, *actions: str) -> str:
        """Answers one request after the other with these bodies, and gives its address."""
        path = str(self.directory / "s")
        server = self.start(handoff.Server(
            sys.executable, "-B", str(SUPPORT / "scripted_server.py"), path,
            *("reply:" + action for action in actions), ready=False))
        server.wait_for_line("^ready, on ")
        return path

    def run_tool(self, name: str, *words: str):
        done = subprocess.run([handoff.tool(name), *words], cwd=self.directory,
                              capture_output=True, timeout=handoff.PATIENCE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def show(self, name: str, *words: str) -> str:
        """What a tool writes to a terminal that is its stdout."""
        ours, theirs = pty.openpty()
        with contextlib.closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
            with subprocess.Popen([handoff.tool(name), *words], cwd=self.directory,
                                  stdin=subprocess.DEVNULL, stdout=theirs,
                                  stderr=subprocess.PIPE) as process:
                os.close(theirs)
                text = b""
                try:
                    while piece := terminal.read(4096):
                        text += piece
                except OSError as error:  # the other end is closed
                    if error.errno != errno.EIO:
                        raise
                self.assertEqual(process.wait(handoff.PATIENCE), 0, process.stderr.read())
        return text.decode().replace("\r\n", "\n")

    def error_reply(self) -> str:
        return json.dumps({"out": "error", "result": {"code": -1, "message": HOSTILE}})

    def test_the_message_of_an_error_is_one_line_of_stderr(self):
        path = self.serve(self.error_reply())
        self.assertEqual(self.run_tool("rpc-call", path, "m"),
                         (1, "", f"rpc-call: m on {path} failed: {SHOWN}\n"))

    def test_what_a_failed_command_wrote_to_its_stderr_is_one_line_of_ours(self):
        error = {"code": -32001, "message": "exit status 1", "data": {"stderr": "\x1b[2J\x9b"}}
        path = self.serve(json.dumps({"out": "error", "result": error}))
        self.assertEqual(
            self.run_tool("rpc-call", path, "m"),
            (1, "", f"rpc-call: m on {path} failed: exit status 1: " r"\x1b[2J\u009b" "\n"))

    def test_a_ping_shows_what_is_wrong_with_a_reply_in_lines_of_its_own(self):
        wrong = json.dumps({"out": HOSTILE, "result": None})
        path = self.serve(self.error_reply(), wrong)
        status, _, stderr = self.run_tool("rpc-ping", "-v", "-c2", "-i0.01", path)
        self.assertEqual(status, 1)
        self.assertTrue(stderr)
        for line in stderr.splitlines():
            self.assertTrue(line.startswith("rpc-ping: "), line)
            self.assertNotRegex(line, "[\x00-\x1f\x7f-\x9f\u202e]")
        self.assertEqual(stderr.count(SHOWN), 4)

    def test_a_list_has_one_line_for_each_method(self):
        names = ["plain", "a\nb", "\x1b[31mc", "caf\u00e9"]
        path = self.serve(json.dumps({"out": "methods", "result": names}))
        self.assertEqual(self.run_tool("rpc-call", "--list", path),
                         (0, "plain\n" r"a\nb" "\n" r"\x1b[31mc" "\ncaf\u00e9\n", ""))

    def test_a_result_is_escaped_on_a_terminal_and_nowhere_else(self):
        reply = json.dumps({"out": "m", "result": BARE}, ensure_ascii=False)
        path = self.serve(reply)
        self.assertEqual(self.show("rpc-call", path, "m"), f'"{ESCAPED}"\n')
        self.assertEqual(self.show("rpc-call", "--compact", path, "m"), f'"{ESCAPED}"\n')
        self.assertEqual(self.show("rpc-call", "--full", "--compact", path, "m"),
                         f'{{"out":"m","result":"{ESCAPED}"}}\n')
        self.assertEqual(self.run_tool("rpc-call", path, "m"), (0, f'"{BARE}"\n', ""))

    def test_raw_means_raw_on_a_terminal_too(self):
        path = self.serve(json.dumps({"out": "m", "result": "\x1b[1mbold"}))
        self.assertEqual(self.show("rpc-call", "-r", path, "m"), "\x1b[1mbold\n")

    def test_the_log_of_a_master_has_no_line_that_a_worker_made_up(self):
        name = "w\n\x1b[2Jrpc-master: made up"
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-n", "1", "--", f"./{name}",
            ready=False, cwd=self.directory))
        server.wait_for_line(r"w\\n\\x1b\[2Jrpc-master: made up")
        server.stop()
        for line in server.lines:
            self.assertTrue(line.startswith("rpc-master: "), line)
            self.assertNotIn("\x1b", line)


if __name__ == "__main__":
    handoff.run_tests()
