# SPDX-License-Identifier: MIT
"""An upgrade: the master starts the program at its own path again and hands everything over. One
that fails changes nothing; one that succeeds is seen by no client."""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

MASTER = handoff.tool("rpc-master")
WORKER = handoff.tool("rpc-worker")
PR_SET_CHILD_SUBREAPER = 36
PR_CAPBSET_DROP = 24
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24


def setUpModule():
    # A successor outlives a master that is killed. It becomes our child then, so that its status is
    # ours to ask.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    below = handoff.children(pid)
    return below + [each for child in below for each in descendants(child)]


def end_descendants():
    """Also those that are created meanwhile."""
    def none_lives():
        alive = [pid for pid in descendants(os.getpid()) if handoff.alive(pid)]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive
    handoff.wait_for(none_lives, "all processes of the test to end")


def reap_orphans():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


class Load:
    """Clients that call without a pause worth mentioning; what goes wrong is kept."""

    def __init__(self, address, one_shot: int = 8, long_lived: int = 8):
        self.address = address
        self.failures: list[str] = []
        self.calls = [0] * (one_shot + long_lived)
        self._stop = threading.Event()
        bodies = [self._one_shot] * one_shot + [self._long_lived] * long_lived
        self._threads = [threading.Thread(target=self._run, args=(body, number), daemon=True)
                         for number, body in enumerate(bodies)]

    def _run(self, body, number: int):
        try:
            body(number)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(f"client {number}, call {self.calls[number]}: {error!r}")

    def _one_shot(self, number: int):
        while not self._stop.wait(0.002):
            with handoff.Connection(self.address) as client:
                self._check(client.call("ping", self.calls[number]), self.calls[number])
            self.calls[number] += 1

    def _long_lived(self, number: int):
        """Half of them pipeline."""
        ahead = 1 + number % 2 * 9
        with handoff.Connection(self.address) as client:
            before = client.socket.getsockname()
            while not self._stop.wait(0.002):
                first = self.calls[number]
                client.socket.sendall(b"".join(
                    handoff.frame(json.dumps({"in": "ping", "params": first + i}).encode())
                    for i in range(ahead)))
                for i in range(ahead):
                    self._check(client.receive(), first + i)
                self.calls[number] += ahead
            if client.socket.getsockname() != before:
                raise AssertionError("another local address")

    @staticmethod
    def _check(reply, expected):
        if reply != {"out": "pong", "result": expected}:
            raise AssertionError(f"{reply} instead of {expected}")

    def go_on(self, calls: int = 3):
        """Waits until each client has had so many more replies."""
        wanted = [count + calls for count in self.calls]
        handoff.wait_for(
            lambda: self.failures or all(map(int.__ge__, self.calls, wanted)), "the load to go on")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(handoff.PATIENCE)


