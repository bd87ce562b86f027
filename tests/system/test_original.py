# SPDX-License-Identifier: MIT
"""The process that was started stays when other masters serve in its place: whatever has started it
waits for it and signals it, and learns in the end how the server has ended."""

import contextlib
import fcntl
import os
import pathlib
import pty
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import test_upgrade  # noqa: E402

setUpModule = test_upgrade.setUpModule
MASTER = handoff.tool("rpc-master")
WORKER = handoff.tool("rpc-worker")
KILLED = 128 + signal.SIGKILL


def is_stopped(pid: int) -> bool:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rsplit(")", 1)[1].split()[0] == "T"


# Executes a master that has to succeed another, without what tells it of the original process.
WITHOUT_ORIGINAL = """
import json, os, sys
succession = json.loads(os.pread(int(os.environ["HANDOFF_SUCCESSION"]), 100000, 0))
del succession["original"]
file = os.memfd_create("succession", 0)
os.write(file, json.dumps(succession).encode())
os.environ["HANDOFF_SUCCESSION"] = str(file)
os.execv(sys.argv[1], sys.argv[1:])
"""


class OriginalTest(test_upgrade.UpgradeTest):
    def upgrade_all(self, server, times: int) -> int:
        """So many upgrades by signals to the process that was started. Gives the pid that serves."""
        for _ in range(times):
            seen = len(server.lines)
            server.kill(signal.SIGUSR2)
            pid = self.wait_for_successor(server, seen)
            self.assert_replaced(server, server.pid)
            handoff.wait_for(lambda: handoff.children(server.pid) == [pid],
                             "the master before to be reaped")
        return pid

    def wait_until_known(self, server, times: int):
        """An original process with one that serves has heard of a successor that starts."""
        if times:
            handoff.wait_for(lambda: self.open_files(server.pid).count("anon_inode:[pidfd]") == 2,
                             "the notice of the successor")

    def wait_for_end(self, pid: int):
        handoff.wait_for(lambda: not handoff.alive(pid), f"process {pid} to end")

    def slow_command(self) -> tuple[str, ...]:
        """Workers with a method that waits for the fifo `slow`."""
        os.mkfifo(self.path("slow"))
        return (WORKER, "-m", f"slow=cat {self.path('slow')}")

    def begin_slow_call(self, client) -> None:
        client.send("slow")
        self.slow = open(self.path("slow"), "w", encoding="ascii")  # once a worker reads it
        self.stack.callback(self.slow.close)

    def end_slow_call(self):
        self.slow.write("1")
        self.slow.close()


