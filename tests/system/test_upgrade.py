# SPDX-License-Identifier: MIT
"""An upgrade: the master starts the program at its own path again and hands everything over, which
no client sees."""

import contextlib
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from upgrade_case import MASTER, UpgradeTest, WORKER, clients_of, setUpModule  # noqa: E402,F401


class Succeeding(UpgradeTest):
    def test_no_client_sees_a_row_of_upgrades(self):
        server = self.launch("--pidfile", str(self.pidfile))
        client = self.open(server)
        port = client.socket.getsockname()
        pid = server.pid
        masters, workers = [pid], [client.result("info")["pid"]]
        with clients_of(server.address) as load:
            load.go_on()
            for _ in range(handoff.count(10, 3)):
                self.assertEqual(self.pidfile.read_text(), f"{pid}\n")
                new = self.upgrade(server, pid)
                self.assert_replaced(server, pid)
                load.go_on()
                pid = new
                masters.append(pid)
                workers.append(client.result("info")["pid"])
                self.assertEqual(self.ask("info")["pid"], pid)
                self.assertEqual(len(handoff.children(pid)), 2)
        self.assertEqual(load.problems, [])
        self.assertEqual(len(set(masters)), len(masters))
        self.assertEqual(len(set(workers)), len(workers), "each time another worker")
        self.assertEqual(client.socket.getsockname(), port)
        self.assertEqual(self.pidfile.read_text(), f"{pid}\n")
        client.close()
        self.assertEqual(self.stop(server, pid), 0)
        self.assertFalse(self.pidfile.exists())
        self.assert_nobody_left(server)

    def test_the_last_master_has_no_more_descriptors_open_than_the_first(self):
        server = self.launch("-l", self.path("listen"), "-l", "127.0.0.1:0", "-j",
                             self.path("join"))
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        names = self.open_files(pid)  # the first one has no socket to the original process
        for _ in range(handoff.count(10, 3)):
            new = self.upgrade(server, pid)
            self.assert_replaced(server, pid)
            pid = new
        # The first may have had its channel to the one before it still.
        with contextlib.suppress(AssertionError):
            handoff.wait_for(lambda: len(self.open_files(pid)) <= len(names), "", patience=5)
        self.assertLessEqual(len(self.open_files(pid)), len(names), self.open_files(pid))

    def test_named_sockets_survive_an_upgrade(self):
        names = [self.path(name) for name in ("listen", "join")] + [self.control]
        server = self.launch("-l", names[0], "-j", names[1])
        inodes = [os.lstat(name).st_ino for name in names]
        pid = server.pid
        for _ in range(2):
            new = self.upgrade(server, pid)
            self.assert_replaced(server, pid)
            pid = new
        for name, inode in zip(names, inodes):
            self.assertEqual(os.lstat(name).st_ino, inode)
            self.assert_private_socket(name)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.ask("status")["listeners"], [names[0]])
        for option, name in zip(("-l", "-j", "-c"), names):
            listen = [] if option == "-l" else ["-l", "127.0.0.1:0"]
            other = subprocess.run([MASTER, *listen, option, name, "-n", "1", "--", WORKER],
                                   stderr=subprocess.PIPE, text=True, timeout=handoff.PATIENCE,
                                   check=False)
            self.assertEqual(other.returncode, 125)
            self.assertIn(f"cannot listen on {name}: Address already in use", other.stderr)
        self.assertEqual(self.stop(server, pid), 0)
        for name in names:
            self.assertFalse(os.path.lexists(name) or os.path.lexists(name + ".lock"), name)

    def test_abstract_names_survive_an_upgrade(self):
        name = f"@handoff-{os.getpid()}"
        server = self.launch("-l", name, "-j", name + "-join", workers=0)
        worker = self.start(handoff.Server(WORKER, "-j", name + "-join", ready=False))
        worker.wait_for_line("joined")
        self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        with handoff.Connection("\0" + name[1:]) as client:
            self.assertEqual(client.result("info")["pid"], worker.pid)

    def test_workers_that_joined_join_the_new_master(self):
        join = self.path("join")
        server = self.launch("-j", join, workers=0)
        joined = [self.start(handoff.Server(WORKER, "-j", join, ready=False)) for _ in range(2)]
        for worker in joined:
            worker.wait_for_line("joined, on")
        pids = {worker.pid for worker in joined}
        pid = server.pid
        with clients_of(server.address) as load:
            load.go_on()
            for number in range(2, 4):
                new = self.upgrade(server, pid)
                self.assert_replaced(server, pid)
                pid = new
                load.go_on()
                for worker in joined:
                    handoff.wait_for(
                        lambda w=worker, n=number: sum("joined, on" in line for line in w.lines)
                        == n, "the worker to join again")
                workers = handoff.wait_for(
                    lambda: (now := self.ask("workers")) and
                    all(each["state"] == "ready" for each in now) and now, "them to be ready")
                self.assertEqual({each["pid"] for each in workers}, pids)
                self.assertEqual([each["joined"] for each in workers], [True, True])
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(self.stop(server, pid), 0)
        for worker in joined:
            self.assertEqual(worker.process.wait(handoff.PATIENCE), 0)

    def test_inherited_listeners_survive_an_upgrade(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.stack.callback(listener.close)
        number = listener.fileno()
        server = self.launch("-l", f"fd:{number}", pass_fds=[number])
        pid = server.pid
        with clients_of(server.address) as load:
            load.go_on()
            for _ in range(2):
                new = self.upgrade(server, pid)
                self.assert_replaced(server, pid)
                pid = new
                load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(self.stop(server, pid), 0)

    def test_listeners_of_a_service_manager_survive_an_upgrade(self):
        paths = [self.path("one"), self.path("two")]
        activate = str(handoff.ROOT / "tests" / "support" / "socket_activate.py")
        server = self.run_server(sys.executable, activate, *paths, "--", str(self.program), "-c",
                                 self.control, "-n", "1", "--", WORKER)
        pid = server.pid
        for _ in range(2):
            new = self.upgrade(server, pid)
            self.assert_replaced(server, pid)
            pid = new
        for path in paths:
            with handoff.Connection(path) as client:
                self.assertEqual(client.result("ping", path), path)
        self.assertEqual(self.stop(server, pid), 0)
        for path in paths:
            self.assertTrue(os.path.exists(path), "it is not the master's to remove")

    def test_the_control_socket_upgrades_the_master(self):
        server = self.launch()
        done = subprocess.run([handoff.tool("rpc-call"), self.control, "upgrade"],
                              capture_output=True, text=True, timeout=handoff.PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "null\n", ""))
        self.assert_replaced(server, server.pid)
        self.assertNotEqual(self.ask("info")["pid"], server.pid)

    def test_when_the_control_socket_replies_the_old_workers_have_been_told_to_leave(self):
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        server = self.launch()
        client = self.open(server)
        old = client.result("info")["pid"]
        # It is held up right after it has replied.
        tracer = self.start(handoff.Server(
            "strace", "-p", str(server.pid), "-o", "/dev/null", "-e", "trace=sendto",
            "-e", f"inject=sendto:delay_exit={handoff.PATIENCE}000000", ready=False))
        if "attached" not in tracer.wait_for_line("attached|ttach"):
            self.skipTest("strace may not attach")
        self.assertIsNone(self.ask("upgrade"))
        client.result("ping")  # which an old worker may have read before it was told
        self.assertNotEqual(client.result("info")["pid"], old)

    def test_an_upgrade_by_the_control_socket_that_fails_is_an_error_that_says_why(self):
        server = self.launch()
        self.put("/bin/false")
        done = subprocess.run([handoff.tool("rpc-call"), self.control, "upgrade"],
                              capture_output=True, text=True, timeout=handoff.PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"upgrade on .* failed: the new master, pid \d+: exit status 1, ")
        self.assertEqual(self.ask("info")["pid"], server.pid)

    def test_a_control_connection_is_answered_by_the_old_one_to_its_end(self):
        server = self.launch()
        with handoff.Connection(self.control) as client:
            self.assertIsNone(client.result("upgrade"))
            with contextlib.suppress(EOFError, ConnectionError):
                while (reply := client.call("status")) is not None:
                    self.assertEqual(reply["result"]["state"], "stopping")
                    self.assertEqual(reply["result"]["pid"], server.pid)
        self.assert_replaced(server, server.pid)


