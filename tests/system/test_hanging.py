# SPDX-License-Identifier: MIT
"""Workers that hang (--hang-timeout): which are killed, what becomes of their clients, and who is
left alone."""

import contextlib
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import scripted_worker  # noqa: E402
from channel_messages import REQUESTS  # noqa: E402

NATIVE = handoff.BIN.parent / "tests/native_worker"
ANSWERS = 1  # the flag of HELLO

# A worker that does not hang answers in time on a loaded machine too.
TIMEOUT = "2s"
MODELS = ("connection", "listener", "queue")


class JoinedWorker(scripted_worker.Channel):
    """One that takes part in everything but answers no question."""

    def __init__(self, path, flags: int):
        super().__init__(scripted_worker.connect(path), credits=10, flags=flags)

    def wait_for_the_end(self):
        while self.channel.recv(4096):
            pass

    def is_open(self) -> bool:
        """Reads what has arrived."""
        self.channel.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while packet := self.channel.recv(4096):
                assert packet[3] == REQUESTS, packet
            return False
        return True


class HangingTest(handoff.TestCase):
    def master(self, *options: str, **more) -> handoff.Server:
        return self.start(handoff.master("-l", str(self.directory / "s"), *options, **more))

    def joinable_master(self, door: str, timeout: str) -> handoff.Server:
        server = self.master("-p", "connection", "-j", door, "--hang-timeout", timeout, workers=0,
                             ready=False)
        server.wait_for_line("ready, 0 workers")
        return server

    def wait_until_killed(self, server: handoff.Server, pid: int, timeout: str = TIMEOUT) -> str:
        line = server.wait_for_line(rf"pid {pid}: no answer within {timeout}, killed")
        handoff.wait_for(lambda: not handoff.alive(pid), "the worker to be gone")
        return line

    def let_time_pass(self, kills: int = 2):
        """As long as it takes another master to find out that workers hang, one after another."""
        server = self.start(handoff.master("-p", "connection", "--hang-timeout", TIMEOUT, workers=1))
        for _ in range(kills):
            with server.connect() as client:
                pid = client.result("info")["pid"]
            handoff.stop_process(pid)
            self.wait_until_killed(server, pid)


class Killed(HangingTest):
    def test_connections_that_it_has_not_started_go_to_another(self):
        server = self.master("-p", "connection", "--hang-timeout", TIMEOUT)
        stopped, other = server.worker_pids()
        handoff.stop_process(stopped)
        clients = [self.open(server) for _ in range(10)]
        for client in clients:
            client.send("info")
        pids = [client.receive()["result"]["pid"] for client in clients]
        self.assertNotIn(stopped, pids)
        self.assertIn(other, pids)
        self.assertIn("killed with 0 connections", self.wait_until_killed(server, stopped))
        self.assertEqual(server.stop(), 0)

    def test_connections_that_it_has_not_taken_go_to_another_long_before_it_is_killed(self):
        server = self.master("-p", "connection", "--hang-timeout", "8s")
        stopped, other = server.worker_pids()
        served = self.open(server)
        if served.result("info")["pid"] != stopped:
            served = self.open(server)
            self.assertEqual(served.result("info")["pid"], stopped)
        handoff.wait_for(lambda: handoff.sleeps(stopped), "the worker to have nothing to do")
        handoff.stop_process(stopped)
        clients = [self.open(server) for _ in range(10)]
        for client in clients:
            client.send("info")
            self.assertEqual(client.receive()["result"]["pid"], other)
        os.kill(stopped, signal.SIGCONT)
        self.assertEqual(served.result("info")["pid"], stopped)
        handoff.wait_for(lambda: self.pid_of_new_client(server) == stopped, "it to get clients again")
        self.assertFalse([line for line in server.lines if "no answer" in line])

    def pid_of_new_client(self, server: handoff.Server) -> int:
        return self.open(server).result("info")["pid"]

    def test_a_connection_that_it_has_served_goes_to_another_with_the_request_that_waits(self):
        server = self.master("-p", "connection", "--hang-timeout", TIMEOUT, workers=1)
        client = self.open(server)
        pid = client.result("info")["pid"]
        handoff.wait_for(lambda: handoff.sleeps(pid), "the worker to have nothing to do")
        handoff.stop_process(pid)
        client.send("info")
        self.assertNotEqual(client.receive()["result"]["pid"], pid)
        self.wait_until_killed(server, pid)

    def test_a_worker_that_hangs_is_replaced_and_clients_need_not_come_again(self):
        for model in MODELS:
            with self.subTest(model):
                path = str(self.directory / model)
                server = self.start(handoff.master("-l", path, "-p", model, "--hang-timeout",
                                                   TIMEOUT, workers=1))
                pid = server.worker_pids()[0]
                handoff.stop_process(pid)
                with server.connect() as client:
                    self.assertNotEqual(client.result("info")["pid"], pid)
                self.wait_until_killed(server, pid)
                self.assertEqual(server.stop(), 0)

    def test_a_worker_that_hangs_while_it_drains_is_killed_too(self):
        server = self.master("-p", "connection", "--hang-timeout", TIMEOUT, "--drain-timeout", "1h",
                             workers=1)
        pid = server.worker_pids()[0]
        handoff.stop_process(pid)
        server.kill(signal.SIGHUP)
        self.wait_until_killed(server, pid)
        with server.connect() as client:
            self.assertNotEqual(client.result("info")["pid"], pid)
        self.assertEqual(server.stop(), 0)

    def test_a_native_handler_that_keeps_its_thread_hangs(self):
        if not NATIVE.exists():
            self.skipTest("no native_worker")
        for model in MODELS:
            for threads in ("1", "3"):
                with self.subTest(model=model, threads=threads):
                    path = str(self.directory / f"{model}{threads}")
                    server = self.start(handoff.master(
                        "-l", path, "-p", model, "--hang-timeout", TIMEOUT, workers=1,
                        command=[str(NATIVE), "--threads", threads]))
                    pid = server.worker_pids()[0]
                    with server.connect() as client:
                        client.send("blocks")
                        self.wait_until_killed(server, pid)
                    with server.connect() as client:
                        self.assertEqual(client.result("ping", 1), 1)


