# SPDX-License-Identifier: MIT
"""Messages as lines of text, from programs that know nothing but lines."""

import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from lines_case import INVALID_REQUEST, LinesCase, PARSE_ERROR, PING, PONG  # noqa: E402


class Programs(LinesCase):
    """Programs that send lines. The last line has a newline or not, and their input then ends."""

    REQUESTS = (b'{"in":"echo","params":[1, 2]}\n{"jsonrpc":"2.0","method":"echo","id":7}\n'
                b'{"in":"echo","params":"last"}')
    REPLIES = (b'{"out":"echo","result":[1, 2]}\n{"jsonrpc":"2.0","result":null,"id":7}\n'
               b'{"out":"echo","result":"last"}\n')

    def setUp(self):
        super().setUp()
        self.path = str(self.directory / "socket")
        self.server = self.start(handoff.behind_any(listen=(self.path, "127.0.0.1:0")))
        self.port = str(self.server.addresses[1][1])

    def assert_answers(self, *words: str):
        for requests in (self.REQUESTS, self.REQUESTS + b"\n"):
            done = subprocess.run(words, input=requests, capture_output=True, check=True,
                                  timeout=handoff.PATIENCE)
            self.assertEqual((done.stdout, done.stderr), (self.REPLIES, b""))

    def test_nc_sends_lines_over_a_unix_socket(self):
        self.assert_answers("nc", "-N", "-U", self.path)

    def test_nc_sends_lines_over_tcp(self):
        self.assert_answers("nc", "-N", "127.0.0.1", self.port)

    @unittest.skipUnless(shutil.which("socat"), "there is no socat")
    def test_socat_sends_lines_over_a_unix_socket_and_tcp(self):
        self.assert_answers("socat", "-t30", "-", f"UNIX-CONNECT:{self.path}")
        self.assert_answers("socat", "-t30", "-", f"TCP:127.0.0.1:{self.port}")

    def test_bash_alone_sends_lines_and_reads_the_replies(self):
        script = r"""exec 7<>"/dev/tcp/127.0.0.1/$1"
            while IFS= read -r request || [[ $request ]]; do
              printf '%s\n' "$request" >&7
              IFS= read -r reply <&7
              printf '%s\n' "$reply"
            done"""
        self.assert_answers("bash", "-c", script, "bash", self.port)

    def test_a_pipe_brings_lines_to_a_worker_on_its_standard_input(self):
        self.assert_answers(handoff.tool("rpc-worker"), "--stdio")

    def test_nc_sends_a_thousand_lines(self):
        requests = b"".join(PING % number + b"\n" for number in range(1000))
        replies = b"".join(PONG % number + b"\n" for number in range(1000))
        done = subprocess.run(["nc", "-N", "-U", self.path], input=requests, capture_output=True,
                              check=True, timeout=handoff.PATIENCE)
        self.assertEqual(done.stdout, replies)


