# SPDX-License-Identifier: MIT
"""The header by which a proxy tells the address of its client, whoever accepts and serves."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import haproxy  # noqa: E402

MASTER, WORKER, FDRECV = map(handoff.tool, ("rpc-master", "rpc-worker", "fdrecv"))
PLAIN_WORKER = str(pathlib.Path(__file__).parents[1] / "support" / "plain_worker.py")

SERVING = (WORKER, "-m", "peer=printf '\"%s\"' \"$RPC_PEER\"")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 8080\r\n"


def binary(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(block).to_bytes(2, "big") + block


def ipv4(address: str, port: int, more: bytes = b"") -> bytes:
    block = socket.inet_aton(address) + socket.inet_aton("10.0.0.1")
    return binary(0x21, 0x11, block + port.to_bytes(2, "big") + bytes([31, 144]) + more)


def ipv6(address: str, port: int) -> bytes:
    block = socket.inet_pton(socket.AF_INET6, address) + bytes(16)
    return binary(0x21, 0x21, block + port.to_bytes(2, "big") + bytes(2))


def unix(path: bytes) -> bytes:
    return binary(0x21, 0x31, path.ljust(108, b"\0") + b"/proxy".ljust(108, b"\0"))


# Each header, and the client that it tells.
CLIENTS = {
    LINE: "192.0.2.7:4660",
    b"PROXY TCP6 2001:db8::5 ::1 65535 1\r\n": "[2001:db8::5]:65535",
    b"PROXY TCP6 ::ffff:192.0.2.8 ::1 9 1\r\n": "192.0.2.8:9",
    ipv4("192.0.2.9", 80): "192.0.2.9:80",
    ipv4("192.0.2.9", 81, b"\x04\0\x03abc" + b"\xee" + bytes([15, 0]) + bytes(3840)): "192.0.2.9:81",
    ipv6("2001:db8::6", 7): "[2001:db8::6]:7",
    unix(b"/run/client.sock"): "/run/client.sock",
    unix(b"\0name"): "@name",
    unix(b""): "unix",
}

# Headers that tell no client.
SILENT = (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
          binary(0x20, 0, b""), binary(0x20, 0x11, b"anything"), binary(0x21, 0, b""))

MALFORMED = (b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 80800\r\n", b"PROXY UNKNOWN\n",
             b"PROXY UNKNOWN " + bytes(100) + b"\r\n", b"{\"in\":\"ping\"}\n",
             binary(0x22, 0x11, bytes(12)), binary(0x21, 0x11, bytes(11)),
             SIGNATURE + b"\x21\x11\x10\x01", unix(b"/a\nb"))


class HeaderTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.path = str(self.directory / "rpc.sock")
        self.control_path = str(self.directory / "control.sock")

    def launch(self, *options: str, **server) -> handoff.Server:
        server.setdefault("command", SERVING)
        return self.start(handoff.master(
            "-l", "127.0.0.1:0", "-l", self.path, "-c", self.control_path, "--proxy-from",
            "127.0.0.0/8", "--proxy-from", "unix", *options, **server))

    def connect(self, address, first: bytes = b"") -> handoff.Connection:
        client = self.stack.enter_context(handoff.Connection(address))
        client.socket.sendall(first)
        return client

    def control(self, method: str, params=None):
        with handoff.Connection(self.control_path) as control:
            return control.result(method, params)

    def assert_closed(self, client: handoff.Connection):
        """Whether the connection was reset or only closed is not the point."""
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(client.socket.recv(1), b"")


class Header(HeaderTest):
    def test_the_client_of_a_header_is_the_peer_of_the_connection(self):
        server = self.launch()
        for address in server.addresses:
            for header, peer in CLIENTS.items():
                with self.subTest(address=address, header=header[:40]):
                    self.assertEqual(self.connect(address, header).result("peer"), peer)

    def test_a_header_and_a_request_may_arrive_together(self):
        server = self.launch()
        request = handoff.frame(b'{"in":"peer"}')
        for header, peer in CLIENTS.items():
            client = self.connect(server.address, header + request + request)
            self.assertEqual([client.receive()["result"] for _ in range(2)], [peer, peer])

    def test_a_header_that_tells_no_client_leaves_the_peer_of_the_socket(self):
        server = self.launch()
        for header in SILENT:
            client = self.connect(server.address, header)
            host, port = client.socket.getsockname()
            self.assertEqual(client.result("peer"), f"{host}:{port}")

    def test_a_header_may_arrive_byte_by_byte(self):
        server = self.launch()
        for header in (LINE, ipv4("192.0.2.7", 4660)):
            client = self.connect(self.path)
            for byte in header:
                client.socket.sendall(bytes([byte]))
                handoff.wait_for(lambda: handoff.is_read(client), "the byte to be read")
            self.assertEqual(client.result("peer"), "192.0.2.7:4660")
        self.assertEqual(self.open_headers(server), [])

    @staticmethod
    def open_headers(server: handoff.Server) -> list[str]:
        return [line for line in server.lines if "PROXY header" in line]

    def test_a_malformed_header_ends_the_connection_and_no_other(self):
        server = self.launch()
        waiting = self.connect(server.address, LINE[:20])
        for header in MALFORMED:
            with self.subTest(header=header):
                self.assert_closed(self.connect(server.address, header))
        server.wait_for_line(
            r"cannot read the PROXY header of 127\.0\.0\.1:\d+: .+; the connection is closed")
        waiting.socket.sendall(LINE[20:])
        self.assertEqual(waiting.result("peer"), "192.0.2.7:4660")
        if handoff.PASS != "listener":  # where the workers count
            self.assertEqual(self.control("status")["refused_headers"], len(MALFORMED))

    def test_a_header_has_three_seconds(self):
        server = self.launch()
        silent, slow = self.connect(server.address), self.connect(server.address, LINE[:-1])
        self.assert_closed(silent)
        self.assert_closed(slow)
        server.wait_for_line("PROXY header of .*: it did not arrive within 3s")
        self.assertEqual(self.connect(server.address, LINE).result("peer"), "192.0.2.7:4660")

    def test_a_check_whether_the_port_is_open_is_no_failure(self):
        server = self.launch()
        for _ in range(20):
            self.connect(server.address).close()
        self.assertEqual(self.connect(server.address, LINE).result("peer"), "192.0.2.7:4660")
        self.assertEqual(self.open_headers(server), [])

    def test_a_client_from_elsewhere_is_an_ordinary_one(self):
        server = self.start(handoff.master("-l", "127.0.0.1:0", "-l", self.path, "--proxy-from",
                                           "10.0.0.0/8", command=SERVING))
        client = self.connect(server.address)
        self.assertEqual(client.result("peer"), "{}:{}".format(*client.socket.getsockname()))
        self.assertEqual(self.connect(self.path).result("peer"), "unix")
        stranger = self.connect(server.address, LINE)
        self.assertIn(b"-32700", stranger.socket.recv(1000))

    def test_a_stop_does_not_wait_for_a_header(self):
        server = self.launch()
        waiting = self.connect(self.path, LINE[:20])
        handoff.wait_for(lambda: handoff.is_read(waiting), "the part of a header to be read")
        self.assertEqual(server.stop(), 0)
        self.assert_closed(waiting)


class Moves(HeaderTest):
    """The address goes where its connection goes."""

    def setUp(self):
        super().setUp()
        self.server = self.launch()
        self.clients = {peer: self.connect(address, header)
                        for address in self.server.addresses for header, peer in CLIENTS.items()}
        self.assert_known()

    def assert_known(self):
        for peer, client in self.clients.items():
            self.assertEqual(client.result("peer"), peer)

    def test_a_reload_keeps_it(self):
        for _ in range(2):
            self.control("reload")
            self.assert_known()

    def test_an_upgrade_keeps_it(self):
        for _ in range(2):
            seen = len(self.server.lines)
            self.control("upgrade")
            self.server.wait_for_line(r"upgraded, pid \d+ takes over", seen)
            self.assert_known()
            self.assertEqual(self.connect(self.server.address, LINE).result("peer"),
                             "192.0.2.7:4660")

    def test_a_header_that_arrives_during_an_upgrade_is_read_to_its_end(self):
        waiting = self.connect(self.path, LINE[:20])
        handoff.wait_for(lambda: handoff.is_read(waiting), "the part of a header to be read")
        self.control("upgrade")
        self.server.wait_for_line(r"upgraded, pid \d+ takes over")
        waiting.socket.sendall(LINE[20:])
        self.assertEqual(waiting.result("peer"), "192.0.2.7:4660")

    def test_a_header_that_arrives_during_a_reload_is_read_to_its_end(self):
        waiting = self.connect(self.path, LINE[:20])
        handoff.wait_for(lambda: handoff.is_read(waiting), "the part of a header to be read")
        self.server.kill(signal.SIGHUP)
        handoff.wait_for(lambda: self.control("status")["reloads"] == 1
                         or self.control("status")["state"] == "reloading", "the reload")
        waiting.socket.sendall(LINE[20:])
        self.assertEqual(waiting.result("peer"), "192.0.2.7:4660")

    def test_the_death_of_a_worker_keeps_it(self):
        if handoff.PASS == "listener":
            # A worker deposits connections that it has had for a second.
            handoff.wait_for(self.are_deposited, "the connections to be deposited")
        for pid in self.server.worker_pids():
            # Only then does the ledger say that the last reply was written.
            handoff.wait_for(lambda pid=pid: handoff.sleeps(pid), "the worker to be idle")
            os.kill(pid, signal.SIGKILL)
        self.assert_known()

    def are_deposited(self) -> bool:
        sockets = [os.readlink(file) for file in self.descriptors(self.server.pid)]
        return sum(name.startswith("socket:") for name in sockets) >= len(self.clients) + 4

    @staticmethod
    def descriptors(pid: int):
        for file in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                os.readlink(file)
                yield file


@handoff.only("connection", because="the kernel or the queue chooses the worker")
class Balance(HeaderTest):
    def test_a_hash_is_that_of_the_client_and_not_of_the_proxy(self):
        server = self.launch("--balance", "hash", workers=4)
        workers: dict[str, set[int]] = {}
        for number in range(24):
            for port in (1, 2):
                host = f"192.0.2.{number}"
                client = self.connect(server.address, ipv4(host, port))
                workers.setdefault(host, set()).add(client.result("info")["pid"])
        self.assertTrue(all(len(pids) == 1 for pids in workers.values()), workers)
        self.assertGreater(len(set.union(*workers.values())), 1)


@handoff.only("connection", because="these are about the plain form")
class Plain(HeaderTest):
    def test_a_worker_without_a_handshake_has_the_client(self):
        server = self.launch("--handshake", "none")
        for address in server.addresses:
            for header, peer in CLIENTS.items():
                self.assertEqual(self.connect(address, header).result("peer"), peer)
            self.assertEqual(self.connect(address, SILENT[0]).result("ping", 1), 1)

    def test_a_program_for_each_connection_has_the_client_in_its_environment(self):
        script = 'echo "$PROTO $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP"; cat'
        server = self.launch("--handshake", "none", workers=1,
                             command=(FDRECV, "--keep", "--", "sh", "-c", script))
        expected = {LINE: b"TCP 192.0.2.7 4660 127.0.0.1\n",
                    ipv6("2001:db8::6", 7): b"TCP 2001:db8::6 7 127.0.0.1\n",
                    unix(b"/x"): b"UNIX   \n"}
        for header, line in expected.items():
            client = self.connect(server.address, header + b"and the rest")
            client.socket.shutdown(socket.SHUT_WR)
            with client.socket.makefile("rb") as stream:
                self.assertEqual(stream.read(), line + b"and the rest")

    def test_a_program_that_asks_for_one_byte_at_a_time_may_ignore_the_client(self):
        server = self.launch("--handshake", "none", workers=1,
                             command=(sys.executable, PLAIN_WORKER))
        for header in (LINE, SILENT[0], ipv4("192.0.2.9", 80)):
            with self.connect(server.address, header) as client:
                self.assertEqual(client.result("ping", "pong"), "pong")


@handoff.only("connection", because="the options name what workers are given")
class Workers(HeaderTest):
    def test_a_worker_that_serves_alone_reads_the_header(self):
        server = self.start(handoff.worker("--proxy-from", "127.0.0.1", *SERVING[1:]))
        for header, peer in CLIENTS.items():
            self.assertEqual(self.connect(server.address, header).result("peer"), peer)
        self.assert_closed(self.connect(server.address, MALFORMED[0]))
        waiting = self.connect(server.address, LINE[:20])
        self.assertEqual(server.stop(), 0)
        self.assert_closed(waiting)

    def test_a_worker_that_has_joined_is_told_of_the_proxies(self):
        join = str(self.directory / "join.sock")
        server = self.start(handoff.Server(
            MASTER, "-l", "127.0.0.1:0", "-j", join, "-p", "listener", "--proxy-from", "127.0.0.1"))
        self.start(handoff.Server(*SERVING, "-j", join, ready=False))
        for header, peer in CLIENTS.items():
            self.assertEqual(self.connect(server.address, header).result("peer"), peer)

    def assert_usage(self, words: list[str], why: str):
        done = subprocess.run(words, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=handoff.PATIENCE)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, why)

    def test_a_range_that_is_not_written_as_one_is_a_usage_error(self):
        for tool in (MASTER, WORKER):
            self.assert_usage([tool, "-l", "127.0.0.1:0", "--proxy-from", "10.0.0.1/8"],
                              "^rpc-[a-z]+: --proxy-from 10.0.0.1/8: the address has bits beyond")
            self.assert_usage([tool, "-l", "127.0.0.1:0", "--proxy-from", "example.com"],
                              "^rpc-[a-z]+: --proxy-from example.com: write addresses such as ")

    def test_an_option_that_nobody_would_heed_is_a_usage_error(self):
        self.assert_usage([WORKER, "--stdio", "--proxy-from", "unix"],
                          "^rpc-worker: --proxy-from needs --listen")
        self.assert_usage([MASTER, "-p", "listener", "--handshake", "none", "--proxy-from", "unix",
                           "--", "true"], "^rpc-master: --proxy-from .*needs the full handshake")


HAPROXY = haproxy.DEFAULTS + """frontend one
    bind {folder}/one.sock
    default_backend one