class LeftAlone(HangingTest):
    def test_one_whose_hello_does_not_say_that_it_answers(self):
        door = str(self.directory / "j")
        self.joinable_master(door, "100ms")
        quiet = JoinedWorker(door, flags=0)
        self.addCleanup(quiet.channel.close)
        self.let_time_pass()
        self.assertTrue(quiet.is_open())

    def test_one_that_has_joined_keeps_what_it_holds_and_loses_its_channel(self):
        door = str(self.directory / "j")
        server = self.joinable_master(door, TIMEOUT)
        hung = JoinedWorker(door, flags=ANSWERS)
        self.addCleanup(hung.channel.close)
        hung.wait_for_the_end()
        server.wait_for_line(rf"pid {os.getpid()}: no answer within {TIMEOUT}, left alone with 0")
        self.assertEqual(server.stop(), 0)

    def test_one_that_is_busy_with_a_long_call_and_answers(self):
        server = self.master("-p", "connection", "--hang-timeout", TIMEOUT, workers=1,
                             command=[handoff.tool("rpc-worker"), "-C", "1",
                                      "-m", "slow=sleep 6; echo 1"])
        with server.connect() as client:
            self.assertEqual(client.result("slow"), 1)
        self.assertFalse([line for line in server.lines if "no answer" in line])

    def test_any_with_a_timeout_of_0(self):
        server = self.master("-p", "connection", "--hang-timeout", "0", workers=1)
        pid = server.worker_pids()[0]
        handoff.stop_process(pid)
        self.let_time_pass()
        os.kill(pid, signal.SIGCONT)
        with server.connect() as client:
            self.assertEqual(client.result("info")["pid"], pid)

    def test_one_whose_master_was_suspended(self):
        for who in ("the master", "both"):
            with self.subTest(who):
                server = self.master("-p", "connection", "--hang-timeout", TIMEOUT, workers=1)
                pid = server.worker_pids()[0]
                stopped = [server.pid, pid] if who == "both" else [server.pid]
                for each in stopped:
                    handoff.stop_process(each)
                self.let_time_pass()
                for each in stopped:
                    os.kill(each, signal.SIGCONT)
                self.let_time_pass(1)
                with server.connect() as client:
                    self.assertEqual(client.result("info")["pid"], pid)
                self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