class Arrival(LinesCase):
    def setUp(self):
        super().setUp()
        self.serve("-m", "one=echo 1", "-m", "cat=cat")

    def test_lines_may_arrive_a_byte_at_a_time(self):
        self.client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(3):
            for byte in PING % number + b"\r\n":
                self.client.write(bytes([byte]))
            self.assertEqual(self.client.line(), PONG % number)

    def test_a_line_cut_anywhere_is_one(self):
        request = b'{"in":"echo","params":["\xc3\xa9"]}\r\n'
        for size in range(1, len(request)):
            with self.connect() as client:
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.write(request[:size])
                # By then the worker has seen the first part.
                self.client.write(PING % size + b"\n")
                self.assertEqual(self.client.line(), PONG % size)
                client.write(request[size:])
                self.assertEqual(client.line(), b'{"out":"echo","result":["\xc3\xa9"]}')

    def test_a_thousand_lines_in_one_write_are_answered_in_order(self):
        self.client.write(b"".join(PING % number + b"\n" for number in range(1000)))
        self.assertEqual(self.client.rest_of_lines(), [PONG % number for number in range(1000)])

    def test_a_thousand_lines_with_calls_among_them_are_answered_in_order(self):
        self.client.write(b"".join(
            b'{"in":"one"}\n' if number % 100 == 0 else PING % number + b"\n"
            for number in range(1000)))
        self.assertEqual(self.client.rest_of_lines(),
                         [b'{"out":"one","result":1}' if number % 100 == 0 else PONG % number
                          for number in range(1000)])

    def test_more_calls_than_may_run_at_a_time_and_a_last_one_without_newline(self):
        self.serve("-k", "cat=cat")
        self.client.write(b"\n".join(b'{"in":"cat","params":%d}' % number for number in range(400)))
        self.assertEqual(self.client.rest_of_lines(),
                         [b'{"out":"cat","result":%d}' % number for number in range(400)])

    def test_megabytes_of_lines_are_answered_while_they_come(self):
        requests = b"".join(b'{"in":"echo","params":"%s"}\n' % (b"%d" % (number % 10) * 50000)
                            for number in range(100))
        sender = threading.Thread(target=self.client.write, args=(requests,), daemon=True)
        sender.start()
        for number in range(100):
            reply = self.client.line()
            expected = b'{"out":"echo","result":"%s"}' % (b"%d" % (number % 10) * 50000)
            self.assertTrue(reply == expected, reply[:100])
        sender.join()

    def test_a_line_of_900_kilobytes_comes_back(self):
        text = b"x" * 900000
        for method in (b"echo", b"cat"):
            self.client.write(b'{"in":"%s","params":"%s"}\n' % (method, text) + PING % 1 + b"\n")
            reply = self.client.line()
            self.assertTrue(reply == b'{"out":"%s","result":"%s"}' % (method, text), reply[:100])
            self.assertEqual(self.client.line(), PONG % 1)

    def test_blank_lines_are_skipped(self):
        self.client.write(b"\n\r\n\n\n" + PING % 1 + b"\n\n\r\n" + PING % 2 + b"\n\n\n")
        self.assertEqual(self.client.rest_of_lines(), [PONG % 1, PONG % 2])

    def test_nothing_but_blank_lines_is_not_answered(self):
        for blank in (b"\n", b"\r\n", b"\n\n\n", b"\n\n\n\n", b"\r\n\r\n", b"\n" * 1000):
            with self.subTest(blank=blank[:10]), self.connect() as client:
                client.write(blank)
                self.assertEqual(client.rest_of_lines(), [])

    def test_a_carriage_return_before_the_newline_is_no_part_of_the_line(self):
        self.client.write(PING % 1 + b"\r\n" + PING % 2 + b"\n" + PING % 3 + b"\r\n")
        self.assertEqual(self.client.rest_of_lines(), [PONG % 1, PONG % 2, PONG % 3])

    def test_the_last_line_needs_no_newline(self):
        for end in (b"", b"\r", b"\n", b"\r\n"):
            for before in (b"", PING % 1 + b"\n"):
                with self.subTest(end=end, before=before), self.connect() as client:
                    client.write(before + b'{"in":"one"}' + end)
                    replies = [PONG % 1] if before else []
                    self.assertEqual(client.rest_of_lines(), [*replies, b'{"out":"one","result":1}'])

    def test_a_last_line_that_was_cut_off_is_an_error(self):
        self.client.write(PING % 1 + b'\n{"in":"ping","par')
        first, second = self.client.rest_of_lines()
        self.assertEqual(first, PONG % 1)
        self.assert_error(second, PARSE_ERROR)

    def test_fewer_than_four_bytes_are_lines_if_they_end_with_a_newline(self):
        for text, code in ((b"[\n", PARSE_ERROR), (b"{\n", PARSE_ERROR), (b"{\r\n", PARSE_ERROR),
                           (b"{}\n", INVALID_REQUEST), (b"\n{\n", PARSE_ERROR)):
            with self.subTest(text=text), self.connect() as client:
                client.write(text)
                replies = client.rest_of_lines()
                self.assertEqual(len(replies), 1)
                self.assert_error(replies[0], code)

    def test_fewer_than_four_bytes_that_are_no_line_are_not_answered(self):
        for data in (b"\x20", b"\0\0\0", b"\xff\n", b"\x05\0\n"):
            with self.subTest(data=data), self.connect() as client:
                client.write(data)
                self.assertEqual(client.rest_of_lines(), [])


