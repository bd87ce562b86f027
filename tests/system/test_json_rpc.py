# SPDX-License-Identifier: MIT
"""JSON-RPC 2.0: the examples of its specification, and what it has to share a connection with."""

import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import struct
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
FAILED = -32001
TIMED_OUT = -32002
BUSY = -32003


class Lengths(handoff.Connection):
    """Bodies with a length in front."""

    def receive_body(self):
        """The next reply's bytes, or None at the end of the connection."""
        header = self.read(4)
        return None if header is None else self.read(struct.unpack("<I", header)[0])

    def receive(self):
        body = self.receive_body()
        return None if body is None else json.loads(body)

    def end(self):
        """Says that no more requests come."""
        self.socket.shutdown(socket.SHUT_WR)

    def rest(self) -> list:
        """All replies that still come when there are no more requests."""
        self.end()
        return list(iter(self.receive, None))


class Lines(Lengths):
    """Bodies with a newline behind."""

    def __init__(self, address):
        super().__init__(address)
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.stream.close()
        super().close()

    def send_body(self, body: bytes):
        self.socket.sendall(body.replace(b"\n", b" ") + b"\n")

    def receive_body(self):
        line = self.stream.readline()
        assert line == b"" or line.endswith(b"\n"), line[-100:]
        return line[:-1] or None


def call(method: str, id_=None, **more) -> dict:
    """A request; a notification when there is no id."""
    named = {} if id_ is None else {"id": id_}
    return {"jsonrpc": "2.0", "method": method, **more, **named}


def result(value, id_) -> dict:
    return {"jsonrpc": "2.0", "result": value, "id": id_}


def error(code: int, id_=None) -> dict:
    return {"jsonrpc": "2.0", "error": {"code": code}, "id": id_}


def article_error(code: int, **more) -> dict:
    return {"out": "error", "result": {"code": code}, **more}


def without_message(reply):
    """The specification leaves the words of an error to the server, but it must have some."""
    if isinstance(reply, list):
        return [without_message(each) for each in reply]
    if isinstance(reply, dict) and ("error" in reply or reply.get("out") == "error"):
        message = reply["error" if "error" in reply else "result"].pop("message")
        assert isinstance(message, str) and message, reply
    return reply


def any_order(replies: list) -> list:
    return sorted(replies, key=lambda reply: json.dumps(reply, sort_keys=True))


class JsonRpc(handoff.TestCase):
    """A worker, and a client of it."""

    Client = Lengths

    def serve(self, *options: str, listen=(), queue=()):
        self.server = self.start(handoff.behind_any(*options, listen=listen, queue=queue))
        self.client = self.connect()

    def connect(self):
        return self.stack.enter_context(self.Client(self.server.address))

    def send(self, body):
        """A body, as its bytes or as a value."""
        self.client.send_body(body if isinstance(body, bytes) else json.dumps(body).encode())

    def receive(self):
        return without_message(self.client.receive())

    def exchange(self, body):
        self.send(body)
        return self.receive()

    def exchange_bytes(self, body: bytes) -> bytes:
        self.client.send_body(body)
        return self.client.receive_body()

    def speak_json_rpc(self):
        """Makes JSON-RPC what the connection has spoken last."""
        self.assertEqual(self.exchange(call("ping", 0)), result(None, 0))

    def speak_article(self):
        self.assertEqual(self.exchange({"in": "ping"}), {"out": "pong", "result": None})

    def assert_alive(self):
        self.assertEqual(self.exchange(call("echo", "alive", params=[1])), result([1], "alive"))

    def assert_nothing_more(self):
        self.assertEqual(self.client.rest(), [])

    def fifo(self, name: str) -> pathlib.Path:
        path = self.directory / name
        os.mkfifo(path)
        return path