class Paths(UpgradeTest):
    """What is executed is the program at the path that the master was started by."""

    def version(self, name: str) -> pathlib.Path:
        """A folder that holds the program, for one that says so in its environment."""
        folder = self.directory / name
        folder.mkdir()
        program = folder / "rpc-master"
        program.write_text(f'#!/bin/sh\necho from {name} >&2\nexec {shlex.quote(MASTER)} "$@"\n')
        program.chmod(0o755)
        return folder

    def upgrade_and_stop(self, server):
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.stop(server, pid), 0)

    def test_a_program_that_was_found_in_path_is_found_there_again(self):
        folder = self.directory / "bin"
        folder.mkdir()
        (folder / "rpc-master").symlink_to(MASTER)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        server = self.launch(words=["rpc-master"], env=environment)
        (folder / "rpc-master").unlink()
        (self.version("new") / "rpc-master").rename(folder / "rpc-master")
        self.upgrade_and_stop(server)
        self.assertIn("from new", server.lines)

    def test_a_program_with_a_relative_path_is_upgraded(self):
        server = self.launch(words=["./rpc-master"], cwd=self.directory)
        (self.version("new") / "rpc-master").rename(self.program)
        self.upgrade_and_stop(server)
        self.assertIn("from new", server.lines)

    def test_a_symlink_that_is_flipped_to_another_folder_brings_the_program_there(self):
        old = self.directory / "old"
        old.mkdir()
        (old / "rpc-master").symlink_to(MASTER)
        current = self.directory / "current"
        current.symlink_to(old)
        server = self.launch(words=[str(current / "rpc-master")])
        beside = self.directory / "beside"
        beside.symlink_to(self.version("new"))
        beside.replace(current)
        (old / "rpc-master").unlink()
        self.upgrade_and_stop(server)
        self.assertIn("from new", server.lines)


if __name__ == "__main__":
    handoff.run_tests()
