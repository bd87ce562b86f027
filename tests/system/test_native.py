# SPDX-License-Identifier: MIT
"""Methods in C++: they are held to --timeout, end with their clients, can break no reply, and share
a process with other threads as the header says."""

import json
import pathlib
import signal
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

NATIVE = handoff.BIN.parent / "tests/native_worker"

# What would be three replies if it stood in one as it is.
FORGED = '1},{"out":"ping","result":2,"id":2}'


class TestCase(handoff.TestCase):
    def native(self, *options: str, listen: str = "127.0.0.1:0", workers: int = 1):
        if not NATIVE.exists():
            self.skipTest("no native_worker")
        if handoff.PASS == "connection":
            return self.start(handoff.Server(str(NATIVE), "-l", listen, *options))
        return self.start(handoff.master("-l", listen, workers=workers,
                                         command=[str(NATIVE), *options]))

    def counts(self, server) -> dict:
        with server.connect() as client:
            return client.result("counts")

    def wait_for_counts(self, server, **wanted):
        handoff.wait_for(lambda: wanted.items() <= self.counts(server).items(), f"{wanted}")

    def error(self, reply) -> dict:
        self.assertEqual(reply["out"], "error", reply)
        return reply["result"]


class Deadline(TestCase):
    def is_over_in_time(self, method: str):
        server = self.native("--timeout", "300ms")
        client = self.open(server)
        error = self.error(client.call(method))
        self.assertEqual(error["code"], -32002, error)
        self.assertEqual(client.result("echo", 1), 1, "the connection stays usable")
        self.wait_for_counts(server, waiting=0, begun=1)

    def test_a_handler_that_waits_for_ever_is_ended(self):
        self.is_over_in_time("never")

    def test_a_handler_that_waits_in_a_loop_up_to_the_deadline_is_ended(self):
        self.is_over_in_time("until")

    def test_a_handler_that_is_done_in_time_answers(self):
        server = self.native("--timeout", "20s")
        client = self.open(server)
        client.send("later", 0.05, id=1)
        client.send("later", 0, id=2)
        replies = {client.receive()["id"] for _ in range(2)}
        self.assertEqual(replies, {1, 2})

    def test_the_place_of_a_handler_that_was_ended_is_free_again(self):
        server = self.native("--timeout", "300ms", "-C", "1")
        client = self.open(server)
        self.assertEqual(self.error(client.call("never"))["code"], -32002)
        self.assertEqual(client.result("later", 0), 0)


@handoff.only("connection", "listener", because="a worker with a queue does not hear of clients")
class Leaving(TestCase):
    def test_a_client_that_closes_its_unix_socket_ends_its_handlers(self):
        server = self.native("--timeout", "0", listen=f"unix:{self.directory}/s")
        client = server.connect()
        for _ in range(3):
            client.send("never")
        self.wait_for_counts(server, waiting=3)
        client.close()
        self.wait_for_counts(server, waiting=0, begun=3)

    def test_a_client_that_resets_its_connection_ends_its_handlers(self):
        server = self.native("--timeout", "0")
        client = server.connect()
        client.send("never")
        self.wait_for_counts(server, waiting=1)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        self.wait_for_counts(server, waiting=0, begun=1)

    def test_a_client_that_ends_its_sending_side_gets_its_reply(self):
        server = self.native("--timeout", "0", listen=f"unix:{self.directory}/s")
        client = self.open(server)
        client.send("held")
        client.socket.shutdown(socket.SHUT_WR)
        self.wait_for_counts(server, waiting=1)
        with server.connect() as other:
            other.result("release")
        self.assertEqual(client.receive(), {"out": "held", "result": None})

    def test_a_notification_is_finished_without_its_client(self):
        server = self.native("--timeout", "0", listen=f"unix:{self.directory}/s")
        client = server.connect()
        client.send_body(b'{"jsonrpc": "2.0", "method": "held"}')
        self.wait_for_counts(server, waiting=1)
        client.close()
        with server.connect() as other:
            other.result("release")
        self.wait_for_counts(server, waiting=0, finished=1)

    def test_a_command_of_a_client_that_leaves_goes_on(self):
        begun, go, done = (self.directory / name for name in ("begun", "go", "done"))
        server = self.native("--timeout", "0", "-m",
                             f"slow=touch {begun}; until [ -e {go} ]; do sleep 0.01; done; "
                             f"touch {done}", listen=f"unix:{self.directory}/s")
        client = server.connect()
        client.send("slow")
        handoff.wait_for(begun.exists, "the command to begin")
        client.close()
        self.assertEqual(self.counts(server)["waiting"], 0)
        go.touch()
        handoff.wait_for(done.exists, "the command to end")


