# SPDX-License-Identifier: MIT
"""What no client sends, at each place where clients are served: it gets one answer, and nothing of
it is run. The method `mark` proves it, which appends its params to a file: a client can call it."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PARSE_ERROR = -32700
INVALID_REQUEST = -32600

PING = b'{"in":"ping","params":%d}\n'
PONG = b'{"out":"pong","result":%d}\n'
MARK = b'{"in":"mark","params":"stranger"}\n'

# Lines of JSON and one of JSON-RPC, as a page may post them.
CALLS = MARK + b'{"jsonrpc":"2.0","method":"mark","params":["stranger"],"id":1}\n' + MARK

# Text that no client of the protocol begins with, and that does not look like HTTP.
TEXTS = (b"null\n", b"1234\n", b'"in"\n', b"}{}{\n", b"nonsense\n", b"SSH-2.0-OpenSSH_9.2\r\n",
         b"EHLO example.org\r\n", b"*1\r\n$4\r\nPING\r\n", b"Content-Length: 2\r\n\r\n{}",
         b"get / http/1.1\r\n", b"\r\n\r\n\r\nnull\n", b"text\0\xff" + bytes(range(256)),
         b"\n\n\n\n" + handoff.frame(MARK))

# Lengths over the limit.
BINARIES = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff\xfd\x03\xff\xfb\x18",
            b"\xef\xbb\xbf{}", b"\xff" * 4)

HTTP_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "CONNECT", "TRACE")


def http(method: str, body: bytes = CALLS) -> bytes:
    head = f"{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Stranger(handoff.Connection):
    def write(self, data: bytes):
        self.socket.sendall(data)

    def write_in_vain(self, data: bytes):
        """The server may have closed already."""
        with contextlib.suppress(ConnectionError):
            self.write(data)

    def to_end(self) -> bytes:
        """All that is answered until the server ends the connection."""
        pieces = []
        while piece := self.socket.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)

    def rest(self) -> bytes:
        self.socket.shutdown(socket.SHUT_WR)
        return self.to_end()


class StrangersCase(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.path = str(self.directory / "socket")
        self.marks = self.directory / "marks"
        self.methods = ("-m", f"mark=tee -a {self.marks}")

    def serve(self, *options: str):
        self.server = self.start(handoff.behind_any(
            *self.methods, *options, listen=(self.path, "127.0.0.1:0")))
        self.port = self.server.addresses[1][1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def meet(self, address=None) -> Stranger:
        return self.stack.enter_context(Stranger(address or self.path))

    def assert_one_http_response(self, answer: bytes):
        self.assertRegex(answer, rb"\AHTTP/1\.1 400 Bad Request\r\n")
        head, body = answer.split(b"\r\n\r\n", 1)
        self.assertIn(b"\r\nContent-Type: text/plain\r\n", head)
        self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), head)
        self.assertIn(b"\r\nConnection: close", head)
        self.assertIn(b"rpc-call ADDR --list", body)
        self.assertEqual((body.count(b"\n"), body[-1:]), (1, b"\n"))

    def assert_one_line(self, answer: bytes):
        self.assertEqual((answer.count(b"\n"), answer[-1:]), (1, b"\n"), answer)
        reply = json.loads(answer)
        self.assertEqual((reply["out"], reply["result"]["code"]), ("error", PARSE_ERROR))
        self.assertIn("rpc-call ADDR --list", reply["result"]["message"])

    def assert_one_frame(self, answer: bytes):
        size = int.from_bytes(answer[:4], "little")
        self.assertEqual(len(answer), 4 + size, answer)
        self.assertEqual(json.loads(answer[4:])["result"]["code"], INVALID_REQUEST)
        self.assertIn(b"exceeds the limit", answer)

    def assert_only_clients_ran_it(self):
        """And clients still can."""
        with handoff.Connection(self.path) as client:
            self.assertEqual(client.result("mark", "client"), "client")
        self.assertEqual(self.marks.read_text(), '"client"')
        self.marks.unlink()


class Shapes(StrangersCase):
    def test_http_gets_one_response_and_its_body_is_not_run(self):
        self.serve()
        for method in HTTP_METHODS:
            with self.subTest(method), Stranger(self.path) as stranger:
                stranger.write(http(method))
                self.assert_one_http_response(stranger.to_end())
        self.assert_only_clients_ran_it()

    def test_http_is_answered_in_the_same_way_a_byte_at_a_time(self):
        self.serve()
        stranger = self.meet()
        for byte in b"\r\n\r\nPOST / HTTP/1.1\r\n\r\n" + MARK:
            stranger.write_in_vain(bytes([byte]))
        self.assert_one_http_response(stranger.to_end())
        self.assert_only_clients_ran_it()

    def test_other_text_gets_one_line_and_what_follows_is_not_run(self):
        self.serve()
        for text in TEXTS:
            with self.subTest(text=text[:20]), Stranger(self.path) as stranger:
                stranger.write(text + CALLS)
                self.assert_one_line(stranger.to_end())
        self.assert_only_clients_ran_it()

    def test_what_is_no_text_is_a_length_over_the_limit(self):
        self.serve()
        for data in BINARIES:
            with self.subTest(data=data), Stranger(self.path) as stranger:
                stranger.write(data + b"\n" + CALLS)
                self.assert_one_frame(stranger.to_end())
        self.assert_only_clients_ran_it()

    def test_what_comes_while_the_server_waits_for_the_stranger_to_leave_is_not_run(self):
        self.serve()
        for start, check in ((b"GET / HTTP/1.1\r\n\r\n", self.assert_one_http_response),
                             (b"null\n", self.assert_one_line),
                             (b"\xff" * 4, self.assert_one_frame)):
            with self.subTest(start=start), Stranger(self.path) as stranger:
                stranger.write(start)
                answer = stranger.socket.recv(65536)
                for _ in range(100):
                    stranger.write_in_vain(CALLS + handoff.frame(MARK))
                with contextlib.suppress(ConnectionResetError):
                    answer += stranger.to_end()
                check(answer)
        self.assert_only_clients_ran_it()

    def test_more_than_the_server_reads_at_once_is_not_run(self):
        self.serve()
        stranger = self.meet()
        stranger.write_in_vain(http("POST", CALLS * 2000))
        stranger.socket.shutdown(socket.SHUT_WR)
        self.assert_one_http_response(stranger.to_end())
        self.assert_only_clients_ran_it()

    def test_a_stranger_is_answered_at_the_end_of_what_it_sends(self):
        self.serve()
        for data in (b"1\n", b"\n1", b"G\r\n", b"\r\n\r\nGE", b"null"):
            with self.subTest(data=data), Stranger(self.path) as stranger:
                stranger.write(data)
                self.assert_one_line(stranger.rest())
        self.assert_only_clients_ran_it()

    def test_a_stranger_that_stops_in_the_middle_is_answered_at_the_deadline(self):
        self.serve("--frame-timeout", "100ms")
        for data in (b"1\n", b"\r\n\r\nGE"):
            with self.subTest(data=data), Stranger(self.path) as stranger:
                stranger.write(data)
                self.assert_one_line(stranger.to_end())
        self.assert_only_clients_ran_it()


class Clients(StrangersCase):
    """What is no stranger's."""

    def test_a_bad_later_line_is_an_error_and_the_connection_lives_on(self):
        self.serve()
        for first in (b'{"in":"ping","params":0}\n', b"{nonsense\n", b"[]\n"):
            with self.subTest(first=first), Stranger(self.path) as client:
                client.write(first + b"null\nGET / HTTP/1.1\r\n\xff\n" + PING % 1)
                *replies, last = client.rest().splitlines(keepends=True)
                self.assertEqual((len(replies), last), (4, PONG % 1))
                for reply in replies[1:]:
                    self.assertIn(b'"error"', reply)

    def test_blanks_before_the_first_line_are_none(self):
        self.serve()
        for blanks in (b" ", b"\r\n", b"\n\n\n\n", b"\t \r\n" * 1000, b"\n" * 3000000):
            with self.subTest(blanks=blanks[:8]), Stranger(self.path) as client:
                client.write(blanks + PING % 1 + PING % 2)
                self.assertEqual(client.rest(), PONG % 1 + PONG % 2)

    def test_blanks_alone_are_not_answered(self):
        self.serve()
        for blanks in (b"\n", b" \n ", b"    ", b"\r\n" * 1000):
            with self.subTest(blanks=blanks[:8]), Stranger(self.path) as client:
                client.write(blanks)
                self.assertEqual(client.rest(), b"")

    def test_a_client_with_lengths_may_send_what_it_likes(self):
        self.serve()
        client = self.meet()
        client.write(handoff.frame(b"GET / HTTP/1.1\r\n\r\n") + handoff.frame(PING % 1))
        self.assertEqual(client.receive()["result"]["code"], PARSE_ERROR)
        self.assertEqual(client.receive()["result"], 1)