class Replies(LinesCase):
    def test_each_reply_is_one_line_whatever_a_method_prints(self):
        self.serve("-m", "pretty=jq .", "-m", r"wide=printf '\n[1,\n\n 2]\n\n'",
                   "-m", r"""newline=jq -n '"a\nb"'""",
                   "-m", "fail=echo first >&2; echo second >&2; exit 1")
        params = b'{"a":[1,{"b":"x  y"}],"c":"\\n"}'
        self.client.write(b'{"in":"pretty","params":%s}\n{"in":"wide"}\n{"in":"newline"}\n'
                          b'{"in":"fail"}\n' % params)
        self.client.write(b'[{"jsonrpc":"2.0","method":"pretty","params":%s,"id":1},\t'
                          b'{"jsonrpc":"2.0","method":"wide","id":2}]\n' % params)
        self.client.write(b'{"jsonrpc":"2.0","method":"pretty","params":%s,"id":3}\n' % params)
        replies = [json.loads(line) for line in self.client.rest_of_lines()]
        value = json.loads(params)
        in_order = [reply for reply in replies if isinstance(reply, dict) and "out" in reply]
        self.assertEqual([reply["result"] for reply in in_order[:3]], [value, [1, 2], "a\nb"])
        self.assertEqual(in_order[3]["result"]["data"], {"status": 1, "stderr": "first\nsecond"})
        others = [reply for reply in replies if reply not in in_order]
        self.assertEqual(len(others), 2)
        self.assertIn({"jsonrpc": "2.0", "result": value, "id": 3}, others)
        batch = next(reply for reply in others if isinstance(reply, list))
        self.assertCountEqual([reply["result"] for reply in batch], [value, [1, 2]])

    def test_tokens_and_spaces_come_back_as_they_went(self):
        self.serve()
        for params in (b"[1.0, 1E+2,-0 ]", b'"\\u00e9\xc3\xa9\\ud83d\\ude00\\n"', b"[\t1\t]",
                       b'{"b":1,"a":{"b":1},"b":2}', b"[" * 63 + b"]" * 63, b'"{}[]"'):
            self.client.write(b'{"in":"echo","params":%s}\n' % params)
            self.assertEqual(self.client.line(), b'{"out":"echo","result":%s}' % params)

    def test_an_error_leaves_the_connection_usable(self):
        self.serve()
        self.client.write(b"{nonsense\n" + PING % 0 + b"\n")
        self.assert_error(self.client.line(), PARSE_ERROR)
        self.assertEqual(self.client.line(), PONG % 0)
        for text, code in ((b"nonsense", PARSE_ERROR), (b"[]", INVALID_REQUEST),
                           (b'{"in":"ping"', PARSE_ERROR), (b'"params":1}', PARSE_ERROR),
                           (b'{"in":"ping"}\x00', PARSE_ERROR), (b'{"in":"\xff"}', PARSE_ERROR),
                           (b'{"in":"ping"} {"in":"ping"}', PARSE_ERROR),
                           (b"\x00\x00\x00\x00", PARSE_ERROR), (b"\xef\xbb\xbf{}", PARSE_ERROR),
                           (b"GET / HTTP/1.1\r", PARSE_ERROR), (b"1", INVALID_REQUEST)):
            with self.subTest(text=text):
                self.client.write(text + b"\n" + PING % 1 + b"\n")
                self.assert_error(self.client.line(), code)
                self.assertEqual(self.client.line(), PONG % 1)

    def test_replies_come_in_order_and_with_an_id_as_soon_as_they_are_ready(self):
        gate = self.directory / "gate"
        os.mkfifo(gate)
        self.serve("-m", f"slow=cat {gate}")
        self.client.write(b'{"in":"slow"}\n' + PING % 2 + b'\n{"in":"ping","id":"a"}\n')
        self.assertEqual(self.client.line(), b'{"out":"pong","result":null,"id":"a"}')
        gate.write_text("[\n1]")
        self.assertEqual(json.loads(self.client.line()), {"out": "slow", "result": [1]})
        self.assertEqual(self.client.line(), PONG % 2)