class Signals(OriginalTest):
    def test_term_to_it_stops_the_server_after_any_number_of_upgrades(self):
        for times in (1, 2, 4):
            with self.subTest(times=times):
                listener = self.path(f"listen{times}")
                server = self.launch("-l", listener, "--pidfile", str(self.pidfile))
                client = self.open(server)
                pid = self.upgrade_all(server, times)
                self.assertEqual(self.pidfile.read_text(), f"{pid}\n")
                self.assertEqual(self.ask("status")["pid"], pid)
                self.assertEqual(client.result("ping", 1), 1)
                self.assertEqual(server.stop(), 0)
                self.assertIsNone(client.receive())
                self.assertFalse(handoff.alive(pid))
                for name in (listener, self.control, str(self.pidfile)):
                    self.assertFalse(os.path.lexists(name), name)
                    self.assertFalse(os.path.lexists(f"{name}.lock"), name)
                self.assert_nobody_left(server)

    def test_each_other_signal_does_what_it_does_without_an_upgrade(self):
        server = self.launch(workers=2)
        pid = self.upgrade_all(server, 2)
        workers = handoff.children(pid)
        server.kill(signal.SIGHUP)
        server.wait_for_line("reloaded, 2 workers")
        handoff.wait_for(lambda: not set(workers) & set(handoff.children(pid)), "new workers")
        server.kill(signal.SIGTTIN)
        handoff.wait_for(lambda: len(handoff.children(pid)) == 3, "one worker more")
        handoff.wait_for(lambda: all(worker["state"] == "ready" for worker in self.ask("workers")),
                         "it to be ready")
        server.kill(signal.SIGTTOU)
        handoff.wait_for(lambda: len(handoff.children(pid)) == 2, "one worker fewer")
        seen = len(server.lines)
        server.kill(signal.SIGUSR1)
        server.wait_for_line(r"worker 2, pid \d+: ready", seen)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            with self.subTest(number):
                if server.process.poll() is not None:
                    server = self.launch()
                    self.upgrade_all(server, 1)
                self.assertEqual(server.stop(number), 0)

    def test_one_term_lets_calls_finish_and_a_second_one_does_not(self):
        command = self.slow_command()
        for second in (False, True):
            with self.subTest(second=second):
                server = self.launch(command=command)
                pid = self.upgrade_all(server, 2)
                client = self.open(server)
                self.begin_slow_call(client)
                server.kill(signal.SIGTERM)
                handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")
                if second:
                    server.kill(signal.SIGTERM)
                else:
                    self.end_slow_call()
                    self.assertEqual(client.receive(), {"out": "slow", "result": 1})
                self.assertEqual(server.process.wait(handoff.PATIENCE), 124 if second else 0)
                self.assertFalse(handoff.alive(pid))
                self.assert_nobody_left(server)

    def test_term_to_all_processes_at_once_lets_calls_finish(self):
        server = self.launch(command=self.slow_command())
        pid = self.upgrade_all(server, 1)
        client = self.open(server)
        self.begin_slow_call(client)
        for each in [server.pid, pid, *handoff.children(pid)]:
            with contextlib.suppress(ProcessLookupError):  # an idle worker has left already
                os.kill(each, signal.SIGTERM)
        handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR1)  # by then it has read the signals before
        server.wait_for_line(r"worker \d, pid \d+: ", seen)
        self.end_slow_call()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_term_while_it_drains_its_own_connections_waits_for_them_too(self):
        command = self.slow_command()
        for second in (False, True):
            with self.subTest(second=second):
                server = self.launch(command=command)
                client = self.open(server)
                self.begin_slow_call(client)
                # A worker that accepts itself tells of it a little later.
                handoff.wait_for(lambda: self.ask("status")["connections"] == 1, "it to be known")
                seen = len(server.lines)
                server.kill(signal.SIGUSR2)
                pid = self.wait_for_successor(server, seen)
                server.kill(signal.SIGTERM)
                self.wait_for_end(pid)
                self.assertIsNone(server.process.poll())
                if second:
                    server.kill(signal.SIGTERM)
                    self.assertEqual(server.process.wait(handoff.PATIENCE), 124)
                    server.wait_for_line("1 connection cut off")
                else:
                    self.end_slow_call()
                    self.assertEqual(client.receive(), {"out": "slow", "result": 1})
                    self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
                self.assert_nobody_left(server)

    def test_term_waits_for_a_master_in_the_middle_that_still_drains(self):
        server = self.launch(command=self.slow_command())
        first = self.upgrade_all(server, 1)
        client = self.open(server)
        self.begin_slow_call(client)
        seen = len(server.lines)
        server.kill(signal.SIGUSR2)
        second = self.wait_for_successor(server, seen)
        server.kill(signal.SIGTERM)
        self.wait_for_end(second)
        self.assertTrue(handoff.alive(first))
        self.assertIsNone(server.process.poll())
        self.end_slow_call()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assert_nobody_left(server)


    def test_a_second_term_cuts_off_what_a_master_in_the_middle_still_drains(self):
        server = self.launch(command=self.slow_command())
        self.upgrade_all(server, 1)
        client = self.open(server)
        self.begin_slow_call(client)
        seen = len(server.lines)
        server.kill(signal.SIGUSR2)
        serving = self.wait_for_successor(server, seen)
        server.kill(signal.SIGTERM)
        self.wait_for_end(serving)
        server.kill(signal.SIGTERM)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 124)
        server.wait_for_line(r"ended with \d connections? cut off and ")
        self.assert_nobody_left(server)


