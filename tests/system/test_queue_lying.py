# SPDX-License-Identifier: MIT
"""--pass queue: workers that lie, or attack the memory that they share with their master."""

import errno
import json
import os
import pathlib
import random
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import queue_worker  # noqa: E402
from queue_case import QUICK, TIMED_OUT, WORKER, WORKER_DIED, clients_of  # noqa: E402
from queue_fault_case import FaultTest  # noqa: E402


class Lying(FaultTest):
    """What a worker may do to its memory and its channel. The other serves meanwhile."""

    def lie(self, *deed: str, says: str, options=()):
        """The first worker does it again and again, as long as there are requests."""
        self.control = self.path(f"control-{random.getrandbits(64)}")
        server = self.with_deed(*deed, options=options)
        with clients_of(server.address, connections=4, ahead=2, allowed=[WORKER_DIED]) as load:
            load.go_on()
            for number in range(2):
                handoff.wait_for(lambda: load.problems or self.count_lines(server, says) > number,
                                 f"a line with {says}", QUICK)
                load.go_on(20)
        self.assertEqual(load.problems, [])
        self.assertGreaterEqual(self.count_lines(server, says), 2, server.lines)
        self.assert_serves(server)
        self.assertEqual(load.total_errors().get(WORKER_DIED, 0), self.queue()["died"])
        # One that is killed and not gone yet when the master stops counts as cut off.
        handoff.wait_for(lambda: not self.killed(server, says) & set(server.worker_pids()),
                         "those that were killed to be gone", QUICK)
        found = self.count_lines(server, says)
        status = server.stop()
        # The last one may be found out, and killed, only while the master stops.
        found_at_the_stop = self.count_lines(server, says) > found
        self.assertEqual(status, 124 if found_at_the_stop else 0, server.lines)

    @staticmethod
    def killed(server, says: str) -> set[int]:
        found = (re.search(rf"worker 1, pid (\d+): {says}; killed$", line)
                 for line in list(server.lines))
        return {int(match[1]) for match in found if match}

    def count_lines(self, server, says: str) -> int:
        return len(self.killed(server, says))

    def test_a_worker_that_scribbles_over_all_of_its_memory_harms_itself_alone(self):
        for seed in range(handoff.count(100, 3)):
            with self.subTest(seed):
                self.lie("scribble", str(seed), says="it .*")

    def test_a_worker_that_tells_a_wrong_end_of_its_replies_is_killed(self):
        for offset in (1, 7, 8, 100_000_000, 2**63, -8, -1, 2**64 - 2**20, 2**21 + 8, 12345):
            with self.subTest(offset):
                self.lie("say_written", str(offset), says="it (broke the queue's memory|sent .*)")

    def test_a_worker_that_has_read_what_was_never_written_is_killed(self):
        for offset in (1000, 10**9, 2**63):
            with self.subTest(offset):
                self.lie("say_read", str(offset), says="it broke the queue's memory")

    def test_a_worker_that_writes_records_of_a_wrong_size_is_killed(self):
        for size in (2**64 - 1, 2**64 - 8, 2**64 - 16, 2**63, 2**32, 2**21, 100, 1000):
            with self.subTest(size):
                self.lie("say_size", str(size), says="it broke the queue's memory")
        for size in (0, 8, 23):
            with self.subTest(size):
                self.lie("say_little", str(size), says="it sent no valid reply")

    def test_a_worker_that_writes_parts_of_a_wrong_size_is_killed(self):
        for sizes in ((2**32 - 1, 2**32 - 1), (2**32 - 1, 0), (0, 2**32 - 1), (0, 0), (1000, 0),
                      (2**31, 2**31)):
            with self.subTest(sizes):
                self.lie("say_sizes", *map(str, sizes), says="it sent no valid reply")

    def test_a_worker_whose_replies_are_no_json_is_killed(self):
        for text in ("", "{", "nul", "1 2", '"\udcff"', "[" * 65 + "]" * 65, "[" * 100_000,
                     "\0", '{"a":1', "\ufeff1", '"\n"'):
            with self.subTest(text[:20]):
                if "\0" not in text:
                    self.lie("answer_badly", text, says="it sent a reply that is no JSON")
        self.lie("fail_badly", "{", says="it sent a reply that is no JSON")

    def test_a_worker_that_writes_more_replies_than_requests_is_killed(self):
        self.lie("answer_twice", says="it answered more requests than it was given")
        for ticket in (0, 1, 2**32 - 1, 2**64 - 1, 1023 | 5 << 32, 10**6):
            with self.subTest(ticket):
                self.lie("answer_unknown", str(ticket),
                         says="it answered more requests than it was given")

    def test_a_worker_that_gives_back_a_request_though_nobody_took_it_back_is_killed(self):
        self.lie("give_back_what_it_has_begun",
                 says="it gave back a request that was not taken back")

    def test_a_worker_that_sends_messages_that_have_no_place_here_is_killed(self):
        one = "0100000000000000"
        for kind, payload, count, descriptors, says in (
                (queue_worker.HELLO, "010000000100000001000000", 0, 0, "it sent a second HELLO"),
                (queue_worker.STARTED, one, 1, 0, "it started a connection that it was not given"),
                (queue_worker.STARTED, "01000000000000f0", 1, 0, "it started a connection .*"),
                (queue_worker.REFUSED, one, 1, 0, "it refused a connection .*"),
                (queue_worker.FINISHED, one, 1, 0, "it finished more connections .*"),
                (queue_worker.RETURN, one + "0000000000000000", 1, 1,
                 "it returned a connection that it did not have"),
                (queue_worker.CONNECTION, one + "0000000000000000", 1, 0, "it sent a message .*"),
                (queue_worker.DRAIN, "", 0, 0, "it sent a message that only a master sends"),
                (queue_worker.QUEUE, "", 2, 2, "it sent a descriptor with a message .*"),
                (queue_worker.QUEUE, one, 0, 0, "it sent no valid message"),
                (queue_worker.QUEUE, "", 17, 0, "it sent no valid message"),
                (99, "", 0, 0, "it sent no valid message")):
            with self.subTest((kind, says)):
                self.lie("send_message", str(kind), payload, str(count), str(descriptors),
                         says=says)

    def test_messages_that_have_no_meaning_here_are_none(self):
        for kind, payload, count in ((queue_worker.LISTENER, "", "0"),
                                     (queue_worker.QUEUE, "", "2"),
                                     (queue_worker.READY, "", "0"),
                                     (queue_worker.REQUESTS, "ff" * 8, "0")):
            with self.subTest(kind):
                self.control = self.path(f"control-{kind}")
                server = self.with_deed("send_message", str(kind), payload, count,
                                        options=["--timeout", "500ms"])
                with clients_of(server.address, connections=4, ahead=1, allowed=[TIMED_OUT]) as load:
                    load.go_on(20)
                self.assertEqual(load.problems, [])
                self.assertIsNone(server.process.poll())

    def test_a_worker_that_replies_to_a_request_of_another_worker_is_killed(self):
        gate, liars = self.gate(), self.gate("liars")
        server = self.with_deed("answer_others", liars,
                                worker=[WORKER, "-m", "slow=" + self.waiting_at(gate)])
        clients = self.clients(server, 2)
        for client in clients:
            client.send("slow")
        self.wait_for_queue(running=2)
        self.open_gate(liars)
        server.wait_for_line(
            "worker 1, pid [0-9]+: it answered a request that it was not given; killed$")
        self.wait_for_queue(running=1, died=1)
        self.open_gate(gate)
        replies = sorted((client.receive() for client in clients), key=lambda one: one["out"])
        self.assert_error(replies[0], WORKER_DIED)
        self.assertEqual(replies[1], {"out": "slow", "result": "opened"})

    def test_errors_may_say_anything(self):
        server = self.with_deed("fail_strangely", workers=1)
        client = self.open(server)
        for _ in range(3):
            reply = client.call("ping")
            self.assertEqual(reply["result"]["code"], -2**31)
            self.assertEqual(reply["result"]["data"], {"\0": [1]})
            self.assertIn('"\\\0\n', reply["result"]["message"])

    def test_a_worker_that_never_says_what_it_has_read_holds_up_nobody(self):
        gate = self.gate()
        server = self.with_deed("never_read", options=["--max-frame", "1000"],
                                worker=[WORKER, "-m", "slow=" + self.waiting_at(gate)])
        blocking = self.clients(server, 8)
        for client in blocking:
            client.send("slow")
        # The one that lies answers at once; what the other has waits.
        handoff.wait_for(lambda: handoff.children(server.worker_pids()[1]), "commands", QUICK)
        with clients_of(server.address, calls=handoff.count(20_000, 2_000)) as load:
            load.join()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.open_gate(gate)
        for client in blocking:
            self.assertEqual(client.receive()["out"], "slow")
        self.assertIsNone(server.process.poll())

    def test_a_worker_that_always_claims_to_sleep_is_woken_in_vain(self):
        server = self.with_deed("claim_sleep")
        with clients_of(server.address, calls=5_000) as load:
            load.join()
        self.assertEqual((load.problems, load.total_errors()), ([], {}))
        self.assert_serves(server)


class Attacking(FaultTest):
    def test_nobody_can_change_the_requests_or_the_size_of_the_replies(self):
        result = self.path("errors")
        server = self.with_deed("attack", result, workers=1)
        handoff.wait_for(lambda: os.path.exists(result), "the attempts", QUICK)
        errors = json.loads(pathlib.Path(result).read_text())
        for name in ("requests", "replies"):
            for what in ("smaller", "empty", "larger", "append", "grow", "unseal"):
                with self.subTest((name, what)):
                    self.assertEqual(errors[name][what], errno.EPERM)
        for what in ("write", "map", "punch", "open and write"):
            with self.subTest(what):
                self.assertEqual(errors["requests"][what], errno.EPERM)
        self.assertIn(errors["requests"]["zero"], (errno.EOPNOTSUPP, errno.EPERM))
        self.assertIn(errors["requests"]["protect"], (errno.EACCES, errno.EPERM))
        client = self.open(server)
        for number in range(100):
            self.assertEqual(client.result("ping", number), number)


if __name__ == "__main__":
    handoff.run_tests()
