# SPDX-License-Identifier: MIT
"""Programs that can't start: workers that end before they are ready, files that are no programs, and
too few descriptors."""

import collections
import json
import os
import pathlib
import re
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

WORKER = handoff.tool("rpc-worker")
MODELS = ("connection", "listener", "queue")


class StartingTest(handoff.TestCase):
    def path(self, name: str) -> str:
        return str(self.directory / name)

    def master(self, *options: str, **more) -> handoff.Server:
        options = ("-l", self.path("s"), "-c", self.path("c"), "--backoff", "10ms:10ms", *options)
        return self.start(handoff.master(*options, **more))

    def control(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([handoff.tool("rpc-call"), "-t", "20", self.path("c"), *words],
                              capture_output=True, text=True, check=False)

    def ends(self, server: handoff.Server) -> int:
        """The status with which it ends by itself."""
        status = server.process.wait(handoff.PATIENCE)
        self.assertEqual(os.listdir(self.directory), [], "what it has made is removed")
        return status


class NoWorkerCanStart(StartingTest):
    def assert_ends(self, command: list, status: int, how: str, attempts: int, *options: str):
        server = self.master(*options, workers=2, command=command, ready=False)
        self.assertEqual(self.ends(server), status)
        self.assertIn(f"rpc-master: no worker can start: each has ended {how} before it was ready",
                      server.lines[-1])
        # While one is slow to start, the other is tried again.
        died = collections.Counter(re.findall(r"worker (\d+), .*, before it was ready$",
                                              "\n".join(server.lines), re.MULTILINE))
        self.assertEqual(set(died), {"1", "2"})
        self.assertIn(min(died.values()), (attempts, attempts + 1))
        return server.lines

    def test_a_wrong_option_of_the_workers_ends_the_master_at_once(self):
        for model in MODELS:
            with self.subTest(model):
                lines = self.assert_ends([WORKER, "--no-such-option"], 125, "with exit status 2", 1,
                                         "-p", model)
                self.assertTrue([line for line in lines if "unknown option --no-such-option" in line],
                                "the log has what the worker said")

    def test_a_command_that_is_not_found_or_not_runnable_gives_its_status(self):
        for status in (126, 127):
            with self.subTest(status):
                self.assert_ends(["sh", "-c", f"exit {status}"], status,
                                 f"with exit status {status}", 1)

    def test_other_ends_are_tried_three_times(self):
        for command, how in (("echo last words >&2; exit 1", "3 times with exit status 1"),
                             ("exit 0", "3 times with exit status 0"),
                             ("kill -SEGV $$", "3 times with signal 11 (Segmentation fault)")):
            with self.subTest(command):
                self.assert_ends(["sh", "-c", command], 125, how, 3)

    def test_a_new_master_that_has_none_fails_at_once_and_the_old_one_serves_on(self):
        server = self.master(
            "--ready-timeout", "1h", workers=1,
            command=["sh", "-c", f"test ! -e {self.path('broken')} || exit 2; exec {WORKER}"])
        pathlib.Path(self.path("broken")).touch()
        failed = self.control("upgrade")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("exit status 125, before it was ready", failed.stderr)
        with server.connect() as client:
            self.assertEqual(client.result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)


class WorkersAreTriedAgain(StartingTest):
    def wait_for_ends(self, server: handoff.Server, count: int):
        handoff.wait_for(lambda: len([line for line in server.lines
                                      if line.endswith(", before it was ready")]) >= count,
                         f"{count} workers to end")
        self.assertIsNone(server.process.poll())
        self.assertEqual(server.stop(), 0)

    def test_where_others_may_join(self):
        server = self.master("-j", self.path("j"), workers=1, command=["sh", "-c", "exit 2"],
                             ready=False)
        self.wait_for_ends(server, 5)

    def test_when_one_was_ready_once(self):
        server = self.master(
            workers=1,
            command=["sh", "-c", f"test ! -e {self.path('broken')} || exit 2; exec {WORKER}"])
        pathlib.Path(self.path("broken")).touch()
        os.kill(server.worker_pids()[0], 9)
        self.wait_for_ends(server, 5)

    def test_when_they_end_in_different_ways(self):
        server = self.master(
            workers=1, ready=False,
            command=["sh", "-c", f"echo >>{self.path('n')}; exit $(($(wc -l <{self.path('n')}) % 2))"])
        self.wait_for_ends(server, 8)

    def test_when_they_are_killed_because_they_are_not_ready_in_time(self):
        server = self.master("--ready-timeout", "20ms", workers=1, ready=False,
                             command=["sleep", "1000"])
        self.wait_for_ends(server, 5)


class FilesThatAreNoPrograms(StartingTest):
    def make_file(self, name: str, text: bytes) -> str:
        new = pathlib.Path(self.path(name + ".copied"))
        new.write_bytes(text)
        new.chmod(0o755)
        new.rename(self.path(name))
        return self.path(name)

    def test_a_worker_is_not_run_by_a_shell(self):
        for text in (b"", b"\x7fELF\x02\x01\x01", b"exit 3\n"):
            with self.subTest(text):
                file = self.make_file("worker", text)
                master = subprocess.run(
                    [handoff.tool("rpc-master"), "-l", self.path("s"), "-n", "1", "--", file],
                    capture_output=True, text=True, check=False, timeout=handoff.PATIENCE)
                self.assertEqual(master.returncode, 126)
                self.assertIn("Exec format error", master.stderr)
                self.assertIn("names no interpreter", master.stderr)

    def test_an_upgrade_to_a_half_copied_program_fails_and_the_old_master_serves_on(self):
        program = self.path("rpc-master")
        os.symlink(handoff.tool("rpc-master"), program)
        server = self.start(handoff.Server(program, "-l", self.path("s"), "-c", self.path("c"), "-n",
                                           "1", "--", WORKER, cwd=self.directory))
        for text in (b"", pathlib.Path(handoff.tool("rpc-master")).read_bytes()[:40]):
            with self.subTest(size=len(text)):
                self.make_file("rpc-master", text)
                before = set(os.listdir(self.directory))
                failed = self.control("upgrade")
                self.assertEqual(failed.returncode, 1)
                self.assertIn("Exec format error", failed.stderr)
                self.assertEqual(set(os.listdir(self.directory)), before)
        with server.connect() as client:
            self.assertEqual(client.result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)

    def test_a_method_of_a_directory_is_not_run_by_a_shell(self):
        methods = self.directory / "methods"
        methods.mkdir()
        self.make_file("methods/empty", b"")
        self.make_file("methods/script", b"echo 1\n")
        server = self.start(handoff.worker("-l", self.path("s"), "-d", str(methods)))
        client = self.open(server)
        for name in ("empty", "script"):
            reply = client.call(name)
            self.assertEqual(reply["out"], "error")
            self.assertIn("Exec format error", json.dumps(reply))


class FewDescriptors(StartingTest):
    def test_a_worker_that_can_not_get_its_descriptors_is_said_to_need_more_of_them(self):
        limit = 64
        server = self.master(
            workers=2,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        self.control("scale", "workers:=60")
        line = server.wait_for_line("place descriptors for")
        self.assertTrue(line.endswith(": Too many open files"), line)
        self.control("scale", "workers:=1")
        with server.connect() as client:
            self.assertEqual(client.result("ping", 1), 1)


if __name__ == "__main__":
    handoff.run_tests()