class Ends(OriginalTest):
    def test_it_ends_with_the_status_of_the_master_that_served(self):
        server = self.launch()
        pid = self.upgrade_all(server, 2)
        self.assertEqual(self.stop(server, pid), 0)

    def test_it_ends_with_the_signal_that_killed_the_master_as_a_shell_tells_it(self):
        for times in (1, 3):
            with self.subTest(times=times):
                server = self.launch()
                pid = self.upgrade_all(server, times)
                os.kill(pid, signal.SIGKILL)
                self.assertEqual(server.process.wait(handoff.PATIENCE), KILLED)
                server.wait_for_line(rf"the master, pid {pid}: signal 9 \(Killed\)")
                self.assert_nobody_left(server)

    def test_the_stop_of_the_control_socket_ends_it(self):
        server = self.launch()
        self.upgrade_all(server, 2)
        self.assertIsNone(self.ask("stop"))
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_when_it_is_killed_the_master_that_serves_stops_at_once(self):
        command = self.slow_command()
        for times in (1, 3):
            with self.subTest(times=times):
                listener = self.path(f"listen{times}")
                server = self.launch("-l", listener, "--pidfile", str(self.pidfile), command=command)
                pid = self.upgrade_all(server, times)
                client = self.open(server)
                self.begin_slow_call(client)
                server.kill(signal.SIGKILL)
                self.wait_for_end(pid)
                server.wait_for_line(f"the process that was started, pid {server.pid}, is gone")
                self.assert_nobody_left(server)
                for name in (listener, self.control, str(self.pidfile)):
                    self.assertFalse(os.path.lexists(name), name)

    def test_when_it_is_killed_a_master_that_still_starts_ends_too(self):
        server = self.launch()
        pid = self.upgrade_all(server, 1)
        self.put_gate()
        os.kill(pid, signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGKILL)
        self.wait_for_end(pid)
        self.wait_for_end(successor)
        self.assert_nobody_left(server)


class Small(OriginalTest):
    def test_it_gives_away_all_that_it_had(self):
        server = self.launch("-l", self.path("listen"), "-j", self.path("join"))
        clients = [self.open(server) for _ in range(100)]
        for client in clients:
            client.result("ping")
        before = handoff.descriptor_count(server.pid)
        pid = self.upgrade_all(server, 2)
        handoff.wait_for(lambda: handoff.children(server.pid) == [pid], "the first to be reaped")
        # Besides the standard streams: signals, a socket to the masters, and the one that serves.
        names = [name for name in self.open_files(server.pid) if name.startswith(("anon", "socket"))]
        self.assertEqual(names, ["anon_inode:[pidfd]", "anon_inode:[signalfd]", "socket:[N]"])
        self.assertLess(handoff.descriptor_count(server.pid), before)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)

    def test_it_reaps_masters_in_the_middle_and_the_workers_of_one_that_was_killed(self):
        server = self.launch()
        first = self.upgrade_all(server, 1)
        second = self.upgrade_all(server, 1)
        handoff.wait_for(lambda: not os.path.exists(f"/proc/{first}"), "the first to be reaped")
        self.put_gate()
        os.kill(second, signal.SIGUSR2)
        third = self.wait_at_gate()
        self.wait_until_known(server, 2)
        workers = set(handoff.children(second)) - {third}
        self.assertEqual(len(workers), 2)
        os.kill(second, signal.SIGKILL)
        handoff.wait_for(lambda: not any(os.path.exists(f"/proc/{each}")
                                         for each in (second, *workers)), "them to be reaped")
        self.open_gate()
        server.wait_for_line(rf"the master, pid {second}: signal 9 .*; pid {third} takes over")
        handoff.wait_for(lambda: os.path.exists(self.control), "the socket")
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)
        self.assert_nobody_left(server)


