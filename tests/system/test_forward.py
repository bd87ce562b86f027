# SPDX-License-Identifier: MIT
"""Methods that another server answers (rpc-worker -f): replies and errors come back as they are,
and a name goes to the longest prefix that fits."""

import json
import pathlib
import queue
import select
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    FAILED, ForwardTest, NO_METHOD, TIMED_OUT, WORKER, setUpModule)
from json_documents import SPACE, VALID  # noqa: E402

INTERNAL = -32603


class Replies(ForwardTest):
    def test_a_result_comes_back_byte_for_byte(self):
        self.worker()
        client = self.open(self.forwarder("-f", f"echo={self.path()}"))
        for document in VALID:
            with self.subTest(document=document[:100], size=len(document)):
                client.send_body(b'{"in":"echo","params":%s}' % document)
                body = client.read(struct.unpack("<I", client.read(4))[0])
                expected = b'{"out":"echo","result":%s}' % document.strip(SPACE)
                self.assertTrue(body == expected, body[:200])

    def test_the_callers_id_is_the_one_that_comes_back(self):
        self.worker()
        client = self.open(self.forwarder("-f", f"echo={self.path()}"))
        for number in (7, 1.5, 12345678901234567890, "text", "1", "\u00e9", ""):
            self.assertEqual(client.call("echo", "x", id=number),
                             {"out": "echo", "result": "x", "id": number})
        self.assertEqual(client.call("echo", "x"), {"out": "echo", "result": "x"})

    def test_ping_is_answered_with_pong_as_everywhere(self):
        self.worker()
        client = self.open(self.forwarder("-f", f"ping={self.path()}"))
        self.assertEqual(client.call("ping", 1), {"out": "pong", "result": 1})

    def test_each_kind_of_error_is_the_same_as_without_a_forwarder(self):
        server = self.worker(
            "--timeout", "100ms", "--max-frame", "1000", "-m", "status=echo why >&2; exit 3",
            "-m", "signal=kill -9 $$", "-m", "text=echo no JSON", "-m", "slow=sleep 9",
            "-m", "long=seq 1000", "-k", "ends=exit 1")
        direct = self.open(server)
        client = self.open(self.forwarder("-f", f"*={self.path()}"))
        for method, code in (("nope", NO_METHOD), ("status", FAILED), ("signal", FAILED),
                             ("text", FAILED), ("long", FAILED), ("ends", FAILED),
                             ("slow", TIMED_OUT)):
            with self.subTest(method):
                expected = direct.call(method)
                self.assert_error(expected, code)
                self.assertEqual(client.call(method), expected)
                self.assertEqual(client.call(method, id="a"), {**expected, "id": "a"})

    def test_an_error_has_the_code_message_and_data_that_the_backend_gave(self):
        # A call that is refused with -32005 is sent again on another connection.
        errors = [{"code": code, "message": "m"}
                  for code in (-32700, -32600, -32601, -32602, -32603, -32001, -32002, -32003,
                               -32004, -32006, -1, 1, 2147483647, -2147483648)]
        errors += [{"code": 5, "message": message}
                   for message in ("", 'a "quoted" \\ line\n', "\u00e9\U0001f600", "x" * 5000)]
        errors += [{"code": 5, "message": "m", "data": data}
                   for data in (None, False, 0, "", [], {}, {"b": 1, "a": [1.5, None, "\u00e9"]},
                                12345678901234567890123, "\u2028")]
        self.scripted_server(*("reply:" + json.dumps({"out": "error", "result": error})
                               for error in errors))
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for error in errors:
            with self.subTest(error=str(error)[:100]):
                self.assertEqual(client.call("x"), {"out": "error", "result": error})

    def test_an_errors_data_comes_back_byte_for_byte(self):
        documents = [b"1.50", b"1e2", b"-0", b"123456789012345678901234567890",
                     b"0.1000000000000000055511151231257827", b'"\\u00e9\\/"',
                     b'{"b":1,"a":2,"b":3}', b"[1, 2]", b"null"]
        backend = self.backend()
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for data in documents:
            with self.subTest(data=data):
                client.send("x")
                request = backend.take()
                request.send(b'{"out":"error","result":{"code":5,"message":"m","data":%s},"id":%d}'
                             % (data, request.id))
                body = client.read(struct.unpack("<I", client.read(4))[0])
                self.assertEqual(
                    body, b'{"out":"error","result":{"code":5,"message":"m","data":%s}}' % data)

    def test_an_error_without_a_code_is_an_internal_error(self):
        self.scripted_server(*('reply:{"out":"error","result":%s}' % result for result in (
            '"text"', "null", "[]", "{}", '{"code":"1"}', '{"message":"m"}')))
        client = self.open(self.forwarder("-f", f"x={self.path()}"))
        for _ in range(6):
            self.assert_error(client.call("x"), INTERNAL)

    def test_a_json_rpc_client_gets_json_rpc(self):
        self.worker("-m", "fail=exit 3")
        client = self.open(self.forwarder("-f", f"*={self.path()}", "-f", f"echo={self.path()}"))

        def body(number, method, **more):
            return {"jsonrpc": "2.0", "id": number, "method": method, **more}

        client.send_body(json.dumps(body(1, "echo", params=[1])).encode())
        self.assertEqual(client.receive(), {"jsonrpc": "2.0", "id": 1, "result": [1]})
        batch = [body(2, "echo", params=[2]), body(3, "nope"), body(4, "fail"), body(5, "ping")]
        client.send_body(json.dumps(batch).encode())
        replies = sorted(client.receive(), key=lambda reply: reply["id"])
        self.assertEqual(replies[0]["result"], [2])
        self.assertEqual(replies[1]["error"]["code"], NO_METHOD)
        self.assertEqual(replies[2]["error"]["data"]["status"], 3)
        self.assertEqual([reply["id"] for reply in replies], [2, 3, 4, 5])