class UpgradeTest(handoff.TestCase):
    def setUp(self):
        self.addCleanup(reap_orphans)
        super().setUp()
        self.control = self.path("control")
        self.pidfile = self.directory / "pid"
        # The program that is upgraded to is whatever stands here.
        self.program = self.directory / "rpc-master"
        self.program.symlink_to(MASTER)

    def path(self, name: str) -> str:
        return str(self.directory / name)

    # Programs.

    def put(self, target: str):
        """Has the name lead to another program, in one step."""
        beside = self.directory / "rpc-master.new"
        beside.symlink_to(target)
        beside.replace(self.program)

    def put_script(self, text: str):
        self.put_file(f"#!/bin/sh\n{text}\n".encode(), 0o755)

    def put_file(self, data: bytes, mode: int):
        beside = self.directory / "rpc-master.new"
        beside.write_bytes(data)
        beside.chmod(mode)
        beside.replace(self.program)

    def put_gate(self, then: str = f'exec {shlex.quote(MASTER)} "$@"'):
        """A program that waits for open_gate(). Its pid is in the file `at-gate`."""
        gate = self.path("gate")
        if not os.path.exists(gate):
            os.mkfifo(gate)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("at-gate"))
        self.put_script(f'echo $$ >"{self.directory}/at-gate"\nread -r line <"{gate}"\n{then}')

    def wait_at_gate(self) -> int:
        file = self.directory / "at-gate"
        return int(handoff.wait_for(lambda: file.exists() and file.read_text(), "the program"))

    def open_gate(self):
        with open(self.path("gate"), "w", encoding="ascii") as gate:
            gate.write("go\n")

    # Masters.

    def launch(self, *options: str, workers: int = 2, command=(WORKER,), words=None,
               ready: bool = True, **server) -> handoff.Server:
        listen = [] if "-l" in options else ["-l", "127.0.0.1:0"]
        behind = ["-n", str(workers)] if command else []
        behind += handoff.passing(*options)
        behind += [*options, "--", *command] if command else options
        words = words or [str(self.program)]
        return self.run_server(*words, *listen, "-c", self.control, *behind, ready=ready, **server)

    def run_server(self, *words: str, ready: bool = True, **server) -> handoff.Server:
        """It and its successors end with the test."""
        started = self.start(handoff.Server(*words, ready=False, **server))
        self.stack.callback(end_descendants)
        if ready:
            line = started.wait_for_line(": ready, .*on ").split(" (workers join")[0]
            started.addresses = [handoff.parse_address(word)
                                 for word in line.split(" on ", 1)[1].split()]
        return started

    def upgrade(self, server, pid: int) -> int:
        """Upgrades the master `pid`, and gives the pid of the new one, once that serves."""
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR2)
        return self.wait_for_successor(server, seen)

    @staticmethod
    def wait_for_successor(server, seen: int = 0) -> int:
        line = server.wait_for_line(r"upgraded, pid \d+ takes over|cannot upgrade: ", seen)
        return int(re.search(r"upgraded, pid (\d+)", line).group(1))

    def assert_replaced(self, server, pid: int):
        """A master that another has taken over from hands everything over, and nothing is cut off.
        The process that was started stays, without anything; another one ends."""
        if pid == server.pid:
            handoff.wait_for(lambda: self.holds_nothing(pid), "all to be handed over")
            self.assertIsNone(server.process.poll())
        else:
            handoff.wait_for(lambda: not handoff.alive(pid), f"process {pid} to end")
        self.assertNotRegex("\n".join(server.lines), "cut off|killed")

    @staticmethod
    def holds_nothing(pid: int) -> bool:
        """It has no reactor any more, and with it nothing that clients or workers could notice."""
        with contextlib.suppress(FileNotFoundError):
            links = [os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
            return "anon_inode:[eventpoll]" not in links
        return False

    def status_of(self, server, pid: int) -> int:
        """The exit status of the master that serves, once it has ended: also that of the process
        that was started, unless that was killed."""
        was_killed = server.process.poll() not in (None, *range(256))
        if not was_killed or pid == server.pid:
            return server.process.wait(handoff.PATIENCE)

        def status():
            with contextlib.suppress(ChildProcessError):  # its parent has not ended yet
                found, word = os.waitpid(pid, os.WNOHANG)
                if found == pid:
                    return [os.waitstatus_to_exitcode(word)]
            return None

        return handoff.wait_for(status, f"process {pid} to end")[0]

    def stop(self, server, pid: int) -> int:
        os.kill(pid, signal.SIGTERM)
        return self.status_of(server, pid)

    def ask(self, method: str, params=None):
        with handoff.Connection(self.control) as client:
            return client.result(method, params)

    def wait_for_problem(self, server, pattern: str, seen: int = 0) -> str:
        """The log says why, and so does the status."""
        line = server.wait_for_line(r"cannot upgrade: .*; this master serves on", seen)
        self.assertRegex(line, pattern)
        problem = re.search(r"cannot upgrade: (.*); this master serves on", line).group(1)
        status = handoff.wait_for(
            lambda: (now := self.ask("status"))["state"] == "ready" and now, "the old master")
        self.assertEqual(status["last_upgrade_problem"], problem)
        self.assertEqual(status["pid"], server.pid)
        return line

    def assert_nobody_left(self, server):
        handoff.wait_for(lambda: not any(map(handoff.alive, descendants(os.getpid()))),
                         "all to end:\n" + "\n".join(server.lines))

    @staticmethod
    def open_files(pid: int) -> list[str]:
        """What the descriptors lead to, without what tells one socket from another."""
        links = []
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.append(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{number}")))
        return sorted(links)

    def assert_private_socket(self, path: str):
        found = os.lstat(path)
        self.assertTrue(stat.S_ISSOCK(found.st_mode), path)
        self.assertEqual(stat.S_IMODE(found.st_mode), 0o600, path)
        with open(f"{path}.lock", "rb") as lock, self.assertRaises(BlockingIOError, msg=path):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Failing(UpgradeTest):
    """The old one serves on, and says why."""

    def test_a_program_that_ends_or_can_not_be_executed(self):
        programs = {
            "exits with 0": (lambda: self.put("/bin/true"), r"exit status 0, before it was ready"),
            "exits with 1": (lambda: self.put("/bin/false"), r"exit status 1, before it was ready"),
            "another": (lambda: self.put("/bin/cat"), r"exit status 1, before it was ready"),
            "dies": (lambda: self.put_script("kill -9 $$"), r"signal 9 \(Killed\), before it was"),
            "missing": (lambda: self.put("/nonexistent"), r"cannot run .*: No such file"),
            "a directory": (lambda: self.put("/tmp"), r"cannot run .*: Permission denied"),
            "not executable": (lambda: self.put_file(b"#!/bin/sh\n", 0o644),
                               r"cannot run .*: Permission denied"),
            "no interpreter": (lambda: self.put_file(b"#!/nonexistent\n", 0o755),
                               r"cannot run .*: No such file"),
            "wrong format": (lambda: self.put_file(b"\x7fELF garbage", 0o755),
                             r"cannot run .*: Exec format error|exit status \d+, before"),
            "garbage on the channel": (
                lambda: self.put_script(f"exec {shlex.quote(sys.executable)} -ISc '"
                                        "import os,time;os.write(3, b\"garbage\");time.sleep(99)'"),
                r"it sent no valid message"),
            "its channel closed": (lambda: self.put_script("exec 3<&-; exec sleep 99"),
                                   r"it closed its channel, killed"),
            "other options": (lambda: self.put_script(f"exec {shlex.quote(MASTER)} --no-such"),
                              r"exit status 2, before it was ready"),
        }
        server = self.launch()
        client = self.open(server)
        worker = client.result("info")["pid"]
        children = sorted(handoff.children(server.pid))
        with Load(server.address) as load:
            for name, (put, pattern) in programs.items():
                with self.subTest(name):
                    put()
                    seen = len(server.lines)
                    server.kill(signal.SIGUSR2)
                    self.wait_for_problem(server, pattern, seen)
                    load.go_on()
                    self.assertEqual(sorted(handoff.children(server.pid)), children)
            self.put(MASTER)
            self.upgrade(server, server.pid)
            load.go_on()
        self.assertEqual(load.failures, [])
        self.assertIsNone(self.ask("status")["last_upgrade_problem"])
        self.assertNotEqual(client.result("info")["pid"], worker)

    def test_no_descriptor_is_left_open(self):
        server = self.launch()
        before = handoff.descriptor_count(server.pid)
        for target in ("/bin/true", "/nonexistent") * handoff.count(20, 3):
            self.put(target)
            seen = len(server.lines)
            server.kill(signal.SIGUSR2)
            self.wait_for_problem(server, "before it was ready|No such file", seen)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) == before,
                         "the descriptors of the attempts to be closed")

    def test_a_program_that_hangs_is_killed(self):
        server = self.launch("--ready-timeout", "500ms")
        self.put_gate()
        with Load(server.address) as load:
            server.kill(signal.SIGUSR2)
            pid = self.wait_at_gate()
            self.assertEqual(self.ask("status")["state"], "upgrading")
            load.go_on()
            self.wait_for_problem(server, rf"the new master, pid {pid}: not ready within 1s")
            self.assertFalse(handoff.alive(pid))
            load.go_on()
        self.assertEqual(load.failures, [])

    def test_one_that_crashes_after_a_while(self):
        server = self.launch()
        self.put_gate("kill -SEGV $$")
        with Load(server.address) as load:
            server.kill(signal.SIGUSR2)
            self.wait_at_gate()
            load.go_on()
            self.open_gate()
            self.wait_for_problem(server, r"signal 11 \(Segmentation fault\), before it was ready")
            load.go_on()
        self.assertEqual(load.failures, [])

    def test_one_whose_workers_can_not_start_leaves_the_names_alone(self):
        names = [self.path(name) for name in ("listen", "join")] + [self.control]
        worker = self.directory / "worker"
        worker.symlink_to(WORKER)
        server = self.launch("-l", names[0], "-j", names[1], "--pidfile", str(self.pidfile),
                             command=[str(worker)])
        with Load(server.address) as load:
            worker.unlink()
            server.kill(signal.SIGUSR2)
            server.wait_for_line(r"cannot upgrade: the new master, pid \d+: exit status 127")
            for name in names:
                self.assertTrue(os.path.lexists(name), f"{name} is still there")
                self.assert_private_socket(name)
            load.go_on()
        self.assertEqual(load.failures, [])
        self.assertEqual(self.ask("status")["state"], "ready")
        self.assertEqual(self.pidfile.read_text(), f"{server.pid}\n")
        self.assertEqual(self.stop(server, server.pid), 0)
        for name in names:
            self.assertFalse(os.path.lexists(name) or os.path.lexists(name + ".lock"), name)
        self.assertFalse(self.pidfile.exists())

    def test_one_that_is_told_to_stop_leaves_the_names_alone(self):
        marker = self.path("hang")
        listener = self.path("listen")
        server = self.launch(
            "-l", listener, workers=1,
            command=["sh", "-c", f'test -e "{marker}" && exec cat <&"$HANDOFF_CHANNEL_FD"; exec "$0"',
                     WORKER])
        pathlib.Path(marker).touch()
        server.kill(signal.SIGUSR2)
        pid = handoff.wait_for(
            lambda: [pid for pid in handoff.children(server.pid) if handoff.children(pid)
                     and pid not in server.worker_pids()[:1]], "the successor and its worker")[0]
        os.kill(pid, signal.SIGTERM)
        self.wait_for_problem(server, "before it was ready|closed its channel")
        self.assert_private_socket(listener)
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_one_that_ends_together_with_a_worker(self):
        server = self.launch()
        before = server.worker_pids()
        self.put_gate()
        server.kill(signal.SIGUSR2)
        pid = self.wait_at_gate()
        # The master shall hear of both at once.
        server.kill(signal.SIGSTOP)
        for each in (before[0], pid):
            os.kill(each, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(before[0]) and not handoff.alive(pid), "the end")
        server.kill(signal.SIGCONT)
        self.wait_for_problem(server, rf"pid {pid}: signal 9 \(Killed\), before it was ready")
        handoff.wait_for(lambda: len(server.worker_pids()) == 2, "another worker")
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_one_that_dies_while_the_old_one_drains(self):
        server = self.launch(*self.slow_method(), workers=1)
        client = self.open(server)
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            new = self.upgrade(server, server.pid)
            os.kill(new, signal.SIGKILL)
            server.wait_for_line("cannot upgrade: the new master is gone")
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertIsNone(client.receive())
        server.process.wait(handoff.PATIENCE)
        self.assert_nobody_left(server)

    def slow_method(self) -> list[str]:
        return []

    def launch(self, *options, command=(WORKER,), **more):
        """With a method that waits for the fifo `slow`."""
        if command == (WORKER,):
            if not os.path.exists(self.path("slow")):
                os.mkfifo(self.path("slow"))
            command = (WORKER, "-m", f"slow=cat {self.path('slow')}")
        return super().launch(*options, command=command, **more)