class Results(TestCase):
    def test_what_is_no_json_breaks_no_reply(self):
        server = self.native()
        client = self.open(server)
        for method in ("raw", "raw_data", "raw_now"):
            for text in (FORGED, '1}\n{"out":"ping","result":2', "", "nul", "[" * 64 + "]" * 64):
                if method == "raw_data" and not text:
                    continue  # no data at all
                with self.subTest(method, text=text[:10]):
                    reply = client.call(method, text, id=1)
                    self.assertEqual(reply["id"], 1)
                    error = self.error(reply)
                    self.assertEqual(error["code"], -32001)
                    self.assertRegex(error["message"],
                                     "^the method's (result|error data) is not JSON: ")
                    self.assertNotIn("data", error)
            client.send(method, "[1]", id=2)
            self.assertEqual(client.receive()["id"], 2)
        self.assertEqual(client.result("echo", "as before"), "as before")

    def test_lines_are_not_broken_either(self):
        server = self.native()
        client = self.open(server)
        lines = client.socket.makefile("rwb")

        def answers_to(params: bytes) -> list:
            lines.write(b'{"in":"raw","params":%s}\n{"in":"echo","params":3}\n' % params)
            lines.flush()
            return [json.loads(lines.readline()) for _ in range(2)]

        forged, after = answers_to(rb'"1}\n{\"out\":\"echo\",\"result\":2"')
        self.assertEqual(self.error(forged)["code"], -32001)
        self.assertEqual(after, {"out": "echo", "result": 3})
        self.assertEqual(answers_to(rb'"[1,\n2]"'),
                         [{"out": "raw", "result": [1, 2]}, {"out": "echo", "result": 3}])

    def test_a_worker_survives_what_its_methods_give_and_throw(self):
        server = self.native("--timeout", "0")
        client, other = self.open(server), self.open(server)
        pid = client.result("info")["pid"]
        other.send("held")
        self.wait_for_counts(server, waiting=1)
        for method, code in (("raw", -32001), ("raw_data", -32001), ("raw_now", -32001),
                             ("throws", -32603), ("throws_now", -32603)):
            for _ in range(3):
                self.assertEqual(self.error(client.call(method, FORGED))["code"], code)
        self.assertEqual(client.result("info")["pid"], pid)
        client.result("release")
        self.assertEqual(other.receive(), {"out": "held", "result": None})

    def test_errors_stand_in_a_batch_too(self):
        server = self.native()
        client = self.open(server)
        client.send_body(json.dumps([
            {"jsonrpc": "2.0", "method": method, "params": [FORGED], "id": number}
            for number, method in enumerate(("throws_now", "throws", "echo"))]).encode())
        replies = {reply["id"]: reply for reply in client.receive()}
        self.assertEqual(replies[0]["error"]["code"], -32603)
        self.assertEqual(replies[1]["error"]["code"], -32603)
        self.assertEqual(replies[2]["result"], [FORGED])

    def test_an_error_is_no_longer_than_a_reply(self):
        server = self.native("--max-frame", "4096")
        client = self.open(server)
        client.send_body(b'{"in":"raw_data","params":[%s]}' % b"1".ljust(4060))
        header = client.read(4)
        size, = struct.unpack("<I", header)
        self.assertLessEqual(size, 4096)
        error = self.error(json.loads(client.read(size)))
        self.assertEqual(error["code"], -32001)
        self.assertRegex(error["message"], "exceeds the limit")


class Threads(TestCase):
    """The contract that worker_main.hpp states."""

    THREADS = 4

    def copies(self, server) -> list[dict]:
        """What each of many connections is told; each thread has as many of them."""
        clients = [self.open(server) for _ in range(2 * self.THREADS)]
        return [client.result("copies") for client in clients]

    def test_one_thread_has_one_copy_of_what_a_worker_makes(self):
        told = self.copies(self.native())
        self.assertEqual({answer["tables"] for answer in told}, {1})
        self.assertEqual([answer["own"] for answer in told], [answer["shared"] for answer in told])

    def test_each_thread_has_its_own_copy_and_all_share_what_was_there_before(self):
        server = self.native("--threads", str(self.THREADS))
        wanted = {"tables": self.THREADS, "overlapped": False}
        handoff.wait_for(lambda: wanted.items() <= self.copies(server)[0].items(),
                         "every thread to have its methods")
        before = self.copies(server)[-1]["shared"]
        told = self.copies(server)
        self.assertEqual([answer["shared"] for answer in told],
                         list(range(before + 1, before + len(told) + 1)))
        self.assertTrue(all(answer["own"] < answer["shared"] for answer in told), told)
        self.assertFalse(any(answer["overlapped"] for answer in told))

    def test_threads_never_add_their_methods_at_the_same_time_and_do_so_anew_at_hup(self):
        (self.directory / "methods").mkdir()
        server = self.native("--threads", str(self.THREADS), "-d", str(self.directory / "methods"))
        handoff.wait_for(lambda: self.copies(server)[0]["tables"] == self.THREADS,
                         "every thread to have its methods")
        if handoff.PASS != "connection":
            return  # there a HUP is the master's, and starts another process
        server.kill(signal.SIGHUP)
        handoff.wait_for(lambda: self.copies(server)[0]["tables"] == 2 * self.THREADS,
                         "every thread to have them again")
        self.assertFalse(self.copies(server)[0]["overlapped"])


if __name__ == "__main__":
    handoff.run_tests()