class Examples:
    """Section 7 of the specification. Each example has a connection of its own, which is read to
    its end, so that a reply too many would be seen."""

    def setUp(self):
        super().setUp()
        keep = f'cat >"{self.directory}/$RPC_METHOD"'
        self.serve(
            "-k", "subtract=jq --unbuffered -c "
                  "'if type == \"array\" then .[0] - .[1] else .minuend - .subtrahend end'",
            "-k", "sum=jq --unbuffered -c add",
            "-m", "get_data=jq -nc '[\"hello\", 5]'",
            "-m", f"update={keep}", "-m", f"notify_hello={keep}", "-m", f"notify_sum={keep}")

    def assert_example(self, *exchanges):
        """Sends each request, and expects each reply; the order in a batch is the server's."""
        for request, expected in exchanges:
            self.client.send_body(request.encode())
            if expected is None:
                continue
            reply = self.receive()
            if isinstance(expected, list):
                self.assertIsInstance(reply, list)
                self.assertEqual(any_order(reply), any_order(expected))
            else:
                self.assertEqual(reply, expected)
        self.assert_nothing_more()

    def assert_notified(self, **params):
        """All calls have ended when the connection has."""
        for name, value in params.items():
            self.assertEqual(json.loads((self.directory / name).read_text()), value)

    def test_rpc_call_with_positional_parameters(self):
        self.assert_example(
            ('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
             {"jsonrpc": "2.0", "result": 19, "id": 1}),
            ('{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
             {"jsonrpc": "2.0", "result": -19, "id": 2}))

    def test_rpc_call_with_named_parameters(self):
        self.assert_example(
            ('{"jsonrpc": "2.0", "method": "subtract", '
             '"params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
             {"jsonrpc": "2.0", "result": 19, "id": 3}),
            ('{"jsonrpc": "2.0", "method": "subtract", '
             '"params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
             {"jsonrpc": "2.0", "result": 19, "id": 4}))

    def test_a_notification(self):
        self.assert_example(
            ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
            ('{"jsonrpc": "2.0", "method": "foobar"}', None))
        self.assert_notified(update=[1, 2, 3, 4, 5])

    def test_rpc_call_of_non_existent_method(self):
        self.assert_example(
            ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}',
             {"jsonrpc": "2.0", "error": {"code": -32601}, "id": "1"}))

    def test_rpc_call_with_invalid_json(self):
        self.speak_json_rpc()
        self.assert_example(
            ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
             {"jsonrpc": "2.0", "error": {"code": -32700}, "id": None}))

    def test_rpc_call_with_invalid_request_object(self):
        self.assert_example(
            ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
             {"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}))

    def test_rpc_call_batch_invalid_json(self):
        self.speak_json_rpc()
        self.assert_example(
            ('[\n'
             '  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},\n'
             '  {"jsonrpc": "2.0", "method"\n'
             ']',
             {"jsonrpc": "2.0", "error": {"code": -32700}, "id": None}))

    def test_rpc_call_with_an_empty_array(self):
        self.speak_json_rpc()
        self.assert_example(
            ('[]', {"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}))

    def test_rpc_call_with_an_invalid_batch_but_not_empty(self):
        self.speak_json_rpc()
        self.assert_example(
            ('[1]', [{"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}]))

    def test_rpc_call_with_invalid_batch(self):
        self.speak_json_rpc()
        self.assert_example(
            ('[1,2,3]', [{"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}] * 3))

    def test_rpc_call_batch(self):
        self.assert_example(
            ('[\n'
             '  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},\n'
             '  {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},\n'
             '  {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},\n'
             '  {"foo": "boo"},\n'
             '  {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},\n'
             '  {"jsonrpc": "2.0", "method": "get_data", "id": "9"}\n'
             ']',
             [{"jsonrpc": "2.0", "result": 7, "id": "1"},
              {"jsonrpc": "2.0", "result": 19, "id": "2"},
              {"jsonrpc": "2.0", "error": {"code": -32600}, "id": None},
              {"jsonrpc": "2.0", "error": {"code": -32601}, "id": "5"},
              {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}]))
        self.assert_notified(notify_hello=[7])

    def test_rpc_call_batch_all_notifications(self):
        self.assert_example(
            ('[\n'
             '  {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},\n'
             '  {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}\n'
             ']', None))
        self.assert_notified(notify_sum=[1, 2, 4], notify_hello=[7])


class ExamplesWithLengths(Examples, JsonRpc):
    Client = Lengths


class ExamplesInLines(Examples, JsonRpc):
    Client = Lines


class Dialects(JsonRpc):
    # What tells no dialect, and its code in either.
    VAGUE = [(b"{", PARSE_ERROR), (b"", PARSE_ERROR), (b"1", INVALID_REQUEST),
             (b"{}", INVALID_REQUEST), (b"[]", INVALID_REQUEST), (b'{"id":7}', INVALID_REQUEST),
             (b'[{"jsonrpc":"2.0"', PARSE_ERROR), (b'{"jsonrpc":"2.0"', PARSE_ERROR)]

    def setUp(self):
        super().setUp()
        self.serve()

    def assert_vague_is_answered_in_json_rpc(self):
        for body, code in self.VAGUE:
            with self.subTest(body=body):
                self.assertEqual(self.exchange(body), error(code, 7 if b"7" in body else None))
        self.assertEqual(self.exchange(b"[1,{}]"), [error(INVALID_REQUEST)] * 2)

    def assert_vague_is_answered_in_the_articles(self):
        for body, code in [*self.VAGUE, (b"[1,{}]", INVALID_REQUEST)]:
            with self.subTest(body=body):
                id_ = {"id": 7} if b"7" in body else {}
                self.assertEqual(self.exchange(body), article_error(code, **id_))

    def test_both_dialects_on_one_connection_are_answered_in_kind(self):
        for number in range(3):
            self.assertEqual(self.exchange({"in": "ping", "params": number, "id": "a"}),
                             {"out": "pong", "result": number, "id": "a"})
            self.assertEqual(self.exchange(call("ping", "a", params=[number])),
                             result([number], "a"))
            self.assertEqual(self.exchange({"in": "nosuch", "id": 1}),
                             article_error(METHOD_NOT_FOUND, id=1))
            self.assertEqual(self.exchange(call("nosuch", 1)), error(METHOD_NOT_FOUND, 1))
            self.assertEqual(self.exchange([call("ping", number)]), [result(None, number)])

    def test_in_one_write_both_dialects_are_answered_in_kind(self):
        bodies = [b'{"in":"ping","params":1}', b'{"jsonrpc":"2.0","method":"ping","id":2}', b"{",
                  b'{"in":"ping","params":3}', b"{", b'[{"jsonrpc":"2.0","method":"ping","id":4}]']
        self.client.socket.sendall(b"".join(map(handoff.frame, bodies)))
        replies = [self.receive() for _ in bodies]
        self.assertEqual(any_order(replies), any_order([
            {"out": "pong", "result": 1}, result(None, 2), error(PARSE_ERROR),
            {"out": "pong", "result": 3}, article_error(PARSE_ERROR), [result(None, 4)]]))
        # Only the article's have an order.
        self.assertEqual([reply for reply in replies if "out" in reply], [
            {"out": "pong", "result": 1}, {"out": "pong", "result": 3},
            article_error(PARSE_ERROR)])

    def test_at_first_what_tells_no_dialect_is_the_articles(self):
        self.assert_vague_is_answered_in_the_articles()

    def test_what_tells_no_dialect_is_answered_as_the_last_valid_request(self):
        self.speak_json_rpc()
        self.assert_vague_is_answered_in_json_rpc()
        self.speak_article()
        self.assert_vague_is_answered_in_the_articles()

    def test_any_valid_request_of_json_rpc_counts(self):
        for request in (call("ping"), call("nosuch"), [call("ping")], [call("nosuch"), 1]):
            with self.subTest(request=request):
                self.send(request)
                if isinstance(request, list) and len(request) > 1:
                    self.assertEqual(self.receive(), [error(INVALID_REQUEST)])
                self.assertEqual(self.exchange(b"{"), error(PARSE_ERROR))
                self.speak_article()
        self.assertEqual(self.exchange(call("nosuch", 1)), error(METHOD_NOT_FOUND, 1))
        self.assertEqual(self.exchange(b"{"), error(PARSE_ERROR))

    def test_a_request_that_is_not_valid_changes_nothing(self):
        self.assertEqual(self.exchange({"jsonrpc": "1.0", "id": 1}), error(INVALID_REQUEST, 1))
        self.assert_vague_is_answered_in_the_articles()
        self.speak_json_rpc()
        self.assertEqual(self.exchange({"in": 1, "id": 1}),
                         article_error(INVALID_REQUEST, id=1))
        self.assert_vague_is_answered_in_json_rpc()

    def test_a_batch_without_a_valid_request_changes_nothing(self):
        self.assertEqual(self.exchange([{"jsonrpc": "1.0", "id": 1}]), [error(INVALID_REQUEST, 1)])
        self.assert_vague_is_answered_in_the_articles()

    def test_what_says_both_is_json_rpc(self):
        both = {"in": "echo", **call("ping", 1, params=["p"])}
        self.assertEqual(self.exchange(both), result(["p"], 1))
        self.assertEqual(self.exchange({"in": "echo", "jsonrpc": "1.0", "id": 1}),
                         error(INVALID_REQUEST, 1))

    def test_the_articles_request_is_none_in_a_batch(self):
        self.assertEqual(self.exchange([{"in": "ping", "id": 1}, call("ping", 2)]),
                         [error(INVALID_REQUEST, 1), result(None, 2)])

    def test_a_length_over_the_limit_is_answered_as_the_last_valid_request(self):
        self.speak_json_rpc()
        self.client.socket.sendall(b"\xff\xff\xff\xff")
        self.assertEqual(self.receive(), error(INVALID_REQUEST))
        self.assertIsNone(self.client.receive())

    def test_a_frame_that_comes_too_late_is_answered_as_the_last_valid_request(self):
        self.serve("--frame-timeout", "100ms")
        self.speak_json_rpc()
        self.client.socket.sendall(b"\x20\0\0\0{")
        self.assertEqual(self.receive(), error(TIMED_OUT))
        self.assertIsNone(self.client.receive())


class Envelopes(JsonRpc):
    IDS = [b"0", b"-0", b"1", b"-1", b"1.0", b"1.50", b"1e2", b"1E+2", b"9007199254740993",
           b"123456789012345678901234567890", b'""', b'"1"', b'"null"', b'"a b"', b'"\\u0041"',
           b'"\\/\\n\\ud83d\\ude00"', '"é😀"'.encode(), b'"' + b"x" * 10000 + b'"', b"null"]

    def setUp(self):
        super().setUp()
        self.serve("-m", "cat=cat", "-m", "fail=exit 1")

    def test_ids_of_all_kinds_come_back_byte_for_byte(self):
        for id_ in self.IDS:
            request = b'{"jsonrpc":"2.0","method":"%s","id": ' + id_ + b' ,"params":%s}'
            with self.subTest(id=id_[:50]):
                for method in (b"echo", b"cat"):
                    self.assertEqual(self.exchange_bytes(request % (method, b"[1]")),
                                     b'{"jsonrpc":"2.0","result":[1],"id":%s}' % id_)
                for method, params in ((b"nosuch", b"[]"), (b"fail", b"{}"), (b"echo", b"5")):
                    reply = self.exchange_bytes(request % (method, params))
                    self.assertTrue(reply.startswith(b'{"jsonrpc":"2.0","error":{'), reply)
                    self.assertTrue(reply.endswith(b'},"id":%s}' % id_), reply)

    def test_ids_in_a_batch_come_back_byte_for_byte(self):
        for method in (b"echo", b"cat"):
            batch = b",".join(b'{"id":%s,"jsonrpc":"2.0","method":"%s"}' % (id_, method)
                              for id_ in self.IDS)
            reply = self.exchange_bytes(b"[" + batch + b"]")
            for id_ in self.IDS:
                self.assertIn(b'{"jsonrpc":"2.0","result":null,"id":%s}' % id_, reply)
            self.assertEqual(len(json.loads(reply)), len(self.IDS))

    def test_an_id_of_another_kind_is_invalid(self):
        for id_ in (True, False, [], [1], {}, {"id": 1}):
            with self.subTest(id=id_):
                self.assertEqual(self.exchange(call("ping", id_)), error(INVALID_REQUEST))

    def test_the_id_null_is_answered(self):
        null = {**call("ping"), "id": None}
        self.assertEqual(self.exchange(null), result(None, None))
        self.assertEqual(self.exchange({**call("nosuch"), "id": None}), error(METHOD_NOT_FOUND))
        self.assertEqual(self.exchange([null, null]), [result(None, None)] * 2)

    def test_params_come_to_the_method_and_the_result_back_byte_for_byte(self):
        for params in (b"[1.0, 1E+2,-0 ]", b"{}", b'["\\u00e9\xc3\xa9"]', b'{"b":1,"a":{},"b":2}',
                       b"[" * 62 + b"]" * 62, b"[\n 1 ]"):
            with self.subTest(params=params[:50]):
                request = b'{"jsonrpc":"2.0","params": %s ,"method":"%s","id":1}'
                for method in (b"echo", b"cat"):
                    self.assertEqual(self.exchange_bytes(request % (params, method)),
                                     b'{"jsonrpc":"2.0","result":%s,"id":1}' % params)

    def test_params_that_are_null_or_absent_are_null(self):
        for method in ("echo", "cat"):
            self.assertEqual(self.exchange(call(method, 1)), result(None, 1))
            self.assertEqual(self.exchange(call(method, 1, params=None)), result(None, 1))

    def test_params_that_are_scalars_are_invalid(self):
        for params in (0, -1.5, True, False, "", "[]"):
            with self.subTest(params=params):
                self.assertEqual(self.exchange(call("cat", 1, params=params)),
                                 error(INVALID_REQUEST, 1))
                self.assertEqual(self.exchange([call("cat", 1, params=params)]),
                                 [error(INVALID_REQUEST, 1)])

    def test_a_field_of_the_envelope_that_comes_twice_is_an_error(self):
        for twice, id_ in ((b'"jsonrpc":"2.0"', 1), (b'"method":"ping"', 1), (b'"params":[]', 1),
                           (b'"id":1', None)):
            body = b'{"jsonrpc":"2.0","method":"ping","params":[],"id":1,%s}' % twice
            with self.subTest(body=body):
                self.assertEqual(self.exchange(body), error(INVALID_REQUEST, id_))
                self.assertEqual(self.exchange(b"[%s]" % body), [error(INVALID_REQUEST, id_)])
        self.assertEqual(self.exchange(b'{"x":1,"in":1,"jsonrpc":"2.0","x":2,"in":2,"id":1,'
                                       b'"method":"ping"}'), result(None, 1))

    def test_what_is_nearly_json_rpc_is_refused_in_kind(self):
        for body in (b'{"jsonrpc":2.0,"method":"ping","id":1}', b'{"jsonrpc":"2","id":1}',
                     b'{"jsonrpc":"1.0","method":"ping","id":1}', b'{"jsonrpc":"2.0","id":1}',
                     b'{"jsonrpc":null,"method":"ping","id":1}', b'{"jsonrpc":{},"id":1}',
                     b'{"jsonrpc":"2.0","Method":"ping","id":1}',
                     b'{"jsonrpc":"2.0","method":["ping"],"id":1}',
                     b'{"jsonrpc":"2.0","result":1,"id":1}'):
            with self.subTest(body=body):
                self.assertEqual(self.exchange(body), error(INVALID_REQUEST, 1))
        self.assert_alive()

    def test_a_command_finds_the_id_in_its_environment(self):
        self.serve("-m", "id=jq -n env.RPC_ID",
                   "-m", f'note=jq -n env.RPC_ID >"{self.directory}/id"')
        for id_, text in ((7, "7"), ("a b", '"a b"')):
            self.assertEqual(self.exchange(call("id", id_)), result(text, id_))
        self.assertEqual(self.exchange({**call("id"), "id": None}), result("null", None))
        self.send(call("note"))
        self.assert_nothing_more()
        self.assertEqual((self.directory / "id").read_text(), '""\n')

    def test_an_error_of_a_command_has_its_data(self):
        reply = self.exchange(call("fail", 1))
        self.assertEqual(reply["error"],
                         {"code": FAILED, "data": {"status": 1, "stderr": ""}})

    def test_a_reply_over_the_limit_is_an_error_with_its_id(self):
        self.serve("--max-frame", "500", "-m", "big=printf '\"%0490d\"' 0",
                   *(word for number in range(40) for word in ("-m", f"method-{number:04}=true")))
        for method in ("big", "methods"):
            self.assertEqual(self.exchange(call(method, 1)), error(FAILED, 1))
        self.assert_alive()


class Notifications(JsonRpc):
    def test_its_method_runs(self):
        done = self.directory / "done"
        self.serve("-m", f"note=cat >{done}.part; mv {done}.part {done}")
        self.send(call("note", params={"a": 1}))
        handoff.wait_for(done.exists, "the notification's file")
        self.assertEqual(json.loads(done.read_text()), {"a": 1})
        self.assert_nothing_more()

    def test_it_is_never_answered_whatever_comes_of_it(self):
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

    def test_it_holds_up_no_reply(self):
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
