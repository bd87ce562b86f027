# SPDX-License-Identifier: MIT
"""The process that was started stays when other masters serve in its place: whatever has started
it waits for it and signals it, and learns in the end how the server has ended."""

import contextlib
import fcntl
import os
import pathlib
import pty
import shlex
import signal
import socket
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from original_case import OriginalTest, WORKER, is_stopped  # noqa: E402
from upgrade_case import setUpModule  # noqa: E402,F401

KILLED = 128 + signal.SIGKILL


class Signals(OriginalTest):
    def test_term_to_the_original_process_stops_the_server_after_any_number_of_upgrades(self):
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
                    self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
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
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_term_while_the_original_process_drains_its_own_connections_waits_for_them_too(self):
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
                    self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
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
        self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
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
    def test_the_original_process_ends_with_the_status_of_the_master_that_served(self):
        server = self.launch()
        pid = self.upgrade_all(server, 2)
        self.assertEqual(self.stop(server, pid), 0)

    def test_the_original_process_ends_with_the_signal_that_killed_the_master(self):
        for times in (1, 3):
            with self.subTest(times=times):
                server = self.launch()
                pid = self.upgrade_all(server, times)
                os.kill(pid, signal.SIGKILL)
                self.assertEqual(server.process.wait(handoff.PATIENCE), KILLED)
                server.wait_for_line(rf"the master, pid {pid}: signal 9 \(Killed\)")
                self.assert_nobody_left(server)

    def test_a_stop_by_the_control_socket_ends_the_original_process(self):
        server = self.launch()
        self.upgrade_all(server, 2)
        self.assertIsNone(self.ask("stop"))
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)

    def test_when_the_original_process_is_killed_the_master_that_serves_stops_at_once(self):
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

    def test_when_the_original_process_is_killed_a_master_that_still_starts_ends_too(self):
        server = self.launch()
        pid = self.upgrade_all(server, 1)
        self.put_gate()
        os.kill(pid, signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGKILL)
        self.wait_for_end(pid)
        self.wait_for_end(successor)
        self.assert_nobody_left(server)


class Surroundings(OriginalTest):
    def test_a_shell_waits_for_the_original_process_and_stops_it_by_its_number(self):
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

    def test_the_original_process_may_be_process_1_of_a_container(self):
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
                    self.assertEqual(client.receive_last(), {"out": "slow", "result": 1})
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
