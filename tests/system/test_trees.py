# SPDX-License-Identifier: MIT
"""A worker is a process tree: what becomes of what it starts, of what outlives it, and of all of it
when the master dies."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff
from handoff import wait_for

# Answers each connection with its word and its pid. "deaf" ignores TERM, "daemon" goes into the
# background first.
SERVER = """
import os, signal, socket, sys
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "daemon" in sys.argv:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
with open("pids", "a") as pids:
    pids.write(f"{os.getpid()}\\n")
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    client.sendall(f"{open('word').read()} {os.getpid()}".encode())
    client.close()
"""

# How a script may start the real server without passing on TERM, and without its death being the
# server's.
WRAPPERS = {
    "script": "{server}; echo over",
    "pipeline": "{server} | cat",
    "background": "{server} & wait",
    "own group": "set -m; {server} & wait",
    "other session": "setsid -w {server}; echo over",
    "clean environment": "env -i {server}; echo over",
    "two of them": "sh -c '{server}; echo over'; echo over",
}


def zombies_of(pid: int) -> list[int]:
    return [child for child in handoff.children(pid) if not handoff.alive(child)]


@handoff.only("connection", because="each test chooses its own")
class Trees(handoff.TestCase):
    def setUp(self):
        super().setUp()
        (self.directory / "server.py").write_text(SERVER)
        self.say("old")
        self.stack.callback(self.kill_servers)

    def kill_servers(self):
        for pid in self.servers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def say(self, word: str):
        (self.directory / "word").write_text(word)

    def servers(self) -> list[int]:
        """All that ever served."""
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in (self.directory / "pids").read_text().splitlines()]
        return []

    def living(self) -> list[int]:
        return [pid for pid in self.servers() if handoff.alive(pid)]

    def master(self, wrapper: str, *options: str, server="", **more) -> handoff.Server:
        """A master whose only worker is a shell script around the server."""
        script = wrapper.format(server=f"{sys.executable} server.py {server}")
        return self.start(handoff.master(
            "-p", "listener", "--handshake", "none", "-v", *options, workers=1,
            command=["sh", "-c", script], cwd=self.directory, **more))

    def ask(self, address) -> list[str]:
        """The word and the pid of the server that answers."""
        with socket.create_connection(address, handoff.PATIENCE) as client:
            return client.makefile().read().split()

    def wait_for_servers(self, count: int):
        wait_for(lambda: len(self.servers()) >= count, f"{count} servers")

    def test_a_wrapper_that_does_not_forward_term_leaves_no_old_server_at_a_reload(self):
        for name, wrapper in WRAPPERS.items():
            with self.subTest(wrapper=name):
                (self.directory / "pids").unlink(missing_ok=True)
                self.say("old")
                master = self.master(wrapper, "--drain-timeout", "3s")
                self.assertEqual("old", self.ask(master.address)[0])
                old, = self.servers()
                self.say("new")
                master.kill(signal.SIGHUP)
                self.wait_for_servers(2)
                wait_for(lambda: not handoff.alive(old), "the old server to end")
                self.assertEqual(["new", str(self.servers()[1])], self.ask(master.address))
                self.assertEqual(0, master.stop())
                self.assertEqual([], self.living())

    def test_what_ignores_term_is_killed_at_the_deadline_also_when_the_wrapper_has_gone(self):
        master = self.master("{server}; echo over", "--drain-timeout", "300ms", "-c",
                             str(self.directory / "control"), server="deaf")
        self.ask(master.address)
        old, = self.servers()
        master.kill(signal.SIGHUP)
        line = master.wait_for_line(r"still there after 300ms, killed")
        self.assertRegex(line, "worker 1, pid ")
        wait_for(lambda: not handoff.alive(old), "the old server to be killed")
        master.wait_for_line(r": left, ")
        self.wait_for_servers(2)
        self.assertEqual(124, master.stop(), "a worker was killed")
        self.assertEqual([], self.living())

    def test_a_worker_drains_as_long_as_anything_of_its_tree_lives(self):
        control = str(self.directory / "control")
        master = self.master("{server}; echo over", "-c", control, server="deaf")
        self.ask(master.address)
        old, = self.servers()
        wrapper, = master.worker_pids()
        master.kill(signal.SIGHUP)
        wait_for(lambda: not handoff.alive(wrapper), "the wrapper to end")
        with handoff.Connection(control) as client:
            def states():
                return [worker["state"] for worker in client.result("workers")]
            wait_for(lambda: states() == ["draining", "ready"] or states() == ["ready", "draining"],
                     "the old worker to drain beside the new one")
            self.assertTrue(handoff.alive(old))
            os.kill(old, signal.SIGKILL)
            wait_for(lambda: states() == ["ready"], "the old worker to be gone")
        self.assertEqual([], zombies_of(master.pid))

    def test_a_second_term_kills_every_tree_at_once(self):
        for wrapper in ("{server}; echo over", "trap '' TERM; {server}; echo over",
                        "trap '' TERM; setsid -w {server}; echo over"):
            with self.subTest(wrapper=wrapper):
                (self.directory / "pids").unlink(missing_ok=True)
                master = self.master(wrapper, server="deaf")
                self.ask(master.address)
                master.kill(signal.SIGTERM)
                master.wait_for_line("stopping")
                self.assertEqual(124, master.stop())
                self.assertEqual([], self.living())

    def test_a_worker_that_goes_into_the_background_is_killed_there_and_the_log_says_so(self):
        master = self.master("{server}", "--backoff", "50ms:20s", server="daemon", ready=False)
        for _ in range(3):
            master.wait_for_line(r"worker 1, pid \d+: exit status 0; it went into the background "
                                 r"and was killed there \(run it in the foreground\)")
        master.wait_for_line("started again in 100ms")
        self.assertLessEqual(len(self.living()), 1, "of all that were started")
        master.stop()
        self.assertEqual([], self.living())

    def test_what_a_worker_that_died_has_left_behind_is_killed(self):
        script = "{server} & until test -s pids; do :; done; kill -9 $$"
        master = self.master(script, "--backoff", "10s:10s", ready=False)
        master.wait_for_line(r"signal 9 \(Killed\); what it left behind was killed")
        self.assertEqual([], self.living())
        master.stop()

    def test_workers_without_a_handshake_end_with_a_master_that_is_killed(self):
        for name, wrapper in {"none": "exec {server}", **WRAPPERS}.items():
            with self.subTest(wrapper=name):
                (self.directory / "pids").unlink(missing_ok=True)
                first = self.master(wrapper)
                self.ask(first.address)
                tree = handoff.descendants(first.pid)
                self.assertIn(self.servers()[0], tree)
                first.kill(signal.SIGKILL)
                first.process.wait(handoff.PATIENCE)
                wait_for(lambda: not any(map(handoff.alive, tree)), "all of the tree to end")
                address = f"127.0.0.1:{first.address[1]}"
                second = self.master(wrapper, "-l", address)
                self.ask(second.address)
                self.assertEqual(0, second.stop())

    def test_what_ignores_term_is_killed_some_time_after_its_master(self):
        master = self.master("{server}; echo over", "--drain-timeout", "300ms", server="deaf")
        self.ask(master.address)
        wrapper, = master.worker_pids()
        master.kill(signal.SIGKILL)
        wait_for(lambda: not handoff.alive(wrapper), "the wrapper to end")
        wait_for(lambda: not self.living(), "the server to be killed")

    @staticmethod
    def ignores(pid: int, number: int) -> bool:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        mask = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
        return bool(int(mask.split()[1], 16) >> (number - 1) & 1)

    def test_the_guard_of_a_master_ends_with_it(self):
        master = self.master("exec {server}")
        guard, = filter(handoff.is_guard, handoff.all_children(master.pid))
        wait_for(lambda: self.ignores(guard, signal.SIGTERM), "the guard to be on its guard")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guard, number)
        self.ask(master.address)
        self.assertTrue(handoff.alive(guard), "a signal to all of a service is not for it")
        self.assertEqual(0, master.stop())
        self.assertFalse(handoff.alive(guard))

    def test_an_upgrade_of_a_master_with_wrapped_workers_leaves_no_old_server(self):
        master = self.master("{server}; echo over")
        self.ask(master.address)
        old, = self.servers()
        master.kill(signal.SIGUSR2)
        line = master.wait_for_line(r"upgraded, pid (\d+)")
        successor = int(line.split("pid ")[1].split()[0])
        self.stack.callback(lambda: handoff.alive(successor) and os.kill(successor, signal.SIGTERM))
        wait_for(lambda: not handoff.alive(old), "the old server to end")
        self.assertTrue(handoff.alive(successor), "it is no worker's orphan")
        self.wait_for_servers(2)
        self.assertEqual(str(self.servers()[1]), self.ask(master.address)[1])
        os.kill(successor, signal.SIGTERM)
        wait_for(lambda: not self.living(), "the new server to end")


@handoff.only("connection", because="each test chooses its own")
class TreesWithHandshake(handoff.TestCase):
    def test_wrapped_workers_are_replaced_and_stopped_with_each_pass(self):
        for choice in ("connection", "listener", "queue"):
            with self.subTest(choice=choice):
                script = f"{handoff.tool('rpc-worker')} -m 'pid=echo $$'; echo over"
                master = self.start(handoff.master("-p", choice, workers=1,
                                                   command=["sh", "-c", script]))
                before = handoff.descendants(master.pid)
                with master.connect() as client:
                    first = client.result("info")["pid"]
                    self.assertIn(first, before)
                    master.kill(signal.SIGHUP)
                    master.wait_for_line("reloaded")
                    wait_for(lambda: not any(map(handoff.alive, before)), "the old tree to end")
                    self.assertNotEqual(first, client.result("info")["pid"])
                after = handoff.descendants(master.pid)
                self.assertEqual(0, master.stop())
                self.assertEqual([], list(filter(handoff.alive, after)))

    def test_what_the_methods_of_a_killed_worker_left_is_killed_also_behind_a_wrapper(self):
        pid = self.directory / "pid"
        method = f"m=setsid sh -c \"echo \\$\\$ >{pid}; exec sleep 999\" & sleep 998"
        master = self.start(handoff.master(
            workers=1, command=["sh", "-c", '"$@"; true', "sh", handoff.tool("rpc-worker"),
                                "-m", method]))
        with master.connect() as client:
            worker = client.result("info")["pid"]
            client.send("m")
            left = int(wait_for(lambda: pid.exists() and pid.read_text(), "the method to begin"))
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: not handoff.alive(left), "what it left to be killed")

    def assert_leaves_nothing(self, address, worker: handoff.Server, pid: pathlib.Path):
        with handoff.Connection(address) as client:
            client.send("m")
            left = int(wait_for(lambda: pid.exists() and pid.read_text(), "the method to begin"))
            worker.kill(signal.SIGKILL)
            wait_for(lambda: not handoff.alive(left), "what it left to be killed")

    def test_what_the_methods_of_a_worker_without_a_supervisor_left_is_killed_with_it(self):
        pid = self.directory / "pid"
        method = f"m=setsid sh -c \"echo \\$\\$ >{pid}; exec sleep 999\" & sleep 998"
        with self.subTest("alone"):
            worker = self.start(handoff.worker("-m", method))
            self.assert_leaves_nothing(worker.address, worker, pid)
        pid.unlink()
        with self.subTest("joined"):
            path = str(self.directory / "join")
            listen = str(self.directory / "listen")
            master = self.start(handoff.Server(
                handoff.tool("rpc-master"), "-l", listen, "-j", path, ready=False))
            master.wait_for_line("ready, ")
            worker = self.start(handoff.Server(
                handoff.tool("rpc-worker"), "-j", path, "-m", method, ready=False))
            self.assert_leaves_nothing(listen, worker, pid)

    def test_a_worker_without_a_supervisor_has_a_guard_if_it_has_commands(self):
        plain = self.start(handoff.worker())
        self.assertEqual([], handoff.all_children(plain.pid))
        worker = self.start(handoff.worker("-m", "m=echo 1"))
        guard, = filter(handoff.is_guard, handoff.all_children(worker.pid))
        self.assertEqual(0, worker.stop())
        self.assertFalse(handoff.alive(guard))

    def test_a_joined_worker_is_not_touched(self):
        path = str(self.directory / "join")
        listen = str(self.directory / "listen")
        master = self.start(handoff.Server(
            handoff.tool("rpc-master"), "-l", listen, "-j", path, ready=False))
        master.wait_for_line("ready, ")
        worker = self.start(handoff.Server("sh", "-c", f"{handoff.tool('rpc-worker')} -j {path} "
                                           "-m 'm=echo 1'; echo over", ready=False))
        with handoff.Connection(listen) as client:
            self.assertEqual(1, client.result("m"))
        self.assertEqual(0, master.stop())
        self.assertEqual(0, worker.process.wait(handoff.PATIENCE))


# Starts orphans that end, and says when all of them have.
ORPHANS = ("i=0; while test $i -lt 20; do sh -c '(true &)'; setsid sh -c '(true &)'; "
           "i=$((i + 1)); done; echo >orphaned; exec sleep 1000")


@handoff.only("connection", because="each test chooses its own")
class Orphans(handoff.TestCase):
    def assert_no_zombies(self, pid: int):
        wait_for((self.directory / "orphaned").exists, "the orphans to be made")
        wait_for(lambda: not zombies_of(pid), "the orphans to be reaped")

    def plain_master(self, script: str) -> list[str]:
        return [handoff.tool("rpc-master"), "-p", "listener", "--handshake", "none", "-l",
                str(self.directory / "socket"), "-n", "1", "--", "sh", "-c", script]

    def test_a_master_reaps_orphans_while_its_workers_live(self):
        master = self.start(handoff.Server(*self.plain_master(ORPHANS), cwd=self.directory))
        self.assert_no_zombies(master.pid)
        self.assertEqual(0, master.stop())

    def test_a_master_reaps_orphans_as_process_1(self):
        unshare = ["unshare", "-fp", "--mount-proc"]
        if os.getuid() != 0:
            unshare.insert(1, "-r")
        if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no pid namespaces")
        server = self.start(handoff.Server(*unshare, *self.plain_master(ORPHANS),
                                           cwd=self.directory))
        master, = handoff.children(server.pid)
        self.assert_no_zombies(master)
        os.kill(master, signal.SIGTERM)
        self.assertEqual(0, server.process.wait(handoff.PATIENCE))

    def test_a_worker_reaps_what_its_shell_had_started_before_it_became_the_worker(self):
        for before in ("true &", "sleep 0.05 &"):
            with self.subTest(before=before):
                worker = self.start(handoff.Server(
                    "sh", "-c", f'{before} exec "$@"', "sh", handoff.tool("rpc-worker"), "-l",
                    "127.0.0.1:0"))
                wait_for(lambda: not handoff.children(worker.pid), "the child to be reaped", 5)

    def test_a_worker_reaps_what_its_methods_left_while_they_run(self):
        worker = self.start(handoff.worker("-k", f"m=cd {self.directory}; {ORPHANS}"))
        with worker.connect() as client:
            client.send("m")
            self.assert_no_zombies(worker.pid)

    def test_an_orphan_that_is_no_workers_is_left_alone(self):
        pid = self.directory / "pid"
        script = (f"env -i setsid sh -c 'echo $$ >{pid}; exec sleep 1000' >/dev/null 2>&1 & "
                  f"until test -s {pid}; do :; done; exec sleep 1000")
        master = self.start(handoff.Server(*self.plain_master(script)))
        orphan = int(wait_for(lambda: pid.exists() and pid.read_text(), "the orphan"))
        self.stack.callback(os.kill, orphan, signal.SIGKILL)
        self.assertEqual(0, master.stop())
        self.assertTrue(handoff.alive(orphan))


if __name__ == "__main__":
    handoff.run_tests()