class Succeeding(UpgradeTest):
    def test_no_client_sees_a_row_of_upgrades(self):
        server = self.launch("--pidfile", str(self.pidfile))
        client = self.open(server)
        port = client.socket.getsockname()
        pid = server.pid
        masters, workers = [pid], [client.result("info")["pid"]]
        with Load(server.address) as load:
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
        self.assertEqual(load.failures, [])
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

    def test_named_sockets_survive(self):
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

    def test_abstract_names_survive(self):
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
        with Load(server.address) as load:
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
        self.assertEqual(load.failures, [])
        self.assertEqual(self.stop(server, pid), 0)
        for worker in joined:
            self.assertEqual(worker.process.wait(handoff.PATIENCE), 0)

    def test_inherited_listeners_survive(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.stack.callback(listener.close)
        number = listener.fileno()
        server = self.launch("-l", f"fd:{number}", pass_fds=[number])
        pid = server.pid
        with Load(server.address) as load:
            for _ in range(2):
                new = self.upgrade(server, pid)
                self.assert_replaced(server, pid)
                pid = new
                load.go_on()
        self.assertEqual(load.failures, [])
        self.assertEqual(self.stop(server, pid), 0)

    def test_listeners_of_a_service_manager_survive(self):
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

    def test_by_the_control_socket(self):
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

    def test_by_the_control_socket_in_vain(self):
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

    def test_found_in_path(self):
        folder = self.directory / "bin"
        folder.mkdir()
        (folder / "rpc-master").symlink_to(MASTER)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        server = self.launch(words=["rpc-master"], env=environment)
        (folder / "rpc-master").unlink()
        (self.version("new") / "rpc-master").rename(folder / "rpc-master")
        self.upgrade_and_stop(server)
        self.assertIn("from new", server.lines)

    def test_by_a_relative_path(self):
        server = self.launch(words=["./rpc-master"], cwd=self.directory)
        (self.version("new") / "rpc-master").rename(self.program)
        self.upgrade_and_stop(server)
        self.assertIn("from new", server.lines)

    def test_through_a_symlink_that_is_flipped_to_another_folder(self):
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


class Connections(UpgradeTest):
    """Whatever state a connection is in, its client notices nothing."""

    def slow_worker(self) -> tuple[str, ...]:
        os.mkfifo(self.path("slow"))
        return (WORKER, "-m", f"slow=cat {self.path('slow')}")

    @staticmethod
    def wait_until_told_to_drain(server):
        """All workers of the old master were."""
        seen = len(server.lines)
        server.kill(signal.SIGUSR1)
        server.wait_for_line(r"worker \d, pid \d+: draining|cut off", seen)

    def join_new_master(self, join: str, *options: str):
        worker = self.start(handoff.Server(WORKER, "-j", join, *options, ready=False))
        worker.wait_for_line("joined, on")
        return worker

    @handoff.only("queue", because="a connection moves with its call, or waits for its reply")
    def test_a_slow_call_keeps_no_idle_worker_from_the_new_master(self):
        join = self.path("join")
        server = self.launch("-j", join, workers=0)
        options = self.slow_worker()[1:]
        for _ in range(2):
            self.join_new_master(join, *options)
        client = self.open(server)
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            pid = self.upgrade(server, server.pid)
            self.assertEqual(self.open(server).result("ping", "served"), "served")
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assert_replaced(server, server.pid)
        self.assertEqual(client.result("ping", "moved"), "moved")
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("queue", because="a worker has its clients until they have read")
    def test_who_does_not_read_keeps_no_worker_from_the_new_master(self):
        join = self.path("join")
        for threads in ("1", "2"):
            with self.subTest(io_threads=threads):
                server = self.launch("-j", join, "--io-threads", threads, workers=0)
                worker = self.join_new_master(
                    join, "--text", "-m", "long=head -c 900000 /dev/zero | tr '\\0' x")
                idler = self.open(server)
                for _ in range(16):
                    idler.send("long")
                pid = self.upgrade(server, server.pid)
                self.assertEqual(self.open(server).result("ping", "served"), "served")
                for _ in range(16):
                    self.assertEqual(len(idler.receive()["result"]), 900_000)
                self.assert_replaced(server, server.pid)
                self.assertEqual(idler.result("ping", "moved"), "moved")
                self.assertEqual(self.stop(server, pid), 0)
                self.assertEqual(worker.process.wait(handoff.PATIENCE), 0)

    def test_a_call_that_runs_gets_its_reply(self):
        server = self.launch(command=self.slow_worker())
        client = self.open(server)
        worker = client.result("info")["pid"]
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            pid = self.upgrade(server, server.pid)
            self.assertEqual(self.open(server).result("ping", "the new one serves"),
                             "the new one serves")
            self.assertIsNone(server.process.poll(), "the old one waits for the call")
            self.wait_until_told_to_drain(server)
            client.send("info")
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertNotEqual(client.receive()["result"]["pid"], worker)
        self.assert_replaced(server, server.pid)
        self.assertEqual(client.result("ping", 1), 1)
        self.assertEqual(self.stop(server, pid), 0)

    def test_term_to_the_old_one_that_drains_does_not_cut_a_call_off(self):
        server = self.launch(command=self.slow_worker())
        client = self.open(server)
        client.send("slow")
        with open(self.path("slow"), "w", encoding="ascii") as slow:
            self.upgrade(server, server.pid)
            server.kill(signal.SIGTERM)
            self.wait_until_told_to_drain(server)  # by then it has seen the other signal too
            slow.write("1")
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_a_frame_of_which_900_kb_were_sent_moves(self):
        server = self.launch()
        text = "x" * 950_000
        request = handoff.frame(json.dumps({"in": "ping", "params": text}).encode())
        client = self.open(server)
        pids = [client.result("info")["pid"]]
        client.socket.sendall(request[:900_000])
        worker = pids[0]
        handoff.wait_for(lambda: handoff.resident_bytes(worker) and not self.unread(client),
                         "the worker to have read it")
        pid = server.pid
        for _ in range(2):
            new = self.upgrade(server, pid)
            self.assert_replaced(server, pid)
            pid = new
        client.socket.sendall(request[900_000:])
        self.assertEqual(client.receive()["result"], text)
        self.assertNotIn(client.result("info")["pid"], pids)

    @staticmethod
    def unread(client) -> int:
        """Bytes that were sent and not yet acknowledged."""
        siocoutq = 0x5411
        return int.from_bytes(fcntl.ioctl(client.socket, siocoutq, b"\0\0\0\0"), sys.byteorder)

    def test_half_a_line_and_its_dialect_move(self):
        server = self.launch()
        client = self.open(server)
        file = client.socket.makefile("rb")
        client.socket.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "info"}\n')
        worker = json.loads(file.readline())["result"]["pid"]
        client.socket.sendall(b'{"jsonrpc": "2.0", "id": 2, "me')
        self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        client.socket.sendall(b'thod": "info"}\n')
        reply = json.loads(file.readline())
        client.socket.sendall(b'nonsense\n')
        self.assertEqual((reply["jsonrpc"], reply["id"]), ("2.0", 2))
        self.assertNotEqual(reply["result"]["pid"], worker)
        self.assertEqual(json.loads(file.readline())["error"]["code"], -32700)

    def test_many_idle_connections_move(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(handoff.count(5000, 600))]
        for client in clients:
            client.send("ping", 0)
        for client in clients:
            self.assertEqual(client.receive()["result"], 0)
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        for number, client in enumerate(clients):
            client.send("ping", number)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive()["result"], number)
        self.assertEqual(self.ask("status")["connections"], len(clients))
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("connection", "listener", because="a queue's calls keep their connection")
    def test_what_a_stopped_worker_never_started_goes_to_the_new_master(self):
        server = self.launch("--drain-timeout", "300ms", workers=1)
        stuck = server.worker_pids()[0]
        os.kill(stuck, signal.SIGSTOP)
        clients = [self.open(server) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send("ping", number)
        self.upgrade(server, server.pid)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive()["result"], number)
        server.wait_for_line("ended with 0 connections cut off and 1 worker killed")
        handoff.wait_for(lambda: self.holds_nothing(server.pid), "the old master to have ended")

    @handoff.only("connection", "listener", because="a queue's calls keep their connection")
    def test_what_waits_while_no_worker_is_there_goes_to_the_new_master(self):
        join = self.path("join")
        server = self.launch("-j", join, workers=0)
        client = self.open(server)
        client.send("ping", 1)
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        self.start(handoff.Server(WORKER, "-j", join, ready=False))
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("connection", "listener", because="the new master holds them all itself")
    def test_more_connections_than_one_process_may_have_descriptors_move(self):
        self.move_more_than_the_limit()

    @handoff.only("connection", "listener", because="the new master holds them all itself")
    def test_without_privileges_they_move_too(self):
        """Then the kernel lets no more descriptors be in flight than the sender may open."""
        libc = ctypes.CDLL(None)

        def drop_privileges():
            for capability in CAP_SYS_ADMIN, CAP_SYS_RESOURCE:
                libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

        self.move_more_than_the_limit(preexec_fn=drop_privileges)

    def move_more_than_the_limit(self, **server):
        self.need_descriptors(4096)
        server = self.launch("-v", workers=6, command=(WORKER, "-C", "4"), **server)
        # The new master and its workers have the same limit.
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (512, 512))
        clients = [self.open(server) for _ in range(1800)]
        for number, client in enumerate(clients):
            self.assertEqual(client.result("ping", number), number)
        workers = set(server.worker_pids())
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        for number, client in enumerate(clients):
            client.send("info", number)
        for client in clients:
            self.assertNotIn(client.receive()["result"]["pid"], workers)
        self.assertEqual(self.ask("status")["connections"], len(clients))
        said = "\n".join(server.lines)
        self.assertNotRegex(said, r"Too many open files|killed|cannot receive|[1-9]\d* connections cut off")
        self.assertEqual(self.stop(server, pid), 0)

    @handoff.only("connection", "listener", because="the new master holds them all itself")
    def test_a_new_master_without_descriptors_gets_them_all_in_the_end(self):
        # Its workers have the same limit, and hold half as many each.
        server = self.launch(workers=4)
        clients = [self.open(server) for _ in range(100)]
        for client in clients:
            client.result("ping")
        self.put_gate()
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        resource.prlimit(successor, resource.RLIMIT_NOFILE, (60, 60))
        self.open_gate()
        self.wait_for_successor(server)
        self.assert_replaced(server, server.pid)
        for number, client in enumerate(clients):
            self.assertEqual(client.result("ping", number), number)


