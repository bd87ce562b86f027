# SPDX-License-Identifier: MIT
"""The master's status over HTTP, for probes, for Prometheus, and for what else may send bytes there."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import haproxy  # noqa: E402

MASTER, WORKER, PING = map(handoff.tool, ("rpc-master", "rpc-worker", "rpc-ping"))

LIMIT = 4096
MOST = 16


def exchange(address, request: bytes) -> bytes:
    """All that comes back for these bytes."""
    with handoff.Connection(address) as client:
        client.socket.sendall(request)
        return read_all(client)


def read_all(client: handoff.Connection) -> bytes:
    reply = b""
    while piece := client.socket.recv(65536):
        reply += piece
    return reply


def status_of(reply: bytes) -> int:
    return int(re.match(rb"HTTP/1\.1 (\d{3}) [A-Z][\w ]*\r\n", reply)[1])


def get(address, path: str) -> tuple[int, str]:
    reply = exchange(address, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return status_of(reply), reply.split(b"\r\n\r\n", 1)[1].decode()


class StatusTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.rpc = str(self.directory / "rpc.sock")
        self.control_path = str(self.directory / "control.sock")
        self.socket = str(self.directory / "status.sock")

    def launch(self, *options: str, **server) -> handoff.Server:
        return self.start(handoff.master("-l", self.rpc, "-c", self.control_path, *options,
                                         **server))

    def control(self, method: str):
        with handoff.Connection(self.control_path) as control:
            return control.result(method)

    def wait_until_ready(self, address=None):
        handoff.wait_for(lambda: get(address or self.socket, "/ready")[0] == 200, "readiness")

    @staticmethod
    def status_address(server: handoff.Server) -> tuple[str, int]:
        line = server.wait_for_line(r"ready, .* \(status at ")
        return handoff.parse_address(re.search(r"\(status at (\S+)\)", line)[1])


class Pages(StatusTest):
    def test_the_ready_line_names_the_address_and_each_page_is_there(self):
        server = self.launch("--status", "127.0.0.1:0")
        address = self.status_address(server)
        self.assertEqual(get(address, "/live"), (200, "live\n"))
        self.assertEqual(get(address, "/ready"), (200, "ready\n"))
        self.assertEqual(get(address, "/nothing")[0], 404)
        status = json.loads(get(address, "/status")[1])
        self.assertEqual(status["pid"], server.pid)
        self.assertEqual(status.keys(), self.control("status").keys())

    def test_the_metrics_are_those_of_the_control_method_as_prometheus_reads_them(self):
        server = self.launch("--status", self.socket)
        self.assertEqual(self.open(server).result("ping", 1), 1)
        code, text = get(self.socket, "/metrics")
        self.assertEqual(code, 200)
        self.assertTrue(text.endswith("\n"))
        value = r"(\d+(\.\d+)?([eE][-+]?\d+)?|\+Inf|NaN)"
        sample = re.compile(rf'[a-z_]+(\{{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\}})? {value}')
        comment = re.compile(r"# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge|histogram))")
        for line in text.splitlines():
            self.assertTrue(comment.fullmatch(line) or sample.fullmatch(line), line)

        def names(metrics: str) -> set[str]:
            return {line.split()[2] for line in metrics.splitlines() if line.startswith("# TYPE")}

        self.assertEqual(names(text), names(self.control("metrics")))

    def test_the_clients_of_the_standard_library_and_curl_understand_the_replies(self):
        server = self.launch("--status", "127.0.0.1:0")
        host, port = self.status_address(server)
        connection = http.client.HTTPConnection(host, port, timeout=handoff.PATIENCE)
        self.addCleanup(connection.close)
        for path, kind in (("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
                           ("/status", "application/json")):
            connection.request("GET", path)
            reply = connection.getresponse()
            body = reply.read()
            self.assertEqual((reply.status, reply.getheader("Content-Type")), (200, kind))
            self.assertEqual(int(reply.getheader("Content-Length")), len(body))
            self.assertEqual(reply.getheader("Connection"), "close")
            self.assertEqual(reply.getheader("Cache-Control"), "no-store")
            self.assertEqual(reply.getheader("X-Content-Type-Options"), "nosniff")
            self.assertIsNone(reply.getheader("Access-Control-Allow-Origin"))
            connection.request("HEAD", path)
            self.assertEqual(connection.getresponse().read(), b"")
        if not shutil.which("curl"):
            self.skipTest("no curl")
        done = subprocess.run(["curl", "-sSf", "--noproxy", "*", f"http://{host}:{port}/ready"],
                              capture_output=True, check=False, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, b"ready\n"), done.stderr)

    def test_requests_are_answered_under_load(self):
        server = self.launch("--status", self.socket)
        load = subprocess.Popen([PING, "-f", "-q", "-C", "4", self.rpc], stdout=subprocess.DEVNULL)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        handoff.wait_for(lambda: self.control("status")["requests"] > 100, "the load")
        for _ in range(50):
            for path in ("/live", "/ready", "/metrics", "/status"):
                self.assertEqual(get(self.socket, path)[0], 200)
        self.assertIsNone(load.poll())
        self.assertEqual(self.open(server).result("ping", 1), 1)


class Phases(StatusTest):
    def test_a_master_that_starts_lives_and_is_not_ready(self):
        os.mkfifo(self.directory / "fifo")
        self.start(handoff.master(
            "-l", self.rpc, "--status", self.socket, workers=1, ready=False,
            command=[WORKER, "-m", f"slow=cat {self.directory / 'fifo'}", "--ready", "slow"]))
        handoff.wait_for(lambda: pathlib.Path(self.socket).exists(), "the socket")
        self.assertEqual(get(self.socket, "/live"), (200, "live\n"))
        self.assertEqual(get(self.socket, "/ready"), (503, "not ready\n"))
        self.assertEqual(json.loads(get(self.socket, "/status")[1])["state"], "starting")
        (self.directory / "fifo").write_text("1")
        self.wait_until_ready()

    @handoff.only("connection", because="which --pass there is does not matter")
    def test_a_master_without_a_worker_is_not_ready(self):
        join = str(self.directory / "join.sock")
        self.start(handoff.Server(MASTER, "-l", self.rpc, "-j", join, "--status", self.socket))
        self.assertEqual(get(self.socket, "/ready")[0], 503)
        worker = self.start(handoff.Server(WORKER, "-j", join, ready=False))
        self.wait_until_ready()
        worker.stop()
        handoff.wait_for(lambda: get(self.socket, "/ready")[0] == 503, "the worker to be gone")

    def test_a_master_that_stops_lives_and_is_not_ready(self):
        os.mkfifo(self.directory / "fifo")
        server = self.launch("--status", self.socket,
                             command=[WORKER, "-m", f"slow=cat {self.directory / 'fifo'}"])
        client = self.open(server)
        client.send("slow")
        with (self.directory / "fifo").open("w") as fifo:
            server.kill(signal.SIGTERM)
            handoff.wait_for(lambda: get(self.socket, "/ready")[0] == 503, "the stop to begin")
            self.assertEqual(get(self.socket, "/live")[0], 200)
            self.assertEqual(json.loads(get(self.socket, "/status")[1])["state"], "stopping")
            fifo.write("1")
        self.assertEqual(client.receive()["result"], 1)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        self.assertFalse(os.path.exists(self.socket))

    def test_a_lame_duck_serves_and_is_not_ready(self):
        server = self.launch("--status", self.socket, "--lame-duck", "1m")
        server.kill(signal.SIGTERM)
        handoff.wait_for(lambda: get(self.socket, "/ready")[0] == 503, "the lame duck")
        self.assertEqual(get(self.socket, "/live")[0], 200)
        with server.connect() as client:
            self.assertEqual(client.result("ping", 1), 1)
            self.assertIsNone(client.receive())
        server.stop()

    def test_a_master_that_hangs_fails_the_check(self):
        server = self.launch("--status", self.socket)
        handoff.stop_process(server.pid)
        with handoff.Connection(self.socket, timeout=0.2) as client:
            client.socket.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            with self.assertRaises(TimeoutError):
                client.socket.recv(1)
        server.kill(signal.SIGCONT)
        self.assertEqual(get(self.socket, "/live")[0], 200)

    def test_an_upgrade_hands_the_address_to_the_new_master(self):
        tcp = self.launch("--status", "127.0.0.1:0")
        address = self.status_address(tcp)
        for _ in range(2):
            before = json.loads(get(address, "/status")[1])["pid"]
            self.control("upgrade")
            handoff.wait_for(lambda: json.loads(get(address, "/status")[1])["pid"] != before,
                             "the new master to answer")
            self.assertEqual(get(address, "/ready")[0], 200)

    def test_a_socket_in_the_file_system_survives_an_upgrade_and_not_the_server(self):
        server = self.launch("--status", self.socket)
        self.assertEqual(os.stat(self.socket).st_mode & 0o777, 0o600)
        before = os.stat(self.socket).st_ino
        self.control("upgrade")
        server.wait_for_line("takes over")
        self.assertEqual(get(self.socket, "/ready")[0], 200)
        self.assertEqual(os.stat(self.socket).st_ino, before)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(self.socket))


class Requests(StatusTest):
    def setUp(self):
        super().setUp()
        server = self.launch("--status", "127.0.0.1:0")
        self.address = self.status_address(server)

    def assert_status(self, request: bytes, status: int):
        with self.subTest(request=request[:60]):
            self.assertEqual(status_of(exchange(self.address, request)), status)

    def test_what_is_no_request_gets_an_answer_that_says_so(self):
        host = b"Host: localhost\r\n"
        for request, status in (
                (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\n", 400), (b"\r\n\r\n", 400),
                (b"GET /live HTTP/1.1\r\n" + host + host + b"\r\n", 400),
                (b"GET /live HTTP/1.1\r\n" + host + b"Content-Length: 3\r\n\r\nabc", 400),
                (b"GET /live HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n", 400),
                (b"GET /live HTTP/1.1\r\n" + host + b" folded\r\n\r\n", 400),
                (b"GET /live\x00 HTTP/1.1\r\n" + host + b"\r\n", 400),
                (b'{"in":"status"}\n', 400), (b"GET /live HTTP/2.0\r\n\r\n", 505),
                (b"POST /live HTTP/1.1\r\n" + host + b"\r\n", 405),
                (b"OPTIONS /status HTTP/1.1\r\n" + host + b"Origin: http://x\r\n\r\n", 405),
                (b"GET /../etc/passwd HTTP/1.0\r\n\r\n", 404), (b"GET /LIVE HTTP/1.0\r\n\r\n", 404),
                (b"GET /live/ HTTP/1.0\r\n\r\n", 404), (b"GET //live HTTP/1.0\r\n\r\n", 404),
                (b"GET /live?x=1 HTTP/1.0\r\n\r\n", 200),
                (b"GET /live HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
                (b"GET /live HTTP/1.1\r\nHost: 127.0.0.1.example\r\n\r\n", 421),
                (b"GET /live HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200)):
            self.assert_status(request, status)

    def test_a_request_that_is_too_long_gets_its_answer_although_more_is_sent(self):
        start = b"GET /live HTTP/1.0\r\nA: "
        self.assert_status(start + b"b" * (LIMIT - len(start) - 4) + b"\r\n\r\n", 200)
        self.assert_status(start + b"b" * (LIMIT - len(start) - 3) + b"\r\n\r\n", 431)
        self.assert_status(start + b"b" * 100_000, 431)

    def test_a_request_may_arrive_byte_by_byte(self):
        with handoff.Connection(self.address) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n":
                client.socket.sendall(bytes([byte]))
            self.assertEqual(status_of(read_all(client)), 200)

    def test_a_client_that_has_shut_down_its_side_gets_its_answer(self):
        with handoff.Connection(self.address) as client:
            client.socket.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(status_of(read_all(client)), 200)

    def test_only_the_first_of_several_requests_is_answered(self):
        reply = exchange(self.address, b"GET /live HTTP/1.0\r\n\r\n" * 3)
        self.assertEqual(reply.count(b"HTTP/1.1 "), 1)

    def test_a_slow_request_is_ended_and_keeps_nobody_out(self):
        silent = [self.stack.enter_context(handoff.Connection(self.address)) for _ in range(MOST)]
        for client in silent:
            client.socket.sendall(b"GET /live HT")
        handoff.wait_for(lambda: exchange(self.address, b"") == b"", "all to be connected")
        for client in silent:
            self.assertEqual(status_of(read_all(client)), 408)
            client.close()
        handoff.wait_for(
            lambda: exchange(self.address, b"GET /live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200"),
            "room for another")


class Options(StatusTest):
    def assert_refused(self, options: list[str], why: str):
        done = subprocess.run([MASTER, "-l", self.rpc, *options, "--", WORKER],
                              capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=handoff.PATIENCE)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, why)

    def test_an_address_that_other_hosts_reach_needs_public(self):
        self.assert_refused(["--status", "0.0.0.0:0"], "0.0.0.0:0: other hosts could connect")

    def test_an_address_that_is_none_is_a_usage_error_of_the_option(self):
        self.assert_refused(["--status", "nowhere"], "^rpc-master: --status nowhere: ")

    def test_an_address_that_is_taken_twice_is_a_usage_error(self):
        self.assert_refused(["--status", self.rpc], "is named twice")


HAPROXY = haproxy.DEFAULTS + """frontend clients
    bind {folder}/front.sock
    default_backend handoff