class Successors(OriginalTest):
    """The master that serves is killed while its successor starts."""

    def check(self, server, successor: int):
        join = self.path("join")
        handoff.wait_for(lambda: os.path.exists(self.control), "the socket")
        self.assertEqual(self.ask("status")["pid"], successor)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        worker = self.start(handoff.Server(WORKER, "-j", join, ready=False))
        worker.wait_for_line("joined, on")
        handoff.wait_for(lambda: [each for each in self.ask("workers") if each["joined"]], "it")
        self.assertEqual(self.pidfile.read_text(), f"{successor}\n")

    def assert_no_names(self):
        for name in (self.path("listen"), self.path("join"), self.control, str(self.pidfile)):
            self.assertFalse(os.path.lexists(name), name)
            self.assertFalse(os.path.lexists(f"{name}.lock"), name)

    def begin(self, times: int, worker: str = 'exec "$0"'):
        server = self.launch("-l", self.path("listen"), "-j", self.path("join"), "--pidfile",
                             str(self.pidfile), command=["sh", "-c", worker, WORKER])
        pid = self.upgrade_all(server, times) if times else server.pid
        return server, pid

    def end(self, server, successor: int, times: int):
        """After the first upgrade the process that was started lives, and forwards to the heir."""
        if times:
            os.kill(server.pid, signal.SIGTERM)
            self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        else:
            self.assertEqual(self.stop(server, successor), 0)
        self.assert_no_names()
        self.assert_nobody_left(server)

    def test_killed_before_the_successor_has_looked_at_what_it_inherits(self):
        for times in (0, 2):
            with self.subTest(times=times):
                server, pid = self.begin(times)
                self.put_gate()
                seen = len(server.lines)
                os.kill(pid, signal.SIGUSR2)
                successor = self.wait_at_gate()
                self.wait_until_known(server, times)
                os.kill(pid, signal.SIGKILL)
                self.wait_for_end(pid)
                self.open_gate()
                server.wait_for_line(": ready, ", seen)
                self.check(server, successor)
                self.end(server, successor, times)
                self.put(MASTER)

    def test_killed_before_the_workers_of_the_successor_are_ready(self):
        """It has a control socket at once: its workers may never be ready."""
        for times in (0, 2):
            with self.subTest(times=times):
                marker = self.path("marker")
                server, pid = self.begin(times, f'while test -e "{marker}"; do :; done; exec "$0"')
                pathlib.Path(marker).touch()
                seen = len(server.lines)
                os.kill(pid, signal.SIGUSR2)
                successor = handoff.wait_for(
                    lambda p=pid: [c for c in handoff.children(p)
                                   if "rpc-master" in pathlib.Path(f"/proc/{c}/cmdline").read_text()
                                   and len(handoff.children(c)) == 2], "the successor's workers")[0]
                os.kill(pid, signal.SIGKILL)
                server.wait_for_line("the old master is gone", seen)
                self.assertEqual(self.ask("status")["state"], "starting")
                self.assertEqual(self.ask("status")["pid"], successor)
                os.unlink(marker)
                server.wait_for_line(": ready, ", seen)
                self.check(server, successor)
                self.end(server, successor, times)

    def test_killed_between_ready_and_its_answer(self):
        for times in (0, 2):
            with self.subTest(times=times):
                server, pid = self.begin(times)
                self.put_gate()
                seen = len(server.lines)
                os.kill(pid, signal.SIGUSR2)
                successor = self.wait_at_gate()
                self.wait_until_known(server, times)
                handoff.stop_process(pid)
                self.open_gate()
                server.wait_for_line(": ready, ", seen)
                os.kill(pid, signal.SIGKILL)
                server.wait_for_line("the old master is gone", seen)
                self.check(server, successor)
                self.end(server, successor, times)
                self.put(MASTER)

    @handoff.only("connection", "listener", because="its connections end with a master that serves")
    def test_killed_while_it_drains(self):
        os.mkfifo(self.path("slow"))
        server, pid = self.begin(1, f'exec "$0" -m "slow=cat {self.path("slow")}"')
        client = self.open(server)
        self.begin_slow_call(client)
        successor = self.upgrade(server, pid)
        os.kill(pid, signal.SIGUSR1)
        server.wait_for_line(r"worker \d, pid \d+: draining")
        os.kill(pid, signal.SIGKILL)
        self.end_slow_call()
        self.assertEqual(client.receive(), {"out": "slow", "result": 1})
        self.check(server, successor)
        self.end(server, successor, 1)

    def test_killed_before_it_has_told_the_original_process_of_its_successor(self):
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        server = self.launch("--hang-timeout", "0")  # which asks the workers, and sends therefore
        pid = self.upgrade_all(server, 1)
        tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(pid), "-e",
                                   "trace=sendmsg", "-e", "inject=sendmsg:signal=KILL:when=1"],
                                  stderr=subprocess.DEVNULL)
        self.stack.callback(tracer.wait)
        self.stack.callback(tracer.kill)
        status = pathlib.Path(f"/proc/{pid}/status")
        handoff.wait_for(lambda: tracer.poll() is not None
                         or f"TracerPid:\t{tracer.pid}\n" in status.read_text(), "the tracer")
        if tracer.poll() is not None:
            self.skipTest("strace may not attach")
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR2)
        # While the tracer has not read the status, nobody else can.
        line = server.wait_for_line(rf"the master, pid {pid}: .*; pid \d+ takes over", seen)
        server.wait_for_line(": ready, ", seen)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertIn(f"pid {self.ask('status')['pid']} takes over", line)
        self.assertEqual(server.stop(), 0)
        self.assert_nobody_left(server)

    def test_a_successor_on_its_own_is_the_original_process_of_further_upgrades(self):
        server, pid = self.begin(0)
        self.put_gate()
        seen = len(server.lines)
        os.kill(pid, signal.SIGUSR2)
        first = self.wait_at_gate()
        os.kill(pid, signal.SIGKILL)
        self.open_gate()
        server.wait_for_line(": ready, ", seen)
        self.put(MASTER)
        second = self.upgrade(server, first)
        handoff.wait_for(lambda: self.holds_nothing(first), "it to stay, without anything")
        server.process.wait(handoff.PATIENCE)
        self.assertEqual(self.stop(server, first), 0)
        self.wait_for_end(second)
        self.assert_no_names()


