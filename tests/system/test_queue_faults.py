# SPDX-License-Identifier: MIT
"""--pass queue: workers that are killed at each step of the protocol, that hang or answer late.
Each request is answered once, by its own worker, or with an error."""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import queue_worker  # noqa: E402
from queue_case import (  # noqa: E402
    BUSY, QUEUE_WORKER, QUICK, TIMED_OUT, WORKER, WORKER_DIED, clients_of)
from queue_fault_case import AT_ONCE, FaultTest  # noqa: E402

# What a worker had not begun when it died.
NOT_BEGUN = queue_worker.STEPS[:queue_worker.STEPS.index("begun")]
BEGUN = ["begun", "executed", "written"]


class Dying(FaultTest):
    """SIGKILL at each step."""

    def test_what_was_not_begun_is_executed_once_by_another(self):
        for step in NOT_BEGUN:
            with self.subTest(step):
                replies, executed, counts = self.die_at(step)
                self.assertEqual(replies, {f"victim-{number}": f"victim-{number}"
                                           for number in range(6)})
                self.assertEqual(sorted(executed), sorted(replies))
                self.assertEqual(counts["died"], 0)

    def test_what_was_begun_is_an_error_and_not_executed_again(self):
        for step in BEGUN:
            with self.subTest(step):
                replies, executed, counts = self.die_at(step)
                lost = [value for value, reply in replies.items() if reply == WORKER_DIED]
                self.assertEqual(len(lost), 1, replies)
                self.assertEqual({value for value, reply in replies.items() if reply != value},
                                 set(lost))
                self.assertEqual(executed.count(lost[0]), 0 if step == "begun" else 1)
                self.assertEqual(len(executed), len(set(executed)), executed)
                self.assertEqual((counts["died"], counts["redispatched"]), (1, 0))

    def test_what_may_be_executed_twice_is_given_to_another(self):
        for step in BEGUN:
            with self.subTest(step):
                replies, executed, counts = self.die_at(step, "--idempotent", "echo")
                self.assertEqual(replies, {f"victim-{number}": f"victim-{number}"
                                           for number in range(6)})
                self.assertEqual(len(executed), 6 if step == "begun" else 7, executed)
                self.assertEqual((counts["died"], counts["redispatched"]), (0, 1))

    def test_what_was_answered_is_a_reply_even_when_nobody_was_woken(self):
        for step in ("published", "woken"):
            with self.subTest(step):
                replies, executed, counts = self.die_at(step)
                self.assertEqual(replies, {f"victim-{number}": f"victim-{number}"
                                           for number in range(6)})
                self.assertEqual(sorted(executed), sorted(replies))
                self.assertEqual((counts["died"], counts["late"]), (0, 0))
                # The next one may have been on its way already.
                self.assertLessEqual(counts["redispatched"], 1)

    def die_at(self, step: str, *options: str):
        """Two workers, one of which kills itself there, once. What six clients get, what the
        workers executed, and the queue's counts."""
        name = f"{step}{len(options)}"
        self.control = self.path(f"control-{name}")
        log = self.path(f"log-{name}")
        marker = self.path(f"marker-{name}")
        # Both write the log: there is no -- behind which another would stand.
        server = self.start(handoff.master(
            "--pass", "queue", "-c", self.control, *AT_ONCE, *options, workers=2, command=[
                sys.executable, "-B", QUEUE_WORKER, "die", step, marker, log]))
        clients = {f"victim-{number}": self.open(server) for number in range(6)}
        for value, client in clients.items():
            client.send("echo", value)
        replies = {}
        for value, client in clients.items():
            reply = client.receive()
            replies[value] = (reply["result"] if reply["out"] == "echo" else
                              reply["result"]["code"])
        self.assertTrue(os.path.exists(marker), "one has died")
        for value, client in clients.items():
            self.assertEqual(client.result("echo", value + "again"), value + "again")
        # All may be answered before it is dead.
        victim = int(pathlib.Path(marker).read_text())
        handoff.wait_for(lambda: victim not in server.worker_pids(), "one to go", QUICK)
        handoff.wait_for(lambda: self.ready_workers() == 2, "both workers", QUICK)
        self.assert_whole(server, 16)
        executed = [json.loads(line) for line in pathlib.Path(log).read_text().splitlines()]
        executed = [value for value in executed
                    if isinstance(value, str) and not value.endswith("again")]
        counts = self.queue()
        self.assertEqual(server.stop(), 0)
        return replies, executed, counts

    def kill_workers(self, server, load, until):
        """One after another, at any time."""
        chance = random.Random(14)
        kills = 0
        while not until(kills) and not load.problems:
            pids = server.worker_pids()
            if pids and kill_child(server, chance.choice(pids)):
                kills += 1
            if kills % 10 == 0:
                load.go_on(1)
        return kills

    def test_after_many_kills_each_request_was_answered_once_and_no_place_is_lost(self):
        wanted = handoff.count(100_000, 500)
        server = self.launch(*AT_ONCE, "--queue-limit", "64", workers=4,
                             command=[WORKER, "-C", "4"])
        self.open(server).result("ping")
        descriptors = handoff.descriptor_count(server.pid)
        with clients_of(server.address, connections=6, ahead=4, allowed=[WORKER_DIED]) as load:
            kills = self.kill_workers(server, load, lambda kills: kills >= wanted)
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(kills, wanted)
        counts = self.wait_for_queue(waiting=0, running=0)
        self.assertEqual(load.total_errors().get(WORKER_DIED, 0), counts["died"])
        self.assertEqual(self.ask("status")["accepted"], 7)
        handoff.wait_for(lambda: self.ready_workers() == 4, "all workers", QUICK)
        self.assert_whole(server, 64)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors,
                         "no descriptor is left open", QUICK)

    def test_with_an_idempotent_method_no_client_notices_a_kill(self):
        load, counts = self.kill_every_100_ms("--idempotent", "ping")
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(counts["died"], 0)

    def test_without_an_idempotent_method_exactly_the_calls_that_ran_are_errors(self):
        load, counts = self.kill_every_100_ms()
        self.assertEqual(load.problems, [])
        self.assertEqual(load.total_errors().get(WORKER_DIED, 0), counts["died"])

    def kill_every_100_ms(self, *options: str):
        server = self.launch(*AT_ONCE, *options, workers=4, command=[WORKER, "-C", "4"])
        chance = random.Random(2)
        end = time.monotonic() + handoff.count(30, 2)
        with clients_of(server.address, connections=8, ahead=4, allowed=[WORKER_DIED]) as load:
            while time.monotonic() < end and not load.problems:
                kill_child(server, chance.choice(server.worker_pids() or [0]))
                threading.Event().wait(0.1)  # the pace of the kills, and of nothing else
            load.go_on()
        self.assertEqual(self.ask("status")["accepted"], 8, "each connection lived on")
        return load, self.wait_for_queue(waiting=0, running=0)

    def test_calls_of_commands_die_with_their_worker_and_others_do_not(self):
        gate = self.gate()
        server = self.launch(*AT_ONCE, command=[WORKER, "-m", "slow=" + self.waiting_at(gate)])
        clients = self.clients(server, 8)
        for client in clients:
            client.send("slow")
        victim, other = server.worker_pids()
        for pid in (victim, other):
            handoff.wait_for(lambda: len(handoff.children(pid)) == 4, "four on each", QUICK)
        os.kill(victim, signal.SIGKILL)
        self.assertEqual(self.wait_for_queue(running=4)["died"], 4)
        self.open_gate(gate)
        replies = [client.receive() for client in clients]
        self.assertEqual(sum(reply["out"] == "error" for reply in replies), 4)
        for reply in replies:
            if reply["out"] == "error":
                self.assert_error(reply, WORKER_DIED)
        for client in clients:
            self.assertEqual(client.result("ping", 1), 1)

    def test_what_a_hung_worker_has_not_begun_goes_to_others_when_it_is_killed(self):
        server = self.launch(*AT_ONCE, workers=2, command=[WORKER, "-C", "100"])
        victim = server.worker_pids()[0]
        handoff.stop_process(victim)
        clients = self.clients(server, 50)
        for number, client in enumerate(clients):
            client.send("ping", number)
        self.wait_for_queue(waiting=0)
        os.kill(victim, signal.SIGKILL)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})
        self.assertEqual(self.queue()["died"], 0)


