# SPDX-License-Identifier: MIT
"""A worker that makes sure of a method before it says that it is ready (rpc-worker --ready), and a
deploy by editing the script that starts the workers."""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")


class Ready(handoff.TestCase):
    def run_worker(self, *options: str) -> handoff.Server:
        return self.start(handoff.Server(WORKER, "-l", "127.0.0.1:0", *options, ready=False))

    def test_the_method_is_called_once_before_the_worker_serves(self):
        seen = self.directory / "seen"
        server = self.start(handoff.worker(
            "-m", f"check=cat >>{seen}", "-m", "n=exec wc -l", "--ready", 'check=["a = b"]'))
        self.assertEqual(seen.read_text(), '["a = b"]')
        self.assertEqual(self.open(server).result("n"), 0)
        self.assertEqual(seen.read_text(), '["a = b"]')

    def test_any_kind_of_method_may_be_called(self):
        server = self.start(handoff.worker("-m", "pid=echo $$"))
        host, port = server.address
        echo = """while read -r line; do echo '{"out": "s", "result": 1}'; done"""
        for options in (["-k", "c=exec cat", "--ready", "c=1"], ["-K", f"s.*={echo}", "--ready", "s.x"],
                        ["-f", f"pid={host}:{port}", "--ready", "pid"], ["--ready", "ping"],
                        ["--threads", "3", "-k", "c=exec cat", "--ready", "c=1"]):
            with self.subTest(options):
                client = self.open(self.start(handoff.worker(*options)))
                self.assertEqual(client.result("ping"), None)

    def test_a_worker_whose_method_fails_serves_nothing_and_ends_with_1(self):
        for options, why in (
                (["-m", "check=echo no database >&2; exit 3"],
                 'check failed: exit status 3 {"status":3,"stderr":"no database"}'),
                (["-m", "check=echo words"], "check failed: the command's output is not JSON"),
                (["-k", "check=exit 0"], "check failed: the coprocess ended: exit status 0"),
                (["-f", "check=127.0.0.1:1"], "check failed: cannot connect to 127.0.0.1:1"),
                ([], "check failed: no such method: check"),
                (["--timeout", "100ms", "-m", "check=sleep 60"],
                 "check failed: the command did not end in time")):
            with self.subTest(why):
                server = self.run_worker(*options, "--ready", "check")
                self.assertEqual(server.process.wait(handoff.PATIENCE), 1)
                self.assertEqual(len(server.lines), 1, server.lines)
                self.assertIn(f"rpc-worker: not ready: {why}", server.lines[0])

    def test_a_signal_ends_a_worker_whose_method_runs_and_the_command_with_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            pid_file = self.directory / f"pid-{number}"
            server = self.run_worker("-m", f"check=echo $$ >{pid_file}.new; "
                                     f"mv {pid_file}.new {pid_file}; exec sleep 60",
                                     "--timeout", "0", "--ready", "check")
            handoff.wait_for(pid_file.exists, "the method to be called")
            self.assertEqual(server.stop(number), 0)
            self.assertFalse(handoff.alive(int(pid_file.read_text())))
            self.assertEqual(server.lines, [])


class Deploy(handoff.TestCase):
    def write_script(self, answer: str):
        """As an editor does: what is run at any time is the whole script."""
        new = self.directory / "worker.new"
        new.write_text(f"#!/bin/sh\nexec {WORKER} -m 'answer={answer}' --ready answer\n")
        new.chmod(0o755)
        new.rename(self.script)

    def setUp(self):
        super().setUp()
        self.script = self.directory / "worker"
        self.write_script("echo 1")

    def test_a_reload_takes_the_edited_script_and_refuses_one_whose_method_fails(self):
        server = self.start(handoff.master("-c", str(self.directory / "control"), workers=2,
                                           command=[str(self.script)]))
        client = self.open(server)
        self.assertEqual(client.result("answer"), 1)
        self.write_script("echo broken >&2; exit 5")
        said = len(server.lines)
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_line("not ready: answer failed: exit status 5 .*broken", said)
        server.wait_for_line("reload.*(failed|serve on|stay)", said)
        self.assertEqual(client.result("answer"), 1)
        self.write_script("echo 2")
        said = len(server.lines)
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_line("reloaded, 2 workers", said)
        self.assertEqual(client.result("answer"), 2)

    def test_a_master_whose_first_workers_are_not_ready_ends_and_says_so(self):
        self.write_script("exit 5")
        server = self.start(handoff.Server(handoff.tool("rpc-master"), "-l", "127.0.0.1:0", "-n", "2",
                                           *handoff.passing(command=[str(self.script)]), "--",
                                           str(self.script), ready=False))
        self.assertNotEqual(server.process.wait(handoff.PATIENCE), 0)
        server.wait_for_line(r"rpc-worker\[[12]\]: not ready: answer failed: exit status 5")
        server.wait_for_line("rpc-master: .*exit status 1")


if __name__ == "__main__":
    handoff.run_tests()