class Framings(StrangersCase):
    def test_where_lines_are_expected(self):
        self.serve("--framing", "lines")
        for data in (*TEXTS, b"1\n", b"\xff\n", handoff.frame(MARK)):
            with self.subTest(data=data[:20]), Stranger(self.path) as stranger:
                stranger.write(data + CALLS)
                self.assert_one_line(stranger.to_end())
        stranger = self.meet()
        stranger.write(http("POST"))
        self.assert_one_http_response(stranger.to_end())
        client = self.meet()
        client.write(b'\n {"in":"mark","params":"client"}\n')
        self.assertEqual(json.loads(client.rest())["result"], "client")
        self.assertEqual(self.marks.read_text(), '"client"')

    def test_where_lengths_are_expected(self):
        self.serve("--framing", "length")
        stranger = self.meet()
        stranger.write(http("POST"))
        self.assert_one_http_response(stranger.to_end())
        for text in (*TEXTS, CALLS):
            with self.subTest(text=text[:20]), Stranger(self.path) as other:
                other.write(text + CALLS)
                self.assert_one_frame(other.to_end())
        self.assert_only_clients_ran_it()


class Places(StrangersCase):
    def test_a_worker_on_its_standard_input(self):
        for data, check in ((http("POST"), self.assert_one_http_response),
                            (b"null\n" + CALLS, self.assert_one_line)):
            done = subprocess.run([handoff.tool("rpc-worker"), "--stdio", *self.methods],
                                  input=data, capture_output=True, timeout=handoff.PATIENCE)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            check(done.stdout)
        self.assertFalse(self.marks.exists())
        subprocess.run([handoff.tool("rpc-worker"), "--stdio", *self.methods], input=MARK,
                       stdout=subprocess.DEVNULL, check=True, timeout=handoff.PATIENCE)
        self.assertTrue(self.marks.exists())

    def test_the_control_socket_of_a_master(self):
        control = str(self.directory / "control")
        server = self.start(handoff.master("-c", control, workers=1))
        call = b'{"in":"scale","params":{"workers":3}}\n'
        for start, check in ((b"POST / HTTP/1.1\r\n\r\n", self.assert_one_http_response),
                             (b"null\n", self.assert_one_line)):
            stranger = self.meet(control)
            stranger.write(start + call)
            check(stranger.to_end())
        with handoff.Connection(control) as client:
            self.assertEqual(len(client.result("workers")), 1)
            client.send_body(call)
            self.assertEqual(client.receive()["out"], "scale")
        handoff.wait_for(lambda: len(server.worker_pids()) == 3, "the workers that a client wanted")

    @handoff.only("connection", because="each master is one of its own here")
    def test_workers_under_a_master_with_each_pass(self):
        for model in ("connection", "listener", "queue"):
            path = str(self.directory / model)
            self.start(handoff.master("-l", path, "--pass", model, workers=1,
                                      command=[handoff.tool("rpc-worker"), *self.methods]))
            for data, check in ((http("POST"), self.assert_one_http_response),
                                (b"null\n" + CALLS, self.assert_one_line)):
                with self.subTest(model):
                    stranger = self.meet(path)
                    stranger.write(data)
                    check(stranger.to_end())
            self.assertFalse(self.marks.exists())
            with handoff.Connection(path) as client:
                self.assertEqual(client.result("mark", "client"), "client")
            self.marks.unlink()