class Others(OriginalTest):
    def test_a_successor_that_does_not_know_of_it_serves_and_stops(self):
        """As an older version does: it closes no descriptor that it does not know."""
        server = self.launch()
        self.put_script(f"exec {sys.executable} -c {shlex.quote(WITHOUT_ORIGINAL)} "
                        f"{shlex.quote(MASTER)} \"$@\"")
        pid = self.upgrade_all(server, 1)
        server.kill(signal.SIGHUP)
        server.wait_for_line("reloaded, 2 workers")
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.ask("status")["pid"], pid)
        self.assertEqual(server.stop(), 0)
        self.assert_nobody_left(server)

    def test_where_orphans_are_not_adopted_a_master_tells_its_status_itself(self):
        if shutil.which("strace") is None:
            self.skipTest("no strace")
        command = self.slow_command()
        for second in (False, True):
            with self.subTest(second=second):
                words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e",
                         "inject=prctl:error=EPERM:when=1", str(self.program)]
                server = self.launch(words=words, command=command,
                                     env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
                server.wait_for_line("become a subreaper")
                original = handoff.children(server.pid)[0]
                for _ in range(2):
                    seen = len(server.lines)
                    os.kill(original, signal.SIGUSR2)
                    pid = self.wait_for_successor(server, seen)
                    handoff.wait_for(lambda: self.holds_nothing(original), "all to be handed over")
                client = self.open(server)
                self.begin_slow_call(client)
                os.kill(original, signal.SIGTERM)
                handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")
                if second:
                    os.kill(original, signal.SIGTERM)
                    self.wait_for_end(pid)
                    self.slow.close()  # nobody finds the method's command, which strace waits for
                else:
                    self.end_slow_call()
                    self.assertEqual(client.receive(), {"out": "slow", "result": 1})
                self.assertEqual(server.process.wait(handoff.PATIENCE), 124 if second else 0)
                self.wait_for_end(pid)


class Surroundings(OriginalTest):
    def test_a_shell_waits_for_it_and_stops_it_by_its_number(self):
        script = self.directory / "script"
        script.write_text(
            f'{shlex.quote(str(self.program))} -l ./s -c ./c -n 1 -- {shlex.quote(WORKER)} & m=$!\n'
            f'c={shlex.quote(handoff.tool("rpc-call"))}\n'
            '"$c" --wait ./s ping || exit 90\n'
            'for i in 1 2 3; do "$c" -t 9 ./c upgrade || exit 91; done\n'
            'kill -0 $m || exit 92\n"$c" ./s ping || exit 93\n'
            'kill $m; wait $m || exit 94\n'
            'test ! -e ./s && test ! -e ./c || exit 95\n')
        for shell in ("bash", "sh"):
            done = subprocess.run([shell, str(script)], cwd=self.directory, capture_output=True,
                                  text=True, timeout=handoff.PATIENCE, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_process_1_of_a_container(self):
        words = ["unshare", "-fpr", "--kill-child", "--mount-proc"]
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no namespaces")
        server = self.launch(words=[*words, str(self.program)])
        first = handoff.children(server.pid)[0]
        for _ in range(3):
            self.assertIsNone(self.ask("upgrade"))
            handoff.wait_for(lambda: self.holds_nothing(first), "process 1 to have handed over")
            self.assertEqual(self.open(server).result("ping", 1), 1)
        os.kill(first, signal.SIGTERM)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assertFalse(os.path.lexists(self.control))

    def test_process_1_that_a_manager_listens_to_stays_too(self):
        words = ["unshare", "-fpr", "--kill-child", "--mount-proc"]
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no namespaces")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(self.path("notify"))
            manager.settimeout(handoff.PATIENCE)
            server = self.launch(words=[*words, str(self.program)],
                                 env={**os.environ, "NOTIFY_SOCKET": self.path("notify")})
            self.assertIsNone(self.ask("upgrade"))
            self.assertEqual(self.open(server).result("ping", 1), 1)
            os.kill(handoff.children(server.pid)[0], signal.SIGTERM)
            self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
            said = ""
            while "STOPPING=1" not in said:
                said += manager.recv(1000).decode() + "\n"
            self.assertNotIn("MAINPID", said)

    def test_ctrl_c_is_one_signal_to_the_server_and_two_end_it_at_once(self):
        """The kernel sends it to each process of the foreground group."""
        command = self.slow_command()
        for times in (1, 2):
            with self.subTest(times=times):
                keyboard, tty = pty.openpty()
                self.stack.callback(os.close, keyboard)

                def take_terminal(tty=tty):
                    os.setsid()
                    fcntl.ioctl(tty, termios.TIOCSCTTY, 0)

                server = self.launch(command=command, preexec_fn=take_terminal)
                os.close(tty)
                pid = self.upgrade_all(server, 1)
                client = self.open(server)
                self.begin_slow_call(client)
                os.write(keyboard, b"\x03")
                handoff.wait_for(lambda: self.ask("status")["state"] == "stopping", "the stop")
                seen = len(server.lines)
                os.kill(pid, signal.SIGUSR1)  # by then it has read the signals before
                server.wait_for_line(r"worker \d, pid \d+: ", seen)
                self.assertIsNone(server.process.poll())
                if times == 1:
                    self.end_slow_call()
                    self.assertEqual(client.receive(), {"out": "slow", "result": 1})
                else:
                    os.write(keyboard, b"\x03")
                self.assertEqual(server.process.wait(handoff.PATIENCE), 124 if times == 2 else 0)

    def test_ctrl_z_stops_all_masters_and_they_go_on(self):
        server = self.launch(preexec_fn=os.setpgrp)
        pid = self.upgrade_all(server, 2)
        os.killpg(server.pid, signal.SIGTSTP)
        handoff.wait_for(lambda: is_stopped(server.pid) and is_stopped(pid), "both to be stopped")
        os.killpg(server.pid, signal.SIGCONT)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
