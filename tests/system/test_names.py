# SPDX-License-Identifier: MIT
"""Names in the file system: sockets, their locks and pidfiles. A process removes only what it has
made, an upgrade that fails takes none of them away, and the files of others are left alone."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from upgrade_case import UpgradeTest, end_descendants, setUpModule  # noqa: E402,F401

MASTER = handoff.tool("rpc-master")
WORKER = handoff.tool("rpc-worker")


def is_pending(pid: int, number: int) -> bool:
    """Whether the signal was sent to the process, and it has not read it yet."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return bool(int(re.search(r"ShdPnd:\s+(\w+)", text).group(1), 16) >> (number - 1) & 1)


class NamesTest(UpgradeTest):
    def setUp(self):
        super().setUp()
        self.names = [self.path("listen"), self.path("join"), self.control]
        self.options = ("-l", self.names[0], "-j", self.names[1])

    def inodes(self) -> list[int]:
        names = self.names + [f"{name}.lock" for name in self.names]
        return [os.lstat(name).st_ino for name in names]

    def assert_no_names(self):
        for name in self.names:
            self.assertFalse(os.path.lexists(name), name)
            self.assertFalse(os.path.lexists(f"{name}.lock"), f"{name}.lock")

    def refused(self, *words: str) -> str:
        """Why a program does not start. It leaves nothing behind."""
        before = sorted(os.listdir(self.directory))
        ended = subprocess.run(words, cwd=self.directory, stderr=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL, timeout=handoff.PATIENCE, check=False)
        self.assertEqual(ended.returncode, 125, ended.stderr)
        self.assertEqual(sorted(os.listdir(self.directory)), before)
        return ended.stderr