class Joining(FaultTest):
    """Of a worker that others have started, the end of its channel says nothing of its own."""

    def with_joined(self, *options: str):
        """A master, and the test as its only worker, for three calls at a time."""
        door = self.path("join")
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "--pass", "queue", "-l", "127.0.0.1:0", "-j", door,
            "-c", self.control, *options, ready=False))
        line = server.wait_for_line(": ready, .* on ")
        server.addresses = [handoff.parse_address(re.search(" on ([^ ]+)", line).group(1))]
        return server, self.another(door)

    def another(self, door: str):
        worker = queue_worker.QueueWorker.join(door, calls=3)
        self.stack.callback(worker.channel.close)
        worker.begin()
        return worker

    def test_what_a_joined_worker_was_given_may_still_run_and_is_not_run_by_another(self):
        server, leaving = self.with_joined("--idempotent", "get")
        staying = self.another(self.path("join"))
        clients = self.clients(server, 6)
        for number, client in enumerate(clients):
            client.send("get" if number == 5 else "set", number)
        self.wait_for_queue(running=6)
        given = []
        while len(given) < 3:
            leaving.wait(QUICK)
            given.append(int(leaving.copy().params))
        leaving.channel.close()
        lost = [number for number in given if number != 5]
        self.wait_for_queue(died=len(lost))
        done = []
        while len(done) < 6 - len(lost):
            request = staying.take(QUICK)
            done.append(int(request.params))
            staying.echo(request)
        self.assertEqual(sorted(done + lost), list(range(6)))
        for number, client in enumerate(clients):
            reply = client.receive()
            if number in lost:
                self.assert_error(reply, WORKER_DIED)
            else:
                self.assertEqual(reply["result"], number)
        self.assertEqual(self.queue()["redispatched"], 3 - len(lost))

    def test_a_joined_worker_that_lies_loses_its_channel(self):
        server, liar = self.with_joined()
        client, other = self.clients(server, 2)
        client.send("ping", 1)
        request = liar.take(QUICK)
        liar.answer(request.ticket, b"no JSON")
        server.wait_for_line("worker 1, pid [0-9]+: it sent a reply that is no JSON; sent away$")
        self.assert_error(client.receive(), WORKER_DIED)
        other.send("ping", 2)
        with self.assertRaises((queue_worker.Gone, ConnectionResetError)):
            while liar.receive(QUICK):
                pass
        self.assertFalse(liar.has_request())
        honest = self.another(self.path("join"))
        honest.echo(honest.take(QUICK))
        self.assertEqual(other.receive(), {"out": "pong", "result": 2})