class Names(ForwardTest):
    def setUp(self):
        super().setUp()
        self.backends = {name: self.backend(name) for name in ("one", "a", "ab", "all")}
        self.server = self.forwarder(
            "-f", f"one={self.path('one')}", "-f", f"a.*={self.path('a')}",
            "-f", f"a.b.*={self.path('ab')}", "-f", f"*={self.path('all')}",
            "-m", "a.own=echo 1", "-m", "own=echo 2")
        self.client = self.open(self.server)

    def goes_to(self, method: str) -> tuple:
        """Which backend is asked for the method, and what it is asked for."""
        self.client.send(method, "p", id=1)
        while True:
            for name, backend in self.backends.items():
                try:
                    request = backend.requests.get(timeout=0.01)
                except queue.Empty:
                    continue
                request.reply("r")
                self.assertEqual(self.client.receive(), {"out": method, "result": "r", "id": 1})
                return name, request.method
            if select.select([self.client.socket], [], [], 0)[0]:
                return "nobody", self.client.receive()

    def test_a_name_goes_to_the_longest_that_fits_and_stays_as_it_is(self):
        for method, backend in (
                ("one", "one"), ("one.two", "all"), ("on", "all"), ("a", "all"), ("ax", "all"),
                ("a.", "a"), ("a.x", "a"), ("a.b", "a"), ("a.bx", "a"), ("a.x.y", "a"),
                ("a.b.", "ab"), ("a.b.c", "ab"), ("a.b.c.d", "ab"), ("*", "all"), ("a.*", "a"),
                ("", "all"), ("error.x", "all"), ("a.\u00e9", "a"), ('a."q"\\\n', "a"),
                ("a." + "x" * 5000, "a")):
            with self.subTest(method[:20]):
                self.assertEqual(self.goes_to(method), (backend, method))

    def test_methods_of_its_own_come_first(self):
        self.assertEqual(self.client.result("a.own"), 1)
        self.assertEqual(self.client.result("own"), 2)
        self.assertEqual(self.client.call("ping", 3), {"out": "pong", "result": 3})
        self.assertEqual(self.client.result("echo", 4), 4)
        self.assertEqual(self.client.result("info")["pid"], self.server.pid)

    def test_methods_lists_what_is_forwarded(self):
        self.assertEqual(sorted(self.client.result("methods")),
                         sorted(["one", "a.*", "a.b.*", "*", "a.own", "own", "echo", "info",
                                 "methods", "ping"]))

    def test_a_name_that_is_given_twice_is_refused(self):
        for name in ("x", "x.*", "*"):
            server = self.start(handoff.Server(WORKER, "--stdio", "-f", f"{name}=:1", "-f",
                                               f"{name}=:2", ready=False))
            self.assertEqual(server.process.wait(handoff.PATIENCE), 2)
            server.wait_for_line("there is one of this name already")


if __name__ == "__main__":
    handoff.run_tests()
