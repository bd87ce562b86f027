# SPDX-License-Identifier: MIT
"""JSON-RPC 2.0: the examples of its specification, its envelopes, and the dialect of the article
on the same connection."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from framings import Lengths, Lines  # noqa: E402
from json_rpc_case import (  # noqa: E402
    FAILED, INVALID_REQUEST, JsonRpc, METHOD_NOT_FOUND, PARSE_ERROR, TIMED_OUT, any_order,
    article_error, call, error, result)


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

    def test_an_example_of_a_notification(self):
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


if __name__ == "__main__":
    handoff.run_tests()