class Leavers(LinesCase):
    def test_clients_that_leave_in_the_middle_harm_nobody(self):
        self.serve("-m", "cat=cat")
        for data in (b"{", b'{"in":"ping"', b'{"in":"cat"}\n', b'{"in":"cat"}', b"1\n",
                     b'[{"jsonrpc":"2.0","method":"cat","id":1}]\n{'):
            for reset in (False, True):
                with self.connect() as client:
                    client.write(data)
                    if reset:
                        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                 struct.pack("ii", 1, 0))
        self.client.write(PING % 1 + b"\n")
        self.assertEqual(self.client.line(), PONG % 1)
        self.assertEqual(self.server.process.poll(), None)


class Cluster(LinesCase):
    def test_lines_through_a_master_reach_each_worker(self):
        self.server = self.start(handoff.master(workers=2))
        wanted = set(self.server.worker_pids())
        pids = set()
        for _ in range(4):
            with self.connect() as client:
                client.write(b'{"in":"info"}\n{"jsonrpc":"2.0","method":"info","id":1}')
                first, second = map(json.loads, client.rest_of_lines())
                if handoff.PASS != "queue":
                    self.assertEqual(first["result"], second["result"])
                pids |= {first["result"]["pid"], second["result"]["pid"]}
        if handoff.PASS != "listener":
            self.assertEqual(pids, wanted)
        self.assertLessEqual(pids, wanted)

    def test_nc_and_a_client_with_lengths_are_served_by_one_worker_under_a_master(self):
        path = str(self.directory / "socket")
        self.server = self.start(handoff.master(
            "-l", path, workers=1, command=[handoff.tool("rpc-worker"), "-m", "pretty=jq ."]))
        lengths = self.open(self.server)
        self.assertEqual(lengths.result("pretty", [1]), [1])
        done = subprocess.run(["nc", "-N", "-U", path], capture_output=True, check=True,
                              input=b'{"in":"pretty","params":[1]}\n', timeout=handoff.PATIENCE)
        self.assertEqual(done.stdout.count(b"\n"), 1)
        self.assertEqual(json.loads(done.stdout), {"out": "pretty", "result": [1]})
        self.assertEqual(lengths.result("pretty", [2]), [2])

    def test_the_workers_of_a_master_keep_to_their_framing(self):
        self.server = self.start(handoff.master(
            command=[handoff.tool("rpc-worker"), "--framing", "lines"]))
        for _ in range(2):
            with self.connect() as client:
                client.write(b"{}\n")
                self.assert_error(client.line(), INVALID_REQUEST)

    def test_a_master_that_drains_answers_the_lines_that_came(self):
        gate, entered = self.directory / "gate", self.directory / "entered"
        os.mkfifo(gate)
        os.mkfifo(entered)
        self.server = self.start(handoff.master(workers=1, command=[
            handoff.tool("rpc-worker"), "-m", f"slow=echo >{entered}; cat {gate}"]))
        client = self.connect()
        client.write(b'{"in":"slow"}\n')
        entered.read_text()
        self.server.kill(signal.SIGTERM)
        gate.write_text("[\n1\n]")
        (line,) = client.lines_to_end()
        reply = json.loads(line)
        reply.pop("last", None)  # the worker may not know yet that its master stops
        self.assertEqual(reply, {"out": "slow", "result": [1]})
        self.assertEqual(self.server.process.wait(handoff.PATIENCE), 0)


if __name__ == "__main__":
    handoff.run_tests()