class Upgrades(NamesTest):
    def assert_serves_on(self, server, inodes, seen: int):
        self.wait_for_problem(server, "exit status 125, before it was ready", seen)
        self.assertEqual(self.inodes(), inodes)
        for name in self.names:
            self.assert_private_socket(name)
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_one_whose_pidfile_cannot_be_written_takes_no_name_away(self):
        run = self.directory / "run"
        pidfile = run / "pid"
        beside = run / "pid.new"

        def put_folder():
            pidfile.unlink()
            pidfile.mkdir()

        for why, spoil, kept in (
                ("No such file or directory", lambda: shutil.rmtree(run), None),
                ("pid is not a regular file", put_folder, None),
                ("pid.new is no pidfile", lambda: beside.write_text("precious"), "precious")):
            with self.subTest(why):
                shutil.rmtree(run, ignore_errors=True)
                run.mkdir()
                server = self.launch(*self.options, "--pidfile", str(pidfile))
                inodes = self.inodes()
                seen = len(server.lines)
                spoil()
                server.kill(signal.SIGUSR2)
                server.wait_for_line(f"cannot write the pidfile {pidfile}: .*{why}", seen)
                self.assert_serves_on(server, inodes, seen)
                if kept:
                    self.assertEqual(beside.read_text(), kept)
                    self.assertEqual(pidfile.read_text(), f"{server.pid}\n")
                self.assertEqual(self.stop(server, server.pid), 0)
                self.assert_no_names()

    def test_one_whose_pidfile_can_no_longer_be_written_when_it_is_ready(self):
        run = self.directory / "run"
        run.mkdir()
        marker = self.path("marker")
        gate = self.path("gate")
        os.mkfifo(gate)
        worker = (f'test -e "{marker}" && {{ echo >"{marker}2"; read -r line <"{gate}"; }}; '
                  f"exec {shlex.quote(WORKER)}")
        server = self.launch(*self.options, "--pidfile", str(run / "pid"), workers=1,
                             command=["sh", "-c", worker])
        inodes = self.inodes()
        pathlib.Path(marker).touch()
        server.kill(signal.SIGUSR2)
        handoff.wait_for(lambda: os.path.exists(f"{marker}2"), "the successor's worker")
        shutil.rmtree(run)
        self.open_gate()
        self.assert_serves_on(server, inodes, 0)
        self.assertEqual(self.stop(server, server.pid), 0)
        self.assert_no_names()

    def test_one_that_has_written_the_pidfile_and_then_fails(self):
        server = self.launch(*self.options, "--pidfile", str(self.pidfile))
        self.put_script(f'echo $$ >"{self.path("p")}"; mv "{self.path("p")}" "{self.pidfile}"\n'
                        "exit 3")
        server.kill(signal.SIGUSR2)
        self.wait_for_problem(server, "exit status 3")
        self.assertEqual(self.pidfile.read_text(), f"{server.pid}\n")
        self.assertEqual(self.stop(server, server.pid), 0)
        self.assertFalse(self.pidfile.exists())

    def test_one_that_starts_before_the_old_master_is_ready_writes_the_pidfile_if_it_succeeds(self):
        go, at_worker, gate = (self.path(name) for name in ("go", "at-worker", "worker-gate"))
        os.mkfifo(gate)
        held = (f'test -e "{go}" || {{ echo >"{at_worker}"; read -r line <"{gate}"; }}; '
                f"exec {shlex.quote(WORKER)}")
        for then, line in ((f'exec {shlex.quote(MASTER)} "$@"', "upgraded, pid"),
                           ("exit 3", "this master serves on")):
            with self.subTest(line):
                for name in (go, at_worker):
                    pathlib.Path(name).unlink(missing_ok=True)
                self.put(MASTER)
                server = self.launch(*self.options, "--pidfile", str(self.pidfile), workers=1,
                                     ready=False, command=["sh", "-c", held])
                handoff.wait_for(lambda: os.path.exists(at_worker), "the worker")
                self.put_gate(then)
                server.kill(signal.SIGUSR2)
                successor = self.wait_at_gate()
                pathlib.Path(go).touch()
                pathlib.Path(gate).write_text("go\n")
                server.wait_for_line(": ready, ")
                self.assertFalse(self.pidfile.exists())
                self.open_gate()
                server.wait_for_line(line)
                serves = server.pid if then == "exit 3" else successor
                self.assertEqual(self.pidfile.read_text(), f"{serves}\n")
                self.assertEqual(self.stop(server, serves), 0)
                self.assert_nobody_left(server)
                self.assert_no_names()
                self.assertFalse(self.pidfile.exists())

    def test_one_that_is_told_to_stop_as_soon_as_it_is_ready_leaves_no_name_behind(self):
        server = self.launch(*self.options, "--pidfile", str(self.pidfile))
        inodes = self.inodes()
        self.put_gate()
        seen = len(server.lines)
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        handoff.stop_process(server.pid)
        self.open_gate()
        server.wait_for_line(": ready, ", seen)
        os.kill(successor, signal.SIGTERM)
        handoff.wait_for(lambda: not is_pending(successor, signal.SIGTERM), "TERM to be read")
        # It does not know yet whether the old one has noticed, which would serve on otherwise.
        os.kill(successor, signal.SIGUSR1)
        server.wait_for_line(r"worker \d+, pid \d+", seen)
        self.assertEqual(self.inodes(), inodes)
        server.kill(signal.SIGCONT)
        self.assert_nobody_left(server)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assert_no_names()
        self.assertFalse(self.pidfile.exists())

    def test_the_names_of_a_predecessor_that_was_killed_are_the_successors(self):
        server = self.launch(*self.options, "--pidfile", str(self.pidfile))
        self.put_gate()
        seen = len(server.lines)
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGKILL)
        server.process.wait(handoff.PATIENCE)
        self.open_gate()
        server.wait_for_line(": ready, ", seen)
        self.assertEqual(self.ask("status")["pid"], successor)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.pidfile.read_text(), f"{successor}\n")
        self.assertEqual(self.stop(server, successor), 0)
        self.assert_no_names()
        self.assertFalse(self.pidfile.exists())