class Moves(StrangersCase):
    """Workers that are replaced meanwhile."""

    def setUp(self):
        super().setUp()
        control = str(self.directory / "control")
        self.server = self.start(handoff.master(
            "-c", control, "-l", self.path, workers=1,
            command=[handoff.tool("rpc-worker"), *self.methods]))
        self.control = self.stack.enter_context(handoff.Connection(control))

    def reload(self):
        """Until the old worker is gone."""
        old = self.server.worker_pids()
        self.control.result("reload")
        handoff.wait_for(lambda: not set(old) & set(self.server.worker_pids()),
                         "the old worker to leave")

    def test_a_stranger_that_was_refused_is_not_passed_on(self):
        for start, check in ((http("POST"), self.assert_one_http_response),
                             (b"null\n", self.assert_one_line)):
            stranger = self.meet()
            stranger.write(start)
            answer = stranger.socket.recv(65536)
            self.reload()
            stranger.write_in_vain(CALLS)
            with contextlib.suppress(ConnectionResetError):
                answer += stranger.to_end()
            check(answer)
        self.assert_only_clients_ran_it()

    def test_a_start_that_is_not_judged_yet_is_judged_by_the_next_worker(self):
        for first, then, check in (
                (b"PO", b"ST / HTTP/1.1\r\n\r\n", self.assert_one_http_response),
                (b"\r\n\r\n\r\nPO", b"ST / HTTP/1.1\r\n\r\n", self.assert_one_http_response),
                (b"\n\n\n\n\n", b"null\n", self.assert_one_line),
                (b"nu", b"ll\n", self.assert_one_line)):
            with self.subTest(first=first):
                stranger = self.meet()
                stranger.write(first)
                handoff.wait_for(lambda: handoff.is_read(stranger), "the bytes to be read")
                self.reload()
                stranger.write(then + CALLS)
                check(stranger.to_end())
        self.assert_only_clients_ran_it()

    def test_a_client_that_has_sent_blanks_is_served_by_the_next_worker(self):
        client = self.meet()
        client.write(b"\n\n \n\n\n")
        handoff.wait_for(lambda: handoff.is_read(client), "the bytes to be read")
        self.reload()
        client.write(PING % 1)
        self.assertEqual(client.rest(), PONG % 1)

    def test_a_master_that_stops_runs_nothing_of_a_stranger(self):
        stranger = self.meet()
        stranger.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = stranger.socket.recv(65536)
        self.server.kill(signal.SIGTERM)
        stranger.write_in_vain(CALLS)
        with contextlib.suppress(ConnectionResetError):
            answer += stranger.to_end()
        self.assert_one_http_response(answer)
        self.assertEqual(self.server.process.wait(handoff.PATIENCE), 0)
        self.assertFalse(self.marks.exists())


