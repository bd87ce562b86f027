# SPDX-License-Identifier: MIT
"""Standard output: lines of several writers are not torn, and what was measured is said at the end,
whichever signal brings it."""

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

CALL = handoff.tool("rpc-call")
PING = handoff.tool("rpc-ping")
FDRECV = handoff.tool("fdrecv")


class OutputTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.address = str(self.directory / "s")
        self.start(handoff.Server(handoff.tool("rpc-worker"), "-l", self.address))


class SeveralWriters(OutputTest):
    LETTERS = "abcd"

    def assert_whole(self, lines, count: int):
        whole = {(letter * 700).join('""') for letter in self.LETTERS}
        self.assertEqual(len(lines), count)
        self.assertEqual([line for line in lines if line not in whole], [])

    def start_callers(self, count: int, stdout):
        callers = []
        for letter in self.LETTERS:
            path = self.directory / letter
            path.write_text(f'"{letter * 700}"\n' * count)
            with path.open("rb") as file:
                callers.append(subprocess.Popen([CALL, self.address, "echo", "-"], stdin=file,
                                                stdout=stdout))
        return callers

    def test_calls_that_append_to_one_file_tear_no_line(self):
        count = handoff.count(20_000, 2000)
        path = self.directory / "out"
        with path.open("ab") as file:
            for caller in self.start_callers(count, file):
                self.assertEqual(caller.wait(handoff.PATIENCE), 0)
        self.assert_whole(path.read_text().splitlines(), 4 * count)

    def test_calls_that_write_to_one_pipe_tear_no_line(self):
        """Also when somebody has made it non-blocking, which all who have it share."""
        for flags in 0, os.O_NONBLOCK:
            with self.subTest(flags=flags):
                count = handoff.count(20_000, 2000)
                read_end, write_end = os.pipe()
                fcntl.fcntl(write_end, fcntl.F_SETFL, flags)
                callers = self.start_callers(count, write_end)
                os.close(write_end)
                with open(read_end) as pipe:
                    lines = pipe.read().splitlines()
                for caller in callers:
                    self.assertEqual(caller.wait(handoff.PATIENCE), 0)
                self.assert_whole(lines, 4 * count)


class Signals(OutputTest):
    def ping(self, *options: str):
        ping = subprocess.Popen([PING, *options, self.address],
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(ping.stdout.close)
        while "pong" not in ping.stdout.readline():
            pass
        return ping

    def end(self, ping, number: int):
        ping.send_signal(number)
        output = ping.stdout.read()
        self.assertEqual(ping.wait(handoff.PATIENCE), 0)
        return output

    def test_a_ping_prints_its_summary_at_each_signal_that_ends_it(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with self.subTest(number):
                ping = self.ping("-i", "10ms")
                self.assertIn(" ping statistics ---\n", self.end(ping, number))

    def test_the_json_of_a_ping_is_whole_after_a_signal(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with self.subTest(number):
                ping = self.ping("-J", "-A")
                output = self.end(ping, number)
                kinds = [json.loads(line)["type"] for line in output.splitlines()]
                self.assertEqual(kinds.count("summary"), 1)
                self.assertEqual(kinds[-1], "summary")

    def test_a_ping_that_was_started_by_nohup_goes_on_at_the_end_of_its_terminal(self):
        ping = subprocess.Popen(["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", PING, "-i", "10ms",
                                 self.address], stdout=subprocess.PIPE, text=True)
        self.addCleanup(ping.stdout.close)
        ping.stdout.readline()
        ping.send_signal(signal.SIGHUP)
        self.assertIn("pong from", ping.stdout.readline())
        self.assertIn("ping statistics", self.end(ping, signal.SIGTERM))

    def test_fdrecv_whose_reader_is_stuck_is_ended_by_a_signal(self):
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETFL, os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write_end, b"x" * 4096)
        fcntl.fcntl(write_end, fcntl.F_SETFL, 0)
        with ours, theirs, subprocess.Popen([FDRECV, "--json", "-"], stdin=theirs,
                                            stdout=write_end) as receiving:
            os.close(write_end)
            socket.send_fds(ours, [b"\0"], [0])
            handoff.wait_for(lambda: handoff.unread(ours, termios.TIOCOUTQ) == 0, "the message to be read")
            receiving.terminate()
            self.assertEqual(receiving.wait(handoff.PATIENCE), -signal.SIGTERM)
            os.close(read_end)


class Errors(OutputTest):
    def test_each_tool_stops_at_a_full_disk(self):
        file = self.directory / "file"
        file.write_text("text\n")
        for words in ([CALL, self.address, "echo", "1"], [PING, "-i", "10ms", self.address], [CALL, "--help"],
                      [PING, "--version"], [FDRECV, "--help"],
                      [handoff.tool("rpc-worker"), "--help"], [handoff.tool("fdsend"), "--help"],
                      [handoff.tool("rpc-master"), "--version"]):
            with self.subTest(words), open("/dev/full", "wb") as full:
                done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False,
                                      timeout=handoff.PATIENCE)
                self.assertEqual(done.returncode, 125)
                self.assertRegex(done.stderr.decode(),
                                 r": cannot write to stdout: No space left on device\n$")

    def test_each_tool_stops_when_its_reader_has_gone(self):
        """SIGPIPE is ignored, as a service manager has it."""
        for words in ([CALL, self.address, "echo", "1"], [PING, "-i", "10ms", self.address],
                      [CALL, "--help"]):
            with self.subTest(words):
                read_end, write_end = os.pipe()
                os.close(read_end)
                done = subprocess.run(["sh", "-c", "trap '' PIPE; exec \"$@\"", "sh", *words],
                                      stdout=write_end, stderr=subprocess.PIPE, check=False,
                                      timeout=handoff.PATIENCE)
                os.close(write_end)
                self.assertEqual(done.returncode, 125)
                self.assertRegex(done.stderr.decode(), r": cannot write to stdout: Broken pipe\n$")


if __name__ == "__main__":
    handoff.run_tests()