class Others(NamesTest):
    def test_a_master_that_stops_leaves_alone_what_another_has_made_since(self):
        first = self.launch(*self.options)
        for name in self.names:
            os.unlink(name)
            os.unlink(f"{name}.lock")
        second = self.launch(*self.options)
        inodes = self.inodes()
        self.assertEqual(self.stop(first, first.pid), 0)
        self.assertEqual(self.inodes(), inodes)
        self.assertEqual(self.open(second).result("ping", 1), 1)
        self.assertEqual(self.ask("status")["pid"], second.pid)
        self.assertEqual(self.stop(second, second.pid), 0)
        self.assert_no_names()

    def test_a_lock_that_was_removed_makes_no_name_free(self):
        server = self.launch(*self.options)
        for name in self.names:
            os.unlink(f"{name}.lock")
        for option, name in zip(("-l", "-j", "-c"), self.names):
            listen = [] if option == "-l" else ["-l", "127.0.0.1:0"]
            why = self.refused(MASTER, *listen, option, name, "-n", "1", "--", WORKER)
            self.assertIn(f"{name}: Address already in use", why)
        self.assertIn("Address already in use", self.refused(WORKER, "-l", self.names[0]))
        self.assertIn("Address already in use", self.refused(handoff.tool("fdrecv"), self.names[0]))
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.ask("status")["pid"], server.pid)

    def test_files_beside_a_socket_are_an_error_for_every_program_and_left_alone(self):
        for suffix in (".lock", ".new"):
            name = self.path("app")
            file = pathlib.Path(name + suffix)
            file.write_text("precious")
            for words in ((MASTER, "-l", name, "-n", "1", "--", WORKER),
                          (MASTER, "-l", ":0", "-c", name, "-n", "1", "--", WORKER),
                          (WORKER, "-l", name),
                          (handoff.tool("fdrecv"), name),
                          (handoff.tool("fdsend"), "-l", name)):
                with self.subTest(words=words[:2], suffix=suffix):
                    why = self.refused(*words)
                    self.assertIn(f": cannot listen on {name}: the file {file} is in the way "
                                  "(remove it if nothing needs it)\n", why)
                    self.assertEqual(file.read_text(), "precious")
            file.unlink()

    def test_a_lock_that_a_killed_server_has_left_is_used_and_removed(self):
        server = self.launch(*self.options, "--pidfile", str(self.pidfile))
        server.kill(signal.SIGKILL)
        end_descendants()
        self.assertTrue(os.path.exists(self.names[0] + ".lock"))
        again = self.launch(*self.options, "--pidfile", str(self.pidfile))
        self.assertEqual(self.pidfile.read_text(), f"{again.pid}\n")
        self.assertEqual(self.stop(again, again.pid), 0)
        self.assert_no_names()
        self.assertFalse(self.pidfile.exists())


class Pidfiles(NamesTest):
    def command(self, pidfile) -> list[str]:
        return [MASTER, "-l", self.names[0], "-n", "1", "--pidfile", str(pidfile), "--", WORKER]

    def test_what_is_no_pidfile_is_not_replaced(self):
        os.mkfifo(self.path("fifo"))
        os.symlink("/dev/full", self.path("link"))
        pathlib.Path(self.path("notes")).write_text("precious")
        for name, why in (("fifo", "is not a regular file"), ("link", "is not a regular file"),
                          ("notes", "is no pidfile (remove it if nothing needs it)")):
            with self.subTest(name):
                path = self.path(name)
                inode = os.lstat(path).st_ino
                self.assertEqual(self.refused(*self.command(path)),
                                 f"rpc-master: cannot write the pidfile {path}: {path} {why}\n")
                self.assertEqual(os.lstat(path).st_ino, inode)

    def test_the_pidfile_of_another_master_that_runs_is_not_replaced_until_it_stops(self):
        server = self.launch(*self.options, "--pidfile", str(self.pidfile))
        other = self.path("other")
        words = [MASTER, "-l", other, "-n", "1", "--pidfile", str(self.pidfile), "--", WORKER]
        self.assertIn(f"{self.pidfile} is that of a process that runs", self.refused(*words))
        self.assertEqual(self.pidfile.read_text(), f"{server.pid}\n")
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        self.assertIn(f"{self.pidfile} is that of a process that runs", self.refused(*words))
        self.assertEqual(self.stop(server, pid), 0)
        again = self.run_server(*words)
        self.assertEqual(self.pidfile.read_text(), f"{again.pid}\n")


if __name__ == "__main__":
    handoff.run_tests()
