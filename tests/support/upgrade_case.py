# SPDX-License-Identifier: MIT
"""What the tests share in which a master starts its own program again and hands everything over.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import shlex
import signal
import stat

import handoff
from load import Load, long_lived, one_shot

MASTER = handoff.tool("rpc-master")
WORKER = handoff.tool("rpc-worker")
PR_SET_CHILD_SUBREAPER = 36


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


def clients_of(address) -> Load:
    """Clients that call with a pause hardly worth mentioning. Half of those that stay connected
    send their requests ahead."""
    clients = [one_shot(address, pause=0.002)] * 8
    clients += [long_lived(address, ahead, pause=0.002) for ahead in (1, 10)] * 4
    return Load(clients)


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