def kill_child(server, pid: int) -> bool:
    """If it still is one of the master's."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if pid not in server.worker_pids() or not handoff.alive(pid):
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return True
        finally:
            os.close(descriptor)
    return False


class Late(FaultTest):
    def test_a_late_reply_is_dropped_and_never_answers_another_request(self):
        gate = self.gate()
        going = self.path("going")
        server = self.with_deed("answer_late", going, gate, workers=1,
                                options=["--timeout", "1500ms", "--queue-limit", "1"])
        first, second = self.clients(server, 2)
        before = time.monotonic()
        first.send("ping", "first")
        handoff.wait_for(lambda: os.path.exists(going), "the worker to have it", QUICK)
        self.assert_error(first.receive(), TIMED_OUT)
        self.assertLess(time.monotonic() - before, QUICK)
        self.wait_for_queue(running=0, waiting=0, late=0)
        # There is but one place.
        second.send("ping", "second")
        self.wait_for_queue(running=1)
        self.open_gate(gate)
        self.assertEqual(second.receive(), {"out": "pong", "result": "second"})
        self.assertEqual(self.wait_for_queue(running=0, waiting=0)["late"], 1)
        self.assertEqual(first.result("ping", "third"), "third")

    def test_the_workers_deadline_is_the_clients(self):
        server = self.launch("--timeout", "300ms", command=[WORKER, "-m", "hangs=sleep 1000"])
        client = self.open(server)
        for _ in range(3):
            self.assert_error(client.call("hangs"), TIMED_OUT)
        self.wait_for_queue(running=0, late=0)
        for pid in server.worker_pids():
            handoff.wait_for(lambda: not handoff.children(pid), "the commands to end", QUICK)

    def test_the_workers_own_deadline_counts_when_it_is_shorter(self):
        server = self.launch("--timeout", "0",
                             command=[WORKER, "--timeout", "300ms", "-m", "hangs=sleep 1000"])
        self.assert_error(self.open(server).call("hangs"), TIMED_OUT)


class Prefetched(FaultTest):
    """A worker that takes little time for a request has more of them than it runs."""

    def hold(self):
        """The only worker has begun a request and does not answer it, and has six more. The server,
        the client of the first, those of the others, and what lets the worker go on."""
        going, gate, self.log = self.path("going"), self.gate("holding"), self.path("log")
        server = self.with_deed("hold", going, gate, self.log, workers=1)
        held, *clients = self.clients(server, 7)
        held.result("echo", "tells how long it takes")
        held.send("echo", "hold")
        handoff.wait_for(lambda: os.path.exists(going), "the worker to hold", QUICK)
        for number, client in enumerate(clients):
            client.send("echo", f"more-{number}")
        self.wait_for_queue(running=1, waiting=6)
        return server, held, clients, lambda: self.open_gate(gate)

    def assert_answered(self, clients):
        self.assertEqual([client.receive()["result"] for client in clients],
                         [f"more-{number}" for number in range(len(clients))])

    def said(self) -> list[str]:
        """What the worker has executed, or given back, of the six."""
        lines = pathlib.Path(self.log).read_text().splitlines()
        return [line for line in lines if "more" in line]

    def test_what_a_busy_worker_has_not_begun_goes_to_another_that_is_free(self):
        server, held, clients, let_go = self.hold()
        os.kill(server.pid, signal.SIGTTIN)
        self.assert_answered(clients)
        self.assertEqual(self.said(), [])
        let_go()
        self.assertEqual(held.receive()["result"], "hold")
        self.wait_for_queue(running=0, waiting=0, late=0, redispatched=0)
        handoff.wait_for(lambda: self.said() == [f'not "more-{i}"' for i in range(6)],
                         "the worker to give them back", QUICK)

    def test_a_worker_begins_prefetched_requests_when_it_has_time(self):
        _, held, clients, let_go = self.hold()
        let_go()
        self.assertEqual(held.receive()["result"], "hold")
        self.assert_answered(clients)
        self.assertEqual(self.said(), [f'"more-{i}"' for i in range(6)])

    def test_what_a_worker_has_not_begun_when_it_dies_is_executed_once(self):
        server, held, clients, _ = self.hold()
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        self.assert_error(held.receive(), WORKER_DIED)
        self.assert_answered(clients)
        self.assertEqual(sorted(self.said()), [f'"more-{i}"' for i in range(6)])
        self.assertEqual(self.queue()["redispatched"], 6)
        self.assert_serves(server, 1)

    def test_what_a_worker_has_not_begun_when_it_is_to_leave_goes_to_its_successor(self):
        server, held, clients, let_go = self.hold()
        os.kill(server.pid, signal.SIGHUP)
        self.assert_answered(clients)
        let_go()
        self.assertEqual(held.receive()["result"], "hold")
        handoff.wait_for(lambda: len(self.said()) == 12, "all to be given back", QUICK)
        self.assertEqual(sorted(self.said())[6:], [f'not "more-{i}"' for i in range(6)])


class Waking(FaultTest):
    """Processes that are stopped and go on at any time: nobody sleeps while there is work."""

    def load_with_delays(self, concurrency: str, calls: int, workers: int = 2, ahead: int = 16):
        server = self.launch(workers=workers, command=[WORKER, "-C", concurrency])
        chance = random.Random(19)
        over = threading.Event()
        pids = [server.pid, *server.worker_pids()]

        def delay():
            while not over.wait(chance.random() * 0.01):
                pid = chance.choice(pids)
                os.kill(pid, signal.SIGSTOP)
                over.wait(chance.random() * 0.005)
                os.kill(pid, signal.SIGCONT)
        thread = threading.Thread(target=delay)
        with clients_of(server.address, connections=5, ahead=ahead, calls=calls // 5) as load:
            thread.start()
            load.join()
            over.set()
            thread.join()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assertEqual(sum(load.answered), calls)
        self.assert_serves(server, workers)

    def test_no_wake_up_is_lost_with_one_call_at_a_time(self):
        self.load_with_delays("1", handoff.count(5_000_000, 40_000))

    def test_no_wake_up_is_lost_with_eight_calls_at_a_time(self):
        self.load_with_delays("8", handoff.count(5_000_000, 40_000))

    def test_no_wake_up_is_lost_when_all_sleep_after_each_call(self):
        self.load_with_delays("1", handoff.count(500_000, 10_000), workers=1, ahead=1)


class Crowding(FaultTest):
    def test_with_the_queue_full_and_workers_dying_each_is_answered(self):
        server = self.launch(*AT_ONCE, "--queue-limit", "4", workers=2, command=[WORKER, "-C", "1"])
        with clients_of(server.address, connections=20, ahead=2,
                  allowed=[WORKER_DIED, BUSY]) as load:
            for _ in range(handoff.count(5_000, 50)):
                handoff.wait_for(lambda: kill_child(server, max(server.worker_pids() or [0])),
                                 "a worker to kill", QUICK)
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(load.total_errors().get(WORKER_DIED, 0), self.queue()["died"])
        handoff.wait_for(lambda: all(map(handoff.alive, server.worker_pids())),
                         "those that were killed to be gone", QUICK)
        self.assert_serves(server)
        self.assert_whole(server, 4)


if __name__ == "__main__":
    handoff.run_tests()