backend handoff
    option httpchk GET /ready
    server local unix@{folder}/rpc.sock check addr 127.0.0.1 port {port} inter 50ms fall 1 rise 1
"""


class Haproxy(StatusTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("haproxy"):
            self.skipTest("no haproxy")

    def test_haproxy_sends_clients_only_to_a_master_that_is_ready(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        configuration = self.directory / "haproxy.cfg"
        configuration.write_text(HAPROXY.format(folder=self.directory, port=port))
        os.mkfifo(self.directory / "fifo")
        self.start(handoff.master(
            "-l", self.rpc, "--status", f"127.0.0.1:{port}", workers=1, ready=False,
            command=[WORKER, "-m", f"slow=cat {self.directory / 'fifo'}", "--ready", "slow"]))
        handoff.wait_for(lambda: self.accepts(socket.AF_INET, ("127.0.0.1", port)),
                         "the master to listen")
        haproxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", configuration])
        self.addCleanup(haproxy.wait)
        self.addCleanup(haproxy.kill)
        front = str(self.directory / "front.sock")
        handoff.wait_for(lambda: self.accepts(socket.AF_UNIX, front), "HAProxy to accept")
        handoff.wait_for(lambda: self.answer() == "closed", "HAProxy to leave the master out")
        (self.directory / "fifo").write_text("1")
        handoff.wait_for(lambda: self.answer() == "served", "HAProxy to find the master ready")

    @staticmethod
    def accepts(family: int, address) -> bool:
        with socket.socket(family) as probe:
            return probe.connect_ex(address) == 0

    def answer(self) -> str:
        """What becomes of a client."""
        with handoff.Connection(str(self.directory / "front.sock"), timeout=1) as client:
            try:
                return "served" if client.call("ping", 1) else "closed"
            except TimeoutError:
                return "waiting"
            except (ConnectionResetError, BrokenPipeError):
                return "closed"


if __name__ == "__main__":
    handoff.run_tests()