class Programs(StrangersCase):
    """Clients of other protocols."""

    def setUp(self):
        super().setUp()
        self.serve()

    def run_program(self, *words: str, stdin: bytes = b""):
        if not shutil.which(words[0]):
            self.skipTest(f"no {words[0]}")
        return subprocess.run(words, input=stdin, capture_output=True,
                              timeout=handoff.PATIENCE)

    def curl(self, *words: str, stdin: bytes = b""):
        return self.run_program("curl", "-q", "-sS", "-i", "--noproxy", "*", *words, stdin=stdin)

    def test_curl_gets_a_page(self):
        for more in ([], ["--unix-socket", self.path]):
            done = self.curl(*more, self.url)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assert_one_http_response(done.stdout)
        self.assert_only_clients_ran_it()

    def test_curl_posts_calls(self):
        for body in (MARK, CALLS, CALLS * 100, b"\n" + MARK):
            done = self.curl("--data-binary", "@-", self.url, stdin=body)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assert_one_http_response(done.stdout)
        self.assert_only_clients_ran_it()

    def test_curl_posts_calls_with_http_2(self):
        done = self.curl("--http2-prior-knowledge", "--data-binary", "@-", self.url, stdin=CALLS)
        self.assertNotEqual(done.returncode, 0)
        self.assert_only_clients_ran_it()

    def test_curl_posts_calls_with_tls(self):
        url = f"https://127.0.0.1:{self.port}/"
        done = self.curl("-k", "--data-binary", "@-", url, stdin=CALLS)
        self.assertNotEqual(done.returncode, 0)
        self.assert_only_clients_ran_it()

    def test_openssl_opens_tls(self):
        done = self.run_program("openssl", "s_client", "-quiet", "-connect",
                                f"127.0.0.1:{self.port}", stdin=CALLS)
        self.assertNotEqual(done.returncode, 0)
        self.assert_only_clients_ran_it()

    def test_python_opens_tls(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), handoff.PATIENCE) as plain:
            with self.assertRaises(ssl.SSLError):
                context.wrap_socket(plain)
        self.assert_only_clients_ran_it()

    def test_node_fetches_and_posts(self):
        script = """
            const [url, body] = process.argv.slice(1);
            const tell = async (options) => {
              const response = await fetch(url, options);
              console.log(response.status, response.headers.get("content-type"),
                          JSON.stringify(await response.text()));
            };
            tell({}).then(() => tell({method: "POST", body}));
        """
        done = self.run_program("node", "-e", script, self.url, CALLS.decode())
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout,
                         rb'\A(400 text/plain "[^"]*rpc-call ADDR --list[^"]*"\n){2}\Z')
        self.assert_only_clients_ran_it()


if __name__ == "__main__":
    handoff.run_tests()
