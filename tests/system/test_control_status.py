# SPDX-License-Identifier: MIT
"""What a master tells on its control socket of its workers, connections and calls is true."""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from control_case import ControlTest, MASTER, NO_METHOD, WORKER, WORKER_DIED, held  # noqa: E402


class Truth(ControlTest):
    """The numbers are true."""

    def test_connections_now_and_ever_and_requests(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(6)]
        for number, client in enumerate(clients):
            for _ in range(number + 1):
                client.result("ping")
        status = self.ask("status")
        self.assertEqual((status["accepted"], status["connections"], status["waiting"]), (6, 6, 0))
        if handoff.PASS == "connection":  # in turn
            self.assertEqual([each["connections"] for each in status["workers"]], [3, 3])
            self.assertEqual(sorted(each["requests"] for each in status["workers"]), [9, 12])
        self.assertEqual(sum(each["connections"] for each in status["workers"]), held(6))
        self.assertEqual(sum(each["requests"] for each in status["workers"]), 21)
        pipelined = b"".join(handoff.frame(b'{"in": "ping"}') for _ in range(1000))
        clients[0].socket.sendall(pipelined)
        for _ in range(1000):
            clients[0].receive()
        self.assertEqual(sum(each["requests"] for each in self.ask("workers")), 1021)
        for client in clients[:4]:
            client.close()
        handoff.wait_for(lambda: self.ask("status")["connections"] == 2, "the ends to be seen")
        status = self.ask("status")
        self.assertEqual(status["accepted"], 6)
        self.assertEqual(sum(each["connections_ever"] for each in status["workers"]), held(6))
        self.assertEqual(sum(each["connections"] for each in status["workers"]), held(2))

    def test_requests_that_failed_count_and_those_of_the_control_socket_do_not(self):
        server = self.launch(workers=1)
        client = self.open(server)
        client.call("no-such-method")
        client.result("ping")
        for _ in range(5):
            self.ask("status")
        self.assertEqual(self.worker(1)["requests"], 2)
        self.assertEqual(self.worker(1)["errors"], {str(NO_METHOD): 1})
        self.assertEqual(self.ask("status")["errors"], {str(NO_METHOD): 1})

    def test_calls_under_way_are_told_without_asking_a_worker(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch(workers=1, command=[WORKER, "-m", f"slow=cat {gate}"])
        client = self.open(server)
        client.send("slow")
        handoff.wait_for(lambda: self.ask("status")["calls"] == 1, "the call to begin")
        handoff.wait_for(lambda: self.worker(1)["calls"] == 1, "the worker to have it")
        os.kill(self.worker(1)["pid"], signal.SIGSTOP)
        self.assertEqual(self.worker(1)["calls"], 1)
        os.kill(self.worker(1)["pid"], signal.SIGCONT)
        with open(gate, "w", encoding="ascii") as opened:
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual((self.ask("status")["calls"], self.worker(1)["calls"]), (0, 0))

    def test_totals_survive_a_reload_a_kill_and_a_scale_down(self):
        server = self.launch(workers=2)
        wanted = 0

        def ask_some():
            nonlocal wanted
            for _ in range(6):
                client = self.open(server)
                client.result("ping")
                client.call("no-such-method")
                client.close()
                wanted += 1
            self.assert_totals(wanted)
        ask_some()
        self.ask("reload")
        self.wait_until_settled(2)
        self.assert_totals(wanted)
        ask_some()
        os.kill(self.worker(2)["pid"], signal.SIGKILL)
        self.wait_for_worker(2, restarts=1, state="ready")
        self.assert_totals(wanted)
        ask_some()
        self.assertEqual(self.ask("scale", {"workers": 1}), {"workers": 1})
        self.wait_until_settled(1)
        self.assert_totals(wanted)
        ask_some()

    @handoff.only("connection", because="only their connections are kept")
    def test_what_became_of_the_connections_of_a_killed_worker(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch(workers=1, command=[WORKER, "-m", f"slow=cat {gate}"])
        idle = [self.open(server) for _ in range(2)]
        for client in idle:
            client.result("ping")
        caller = self.open(server)
        caller.send("slow")
        handoff.wait_for(lambda: self.worker(1)["calls"] == 1, "the call to begin")
        os.kill(self.worker(1)["pid"], signal.SIGKILL)
        self.assertEqual(caller.receive()["result"]["code"], WORKER_DIED)
        for client in (*idle, caller):
            self.assertEqual(client.result("ping", 1), 1)
        status = self.ask("status")
        self.assertEqual((status["rescued"], status["lost"]),
                         ({"moved": 2, "answered": 1, "closed": 0}, 0))
        self.assertEqual((status["requests"], status["errors"], status["calls"]),
                         (6, {str(WORKER_DIED): 1}, 0))

    @handoff.only("queue", because="the master answers there")
    def test_errors_that_the_master_itself_answers_are_counted_on_all_threads(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch("--io-threads", "3", workers=1,
                             command=[WORKER, "-m", f"slow=cat {gate}"])
        callers = [self.open(server) for _ in range(4)]
        for caller in callers:
            caller.send("slow")
        handoff.wait_for(lambda: self.worker(1)["calls"] == 4, "the calls to begin")
        self.assertEqual(self.ask("status")["calls"], 4)
        os.kill(self.worker(1)["pid"], signal.SIGKILL)
        for caller in callers:
            self.assertEqual(caller.receive()["result"]["code"], WORKER_DIED)
        status = self.ask("status")
        self.assertEqual((status["requests"], status["errors"], status["calls"]),
                         (4, {str(WORKER_DIED): 4}, 0))

    def assert_totals(self, wanted: int):
        status = self.ask("status")
        self.assertEqual((status["requests"], status["errors"], status["calls"]),
                         (2 * wanted, {str(NO_METHOD): wanted}, 0))

    def test_a_killed_worker(self):
        server = self.launch()
        before = self.ask("workers")
        self.assertEqual([(each["restarts"], each["last_exit"]) for each in before],
                         [(0, None), (0, None)])
        os.kill(before[0]["pid"], signal.SIGKILL)
        now = self.wait_for_worker(1, restarts=1, state="ready")
        self.assertNotEqual(now["pid"], before[0]["pid"])
        self.assertEqual(now["last_exit"], "signal 9 (Killed)")
        self.assertLess(now["age"], self.worker(2)["age"])
        self.assertEqual((now["connections_ever"], now["requests"]), (0, 0))
        self.assertEqual(self.worker(2)["restarts"], 0)
        self.assertIn(now["pid"], server.worker_pids())

    def test_a_worker_that_crashes_again_and_again_pauses(self):
        marker = self.directory / "broken"
        server = self.launch("--backoff", "60s:60s", command=[
            "sh", "-c", f'test -e "{marker}" && exit 3; exec "$0"', WORKER])
        marker.touch()
        pid = self.worker(2)["pid"]
        os.kill(pid, signal.SIGKILL)
        server.wait_for_line("worker 2: started again in")
        now = self.wait_for_worker(2, state="pausing")
        self.assertEqual((now["pid"], now["last_exit"], now["restarts"], now["connections"]),
                         (0, "exit status 3", 1, 0))
        self.assertEqual(self.worker(1)["state"], "ready")

    def test_the_age_of_a_worker_grows(self):
        self.launch(workers=1)
        first = self.ask("status")
        asked = time.monotonic()
        handoff.wait_for(lambda: self.ask("status")["age"] > first["age"] + 0.05, "time to pass")
        second = self.ask("status")
        passed = time.monotonic() - asked
        for one, other in ((first, second), (first["workers"][0], second["workers"][0])):
            self.assertLessEqual(other["age"] - one["age"], passed + 0.5)
            self.assertGreater(other["age"], one["age"])
        self.assertLess(first["workers"][0]["age"], first["age"])

    def test_workers_that_join(self):
        join = self.path("join")
        server = self.start(handoff.Server(
            *MASTER, "-l", "127.0.0.1:0", "-j", join, "-c", self.control, "-n", "1", "--", WORKER,
            ready=False))
        line = server.wait_for_line(": ready, ")
        server.addresses = [handoff.parse_address(line.split(" on ", 1)[1].split()[0])]
        joined = self.start(handoff.Server(WORKER, "-j", join, ready=False))
        now = self.wait_for_worker(2, state="ready")
        self.assertEqual((now["pid"], now["joined"], now["restarts"], now["last_exit"]),
                         (joined.pid, True, 0, None))
        self.assertFalse(self.worker(1)["joined"])
        clients = [self.open(server) for _ in range(4)]
        for client in clients:
            client.result("ping")
        workers = self.ask("workers")
        for key in ("connections", "requests"):
            if handoff.PASS == "connection":  # in turn
                self.assertEqual([each[key] for each in workers], [2, 2])
            wanted = held(4) if key == "connections" else 4
            self.assertEqual(sum(each[key] for each in workers), wanted)
        self.assertEqual(self.ask("reload"), {"workers": 2})
        self.assertEqual(self.worker(2)["pid"], joined.pid, "it stays")
        self.assertEqual(self.ask("drain", {"worker": 2}), {"workers": 1})
        self.assertEqual(joined.process.wait(handoff.PATIENCE), 0)
        self.wait_until_settled(1)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)
        self.assertEqual(self.ask("status")["connections"], 4)

    def test_a_stopped_worker_does_not_hold_the_answer_up(self):
        server = self.launch()
        stuck = server.worker_pids()[0]
        os.kill(stuck, signal.SIGSTOP)
        clients = [self.open(server) for _ in range(10)]
        for client in clients:
            client.send("ping", 1)
        handoff.wait_for(lambda: self.ask("status")["accepted"] == 10, "all to be accepted")
        status = self.ask("status")
        self.assertEqual(status["connections"], 10)
        if handoff.PASS == "connection":  # in turn
            self.assertEqual([each["connections"] for each in status["workers"]], [5, 5])
        os.kill(stuck, signal.SIGCONT)
        for client in clients:
            client.receive()
        self.assertEqual(sum(each["requests"] for each in self.ask("workers")), 10)

    def test_the_status_stays_true_through_reloads_kills_and_scaling(self):
        server = self.launch(workers=2)
        client = self.open(server)
        client.result("ping")
        for step in range(handoff.count(50, 5)):
            self.ask("reload")
            self.ask("scale", {"workers": 3})
            self.wait_until_settled(3)
            os.kill(self.worker(3)["pid"], signal.SIGKILL)
            self.ask("drain", {"worker": 1})
            self.ask("scale", {"workers": 2})
            self.wait_until_settled(2)
            status = self.ask("status")
            self.assertEqual({each["pid"] for each in status["workers"]},
                             set(server.worker_pids()))
            self.assertEqual((status["connections"], status["accepted"], status["reloads"]),
                             (1, 1, step + 1))
            self.assertEqual(client.result("ping", step), step)


if __name__ == "__main__":
    handoff.run_tests()
