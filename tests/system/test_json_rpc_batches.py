# SPDX-License-Identifier: MIT
"""JSON-RPC 2.0: notifications, the order of replies, and batches."""

import fcntl
import json
import pathlib
import re
import signal
import struct
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from framings import Lines  # noqa: E402
from json_rpc_case import (  # noqa: E402
    FAILED, INVALID_REQUEST, JsonRpc, METHOD_NOT_FOUND, PARSE_ERROR, TIMED_OUT, any_order,
    article_error, call, error, result)

BUSY = -32003


class Notifications(JsonRpc):
    def test_its_method_runs(self):
        done = self.directory / "done"
        self.serve("-m", f"note=cat >{done}.part; mv {done}.part {done}")
        self.send(call("note", params={"a": 1}))
        handoff.wait_for(done.exists, "the notification's file")
        self.assertEqual(json.loads(done.read_text()), {"a": 1})
        self.assert_nothing_more()

    def test_a_notification_is_never_answered_whatever_comes_of_it(self):
        self.serve("--max-frame", "1000", "-m", "one=echo 1", "-m", "fail=exit 1",
                   "-m", "garbage=echo x", "-m", "big=printf '\"%0990d\"' 0", "-k", "dies=exit 1")
        notes = [call(method) for method in
                 ("ping", "echo", "methods", "nosuch", "", "one", "fail", "garbage", "big", "dies")]
        for note in notes:
            self.send(note)
        self.send(notes)
        self.assert_alive()
        self.assert_nothing_more()

    def test_one_that_is_invalid_is_answered(self):
        self.serve()
        for body in ({"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "method": 1}, call("ping", params=1)):
            self.assertEqual(self.exchange(body), error(INVALID_REQUEST))

    def test_a_notification_holds_up_no_reply(self):
        gate = self.fifo("gate")
        self.serve("-m", f"slow=cat {gate}")
        self.send(call("slow"))
        self.assert_alive()
        self.speak_article()
        self.client.end()
        gate.write_text("1")
        self.assertIsNone(self.client.receive(), "the connection ends when the method has")

    def test_a_worker_that_ends_finishes_it(self):
        entered, gate, done = self.fifo("entered"), self.fifo("gate"), self.directory / "done"
        self.serve("-m", f"note=echo >{entered}; cat {gate} >{done}")
        self.send(call("note"))
        entered.read_text()
        self.server.kill(signal.SIGTERM)
        gate.write_text("finished")
        self.assertEqual(self.server.process.wait(handoff.PATIENCE), 0)
        self.assertEqual(done.read_text(), "finished")

    def test_far_more_than_may_run_at_a_time_are_all_run(self):
        done = self.directory / "done"
        self.serve("-C", "1", "-k", f"note=while read it; do echo $it >>{done}; echo 1; done")
        for number in range(300):
            self.send(call("note", params=[number]))
        self.assert_nothing_more()
        self.assertEqual(done.read_text().split(), [f"[{number}]" for number in range(300)])


class Order(JsonRpc):
    def test_a_reply_comes_as_soon_as_it_is_ready(self):
        gate = self.fifo("gate")
        self.serve("-m", f"slow=cat {gate}")
        self.send(call("slow", 1))
        self.assertEqual(self.exchange(call("ping", 2)), result(None, 2))
        self.assertEqual(self.exchange(call("nosuch", 3)), error(METHOD_NOT_FOUND, 3))
        self.assertEqual(self.exchange(b"{"), error(PARSE_ERROR))
        gate.write_text("5")
        self.assertEqual(self.receive(), result(5, 1))

    def test_the_articles_order_binds_only_the_articles_requests_without_id(self):
        gate = self.fifo("gate")
        self.serve("-m", f"slow=cat {gate}")
        self.send({"in": "slow"})
        self.send({"in": "ping", "params": 1})
        self.send(b"{")
        self.send({"in": "nosuch", "id": "x"})
        self.assertEqual(self.receive(), article_error(METHOD_NOT_FOUND, id="x"))
        self.assertEqual(self.exchange({**call("ping"), "id": None}), result(None, None))
        self.assertEqual(self.exchange([call("ping", 2)]), [result(None, 2)])
        gate.write_text("5")
        self.assertEqual(self.receive(), {"out": "slow", "result": 5})
        self.assertEqual(self.receive(), {"out": "pong", "result": 1})
        self.assertEqual(self.receive(), article_error(PARSE_ERROR))

    def test_a_batch_comes_when_its_slowest_call_has_ended(self):
        first, second = self.fifo("first"), self.fifo("second")
        self.serve("-m", f"first=cat {first}", "-m", f"second=cat {second}")
        self.send([call("first", 1), call("ping", 2), call("second", 3), 4, call("nosuch", 5)])
        self.assert_alive()
        second.write_text("3")
        self.assert_alive()
        first.write_text("1")
        self.assertEqual(any_order(self.receive()), any_order(
            [result(1, 1), result(None, 2), result(3, 3), error(INVALID_REQUEST),
             error(METHOD_NOT_FOUND, 5)]))

    def test_a_batch_waits_for_its_notifications_too(self):
        gate = self.fifo("gate")
        self.serve("-m", f"slow=cat {gate}")
        self.send([call("slow"), call("ping", 1)])
        self.assert_alive()
        gate.write_text("5")
        self.assertEqual(self.receive(), [result(None, 1)])

    def test_the_calls_of_a_batch_run_at_a_time(self):
        pipe = self.fifo("pipe")
        self.serve("-m", f"waits=cat {pipe}", "-m", f"goes=echo 1 >{pipe}; echo 2")
        self.assertEqual(any_order(self.exchange([call("waits", 1), call("goes", 2)])),
                         [result(1, 1), result(2, 2)])

    def test_a_batch_overtakes_another(self):
        gate = self.fifo("gate")
        self.serve("-m", f"slow=cat {gate}", "-m", "fast=echo 2")
        self.send([call("slow", 1), call("fast", 1)])
        self.assertEqual(self.exchange([call("fast", 2)]), [result(2, 2)])
        gate.write_text("1")
        self.assertEqual(any_order(self.receive()), any_order([result(1, 1), result(2, 1)]))

    def test_a_half_closed_client_gets_its_batch(self):
        gate = self.fifo("gate")
        self.serve("-m", f"slow=cat {gate}")
        self.send([call("slow", 1), call("ping", 2)])
        self.client.end()
        gate.write_text("5")
        self.assertEqual(any_order(self.receive()), any_order([result(5, 1), result(None, 2)]))
        self.assertIsNone(self.client.receive())

    def test_a_worker_that_ends_answers_a_batch_first(self):
        entered, gate = self.fifo("entered"), self.fifo("gate")
        self.serve("-m", f"slow=echo >{entered}; cat {gate}")
        self.send([call("slow", 1), call("ping", 2)])
        entered.read_text()
        self.server.kill(signal.SIGTERM)
        gate.write_text("5")
        self.assertEqual(any_order(self.receive()), any_order([result(5, 1), result(None, 2)]))
        self.assertIsNone(self.client.receive())
        self.assertEqual(self.server.process.wait(handoff.PATIENCE), 0)

    def test_a_client_that_leaves_before_its_batch_is_ready_harms_nobody(self):
        entered, gate = self.fifo("entered"), self.fifo("gate")
        self.serve("-m", f"slow=echo >{entered}; cat {gate}")
        self.assert_alive()
        before = handoff.descriptor_count(self.server.pid_of_reader)
        self.send([call("slow", 1), call("ping", 2)])
        entered.read_text()
        self.client.close()
        gate.write_text("5")
        handoff.wait_for(lambda: handoff.descriptor_count(self.server.pid_of_reader) == before - 1,
                         "the connection to be closed")
        self.client = self.connect()
        self.assert_alive()


class Batches(JsonRpc):
    TOO_MANY = {"jsonrpc": "2.0", "id": None, "error": {
        "code": INVALID_REQUEST, "message": "a batch of more than 1024 requests"}}

    def test_a_batch_of_1024_is_answered_and_one_more_is_refused(self):
        self.serve()
        for client in (self.client, self.stack.enter_context(Lines(self.server.address))):
            self.client = client
            ids = list(range(1024))
            self.assertEqual(self.exchange([call("ping", id_) for id_ in ids]),
                             [result(None, id_) for id_ in ids])
            for request in (call("ping", 1), call("ping"), 1):
                self.send([request] * 1024 + [call("ping", 1)])
                self.assertEqual(self.client.receive(), self.TOO_MANY)
            self.send([call("ping")] * 1024)
            self.assert_alive()

    def test_of_a_batch_that_is_too_long_nothing_is_run(self):
        done = self.directory / "done"
        self.serve("-m", f"note=echo >{done}")
        self.send([call("note")] * 1025)
        self.assertEqual(self.client.receive(), self.TOO_MANY)
        self.assert_nothing_more()
        self.assertFalse(done.exists())

    def test_a_batch_of_1024_calls_of_one_coprocess_is_answered(self):
        self.serve("-k", "cat=cat")
        self.assertEqual(any_order(self.exchange([call("cat", id_, params=[id_])
                                                  for id_ in range(1024)])),
                         any_order([result([id_], id_) for id_ in range(1024)]))

    def test_other_connections_are_answered_while_a_batch_of_1024_calls_runs(self):
        self.assert_others_are_served(call("ping", 1), result(None, 1))

    def test_a_batch_takes_no_more_places_than_other_calls_of_a_connection(self):
        self.assert_others_are_served(call("one", 1), result(1, 1))

    def assert_others_are_served(self, request: dict, reply: dict):
        """While a batch runs whose calls are as many as may be."""
        entered, gate = self.fifo("entered"), self.fifo("gate")
        self.serve("-m", "one=echo 1",
                   "-k", f"cat=read first; echo >{entered}; cat {gate}; exec cat")
        self.send([call("cat", id_, params=[id_]) for id_ in range(1024)])
        entered.read_text()
        other = self.connect()
        other.send_body(json.dumps(request).encode())
        self.assertEqual(other.receive(), reply)
        gate.write_text("[0]\n")
        self.assertEqual(any_order(self.receive()),
                         any_order([result([id_], id_) for id_ in range(1024)]))

    def test_calls_beyond_those_that_may_wait_are_told_that_the_worker_is_busy(self):
        entered, gate = self.fifo("entered"), self.fifo("gate")
        # One call at a time would leave in the socket what can't begin.
        running = 1 if handoff.PASS == "queue" else 2
        self.serve("-C", str(running),
                   "-k", f"cat=read first; echo >{entered}; cat {gate}; exec cat",
                   listen=[str(self.directory / "w")], queue=["--queue-limit", "512"])
        # With a queue 512 are in it, the one that runs too, and 512 more wait.
        sizes = [128] * 7 + [127 if handoff.PASS == "queue" else 128]
        first = self.client
        for _ in range(running):
            self.send(call("cat", "runs", params=[0]))
        entered.read_text()
        waiting = []
        for size in sizes:  # which are 1024
            self.client = self.connect()
            self.send([call("cat", id_, params=[id_]) for id_ in range(size)])
            handoff.wait_for(self.all_is_read, "the worker to read the batch")
            waiting.append(self.client)
        self.client = self.connect()
        self.assertEqual(any_order(self.exchange([call("cat", 1), call("cat", 2), call("cat")])),
                         any_order([error(BUSY, 1), error(BUSY, 2)]))
        self.assertEqual(self.exchange(call("cat", 3)), error(BUSY, 3))
        gate.write_text("[0]\n")
        for _ in range(running):
            self.assertEqual(first.receive(), result([0], "runs"))
        for client, size in zip(waiting, sizes):
            self.assertEqual(any_order(client.receive()),
                             any_order([result([id_], id_) for id_ in range(size)]))

    def all_is_read(self) -> bool:
        """Whether the worker has read all that the client has sent, over a Unix socket."""
        unread = fcntl.ioctl(self.client.socket, termios.TIOCOUTQ, struct.pack("i", 0))
        return struct.unpack("i", unread)[0] == 0

    def test_a_call_that_takes_too_long_is_an_error_in_its_batch(self):
        gate = self.fifo("gate")
        self.serve("--timeout", "200ms", "-m", f"slow=cat {gate}")
        self.assertEqual(any_order(self.exchange([call("slow", 1), call("ping", 2)])),
                         any_order([error(TIMED_OUT, 1), result(None, 2)]))

    def test_replies_that_exceed_the_limit_together_are_one_error(self):
        self.serve("--max-frame", "1000", "-k", 'fill=jq --unbuffered -c \'"x" * .[0]\'')
        room = 1000 - len(
            '[{"jsonrpc":"2.0","result":"","id":1},{"jsonrpc":"2.0","result":"","id":2}]')
        for more in (0, 1):
            sizes = (room // 2, room - room // 2 + more)
            reply = self.exchange_bytes(json.dumps(
                [call("fill", number, params=[size]) for number, size in enumerate(sizes, 1)]
            ).encode())
            if more:
                self.assertEqual(json.loads(reply), {"jsonrpc": "2.0", "id": None, "error": {
                    "code": FAILED, "message": "the reply exceeds the limit of 1000 bytes"}})
            else:
                self.assertEqual(len(reply), 1000)
                self.assertEqual(len(json.loads(reply)), 2)
        self.assert_alive()

    def test_one_reply_over_the_limit_is_an_error_of_its_own(self):
        self.serve("--max-frame", "1000", "-k", 'fill=jq --unbuffered -c \'"x" * .[0]\'')
        self.assertEqual(
            any_order(self.exchange([call("fill", 1, params=[980]), call("fill", 2, params=[1])])),
            any_order([error(FAILED, 1), result("x", 2)]))

    def test_a_batch_whose_replies_would_fill_the_memory_takes_little_of_it(self):
        # 1,024 calls of 45 bytes, each with a reply of 100,000.
        self.serve("-m", "x" * 100000 + "=true")
        self.assertEqual(self.exchange(call("ping", 1)), result(None, 1))
        before = self.peak_bytes()
        self.assertEqual(self.exchange([call("methods", 1)] * 1024), error(FAILED))
        if not handoff.SANITIZED:
            self.assertLess(self.peak_bytes() - before, 16 * 1024 * 1024)
        self.assert_alive()

    def peak_bytes(self) -> int:
        text = pathlib.Path(f"/proc/{self.server.pid_of_reader}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024

    def test_a_megabyte_of_batches_in_one_write_is_answered(self):
        self.serve("-k", "cat=cat")
        batch = json.dumps([call("echo", 1, params=["x" * 100]), call("cat", 2)]).encode()
        number = 300
        self.client.socket.sendall(handoff.frame(batch) * number)
        for _ in range(number):
            self.assertEqual(self.receive(), [result(["x" * 100], 1), result(None, 2)])
        self.assert_nothing_more()


if __name__ == "__main__":
    handoff.run_tests()
