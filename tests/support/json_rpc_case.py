# SPDX-License-Identifier: MIT
"""What the tests of JSON-RPC 2.0 share: clients of both framings, and requests and replies as
values."""

import json
import os
import pathlib

import handoff
from framings import Lengths

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
FAILED = -32001
TIMED_OUT = -32002


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