frontend two
    bind {folder}/two.sock
    default_backend two
frontend three
    bind {folder}/three.sock
    bind 127.0.0.1:{port}
    default_backend three
backend one
    server local {address} send-proxy
backend two
    server local {address} send-proxy-v2
backend three
    server local unix@{folder}/rpc.sock send-proxy-v2 check inter 50ms
"""


class Haproxy(HeaderTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("haproxy"):
            self.skipTest("no haproxy")

    def test_the_client_of_haproxy_is_the_client(self):
        server = self.launch()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        configuration = self.directory / "haproxy.cfg"
        configuration.write_text(HAPROXY.format(
            folder=self.directory, port=port, address="{}:{}".format(*server.address)))
        haproxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", configuration])
        self.addCleanup(haproxy.wait)
        self.addCleanup(haproxy.kill)
        handoff.wait_for(lambda: self.accepts(("127.0.0.1", port)), "HAProxy to accept")
        client = self.connect(("127.0.0.1", port))
        self.assertEqual(client.result("peer"), "{}:{}".format(*client.socket.getsockname()))
        for name in ("one", "two", "three"):
            client = self.connect(str(self.directory / f"{name}.sock"))
            self.assertEqual(client.result("ping", name), name)
        self.control("reload")
        self.assertEqual(client.result("ping", "moved"), "moved")

    @staticmethod
    def accepts(address) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(address) == 0


if __name__ == "__main__":
    handoff.run_tests()