class Several(UpgradeTest):
    """Signals that come together."""

    def test_usr2_twice_is_one_upgrade(self):
        server = self.launch()
        self.put_gate()
        with Load(server.address) as load:
            server.kill(signal.SIGUSR2)
            self.wait_at_gate()
            server.kill(signal.SIGUSR2)
            with handoff.Connection(self.control) as client:
                reply = client.call("upgrade")
                self.assertEqual((reply["out"], reply["result"]["message"]),
                                 ("error", "an upgrade is under way"))
            self.assertEqual(len(handoff.children(server.pid)), 3)
            self.open_gate()
            pid = self.wait_for_successor(server)
            self.assert_replaced(server, server.pid)
            load.go_on()
            self.assertEqual(self.ask("status")["state"], "ready")
        self.assertEqual(load.failures, [])
        self.assertEqual(sum("upgraded" in line for line in server.lines), 1)
        self.assertEqual(self.stop(server, pid), 0)
        self.assert_nobody_left(server)

    def test_usr2_to_old_and_new_at_once(self):
        server = self.launch()
        with Load(server.address) as load:
            first = self.upgrade(server, server.pid)
            seen = len(server.lines)
            # The first one that comes starts an upgrade, whichever that is, and the other may come
            # when that is over: the successor gets it then.
            server.kill(signal.SIGUSR2)
            os.kill(first, signal.SIGUSR2)
            self.wait_for_successor(server, seen)
            for pid in (server.pid, first):
                self.assert_replaced(server, pid)
            load.go_on()
        self.assertEqual(load.failures, [])
        self.assertEqual(self.stop(server, server.pid), 0)
        self.assert_nobody_left(server)

    def test_hup_during_an_upgrade(self):
        server = self.launch()
        self.put_gate()
        with Load(server.address) as load:
            server.kill(signal.SIGUSR2)
            self.wait_at_gate()
            for _ in range(5):
                server.kill(signal.SIGHUP)
            load.go_on()
            self.open_gate()
            pid = self.wait_for_successor(server)
            os.kill(pid, signal.SIGHUP)
            self.assert_replaced(server, server.pid)
            server.wait_for_line("reloaded, 2 workers")
            load.go_on()
        self.assertEqual(load.failures, [])
        handoff.wait_for(lambda: len(handoff.children(pid)) == 2, "the old workers to leave")
        self.assertEqual(self.stop(server, pid), 0)
        self.assert_nobody_left(server)

    def test_hup_during_an_upgrade_that_fails_is_a_reload_after_it(self):
        server = self.launch()
        before = set(server.worker_pids())
        self.put_gate()
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGHUP)
        server.wait_for_line("the reload is put off")
        server.kill(signal.SIGUSR2)
        server.wait_for_line("upgrading already")
        os.kill(successor, signal.SIGKILL)
        server.wait_for_line("this master serves on")
        server.wait_for_line("reloaded, 2 workers")
        handoff.wait_for(lambda: not before & set(server.worker_pids()), "the old workers to leave")
        self.assertEqual(self.stop(server, server.pid), 0)

    def test_an_upgrade_during_a_reload(self):
        server = self.launch()
        with Load(server.address) as load:
            server.kill(signal.SIGHUP)
            server.wait_for_line("reloading")
            pid = self.upgrade(server, server.pid)
            self.assert_replaced(server, server.pid)
            load.go_on()
        self.assertEqual(load.failures, [])
        self.assertEqual(self.stop(server, pid), 0)
        self.assert_nobody_left(server)

    def test_term_while_the_new_one_starts_ends_both(self):
        listener = self.path("listen")
        server = self.launch("-l", listener, "--pidfile", str(self.pidfile))
        client = self.open(server)
        client.result("ping")
        self.put_gate()
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGTERM)
        self.assertEqual(self.status_of(server, server.pid), 0)
        self.assertIsNone(client.receive())
        if handoff.alive(successor):
            self.open_gate_if_read()
        self.assert_nobody_left(server)
        for name in (listener, self.control, str(self.pidfile)):
            self.assertFalse(os.path.lexists(name), name)

    def open_gate_if_read(self):
        with contextlib.suppress(OSError):
            gate = os.open(self.path("gate"), os.O_WRONLY | os.O_NONBLOCK)
            os.write(gate, b"go\n")
            os.close(gate)

    def test_term_at_any_moment_of_an_upgrade_ends_all(self):
        for moment in ("at once", "upgrading", "ready", "takes over"):
            with self.subTest(moment):
                server = self.launch("--pidfile", str(self.pidfile))
                seen = len(server.lines)
                client = self.open(server)
                client.result("ping")
                server.kill(signal.SIGUSR2)
                if moment != "at once":
                    server.wait_for_line(moment, seen)
                server.kill(signal.SIGTERM)  # when it had handed over already, the new one gets it
                self.assertEqual(self.status_of(server, server.pid), 0)
                self.assertIsNone(client.receive())
                self.assert_nobody_left(server)
                self.assertFalse(self.pidfile.exists())

    def test_term_to_the_new_one_while_the_old_one_drains(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(50)]
        for client in clients:
            client.result("ping")
        pid = self.upgrade(server, server.pid)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.status_of(server, pid), 0)
        server.process.wait(handoff.PATIENCE)
        for client in clients:
            self.assertIsNone(client.receive())
        self.assert_nobody_left(server)

    def test_an_upgrade_repairs_a_master_that_never_got_ready(self):
        marker = self.directory / "repaired"
        server = self.launch(
            "--backoff", "60s:60s", "--pidfile", str(self.pidfile), workers=1, ready=False,
            command=["sh", "-c", f'test -e "{marker}" && exec "$0"; exit 3', WORKER])
        server.wait_for_line("again in 60s")
        marker.touch()
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        self.assertEqual(sum(": ready, " in line for line in server.lines), 1)
        self.assertEqual(self.pidfile.read_text(), f"{pid}\n")
        server.addresses = [handoff.parse_address(self.ask("status")["listeners"][0])]
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.stop(server, pid), 0)


if __name__ == "__main__":
    handoff.run_tests()
