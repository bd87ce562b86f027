# SPDX-License-Identifier: MIT
"""How the tools connect: names with several addresses, servers that are not there yet or never will
be, name servers that do not answer, and what is said about it."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff
from handoff import tool, wait_for

# Below this no deadline of a resolver or of the kernel has passed, only ours.
SOON = 4.0

CAN_MAKE_NAMESPACES = shutil.which("unshare") is not None and shutil.which("ip") is not None and \
    subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True).returncode == 0


class BlackHole:
    """A TCP address that drops packets: a listener whose backlog is full."""

    def __init__(self, host: str, port: int = 0):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(0)
        self.address = self.listener.getsockname()
        self.waiting = [socket.socket() for _ in range(4)]
        for client in self.waiting:
            client.setblocking(False)
            client.connect_ex(self.address)

    def close(self):
        for each in [*self.waiting, self.listener]:
            each.close()


def watches_signals(pid: int) -> bool:
    """Whether the process has a signalfd and waits."""
    folder = pathlib.Path(f"/proc/{pid}/fd")
    return any("signalfd" in os.readlink(entry) for entry in folder.iterdir())


class ConnectingTest(handoff.TestCase):
    def run_tool(self, *words: str, **more) -> subprocess.CompletedProcess:
        return subprocess.run(words, capture_output=True, text=True, cwd=self.directory,
                              timeout=handoff.PATIENCE, stdin=subprocess.DEVNULL, **more)

    def launch(self, *words: str) -> handoff.Server:
        return self.start(handoff.Server(*words, ready=False, cwd=self.directory,
                                         stdout=subprocess.DEVNULL))

    def assert_done(self, done, status: int, stderr: str):
        self.assertEqual((done.returncode, done.stderr), (status, stderr))


class Names(ConnectingTest):
    """With a file of hosts or a name server of our own, in a mount namespace."""

    def setUp(self):
        super().setUp()
        if not CAN_MAKE_NAMESPACES:
            self.skipTest("needs root, unshare and ip for namespaces")

    def with_file(self, target: str, text: str) -> list[str]:
        """The words before a command that sees this text in a file of /etc."""
        ours = self.directory / target.replace("/", "_")
        ours.write_text(text)
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", str(ours), target]

    def two_hosts(self):
        """Of the name `two` the first address drops packets, and a worker listens at the second."""
        worker = self.start(handoff.worker("-l", "127.0.0.3:0"))
        port = worker.address[1]
        hole = BlackHole("127.0.0.2", port)
        self.addCleanup(hole.close)
        return self.with_file("/etc/hosts", "127.0.0.2 two\n127.0.0.3 two\n"), f"two:{port}"

    def test_a_first_address_that_drops_packets_costs_a_moment(self):
        hosts, address = self.two_hosts()
        for words in ([tool("rpc-call"), "-t", "4s", address, "ping"],
                      [tool("rpc-ping"), "-x", "-q", "-w", "4", "-c", "1", address]):
            start = time.monotonic()
            done = self.run_tool(*hosts, *words)
            self.assert_done(done, 0, "")
            self.assertLess(time.monotonic() - start, SOON)

    def test_a_first_address_that_drops_packets_costs_a_forwarder_a_moment(self):
        hosts, address = self.two_hosts()
        front = self.start(handoff.Server(*hosts, tool("rpc-worker"), "-l", "127.0.0.1:0", "-f",
                                          f"echo={address}"))
        with front.connect() as client:
            self.assertEqual(client.result("echo", 5), 5)

    def silent_name_server(self) -> list[str]:
        self.name_server = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(self.name_server.close)
        self.name_server.settimeout(handoff.PATIENCE)
        try:
            self.name_server.bind(("127.11.53.1", 53))
        except PermissionError:
            self.skipTest("needs the right to be a name server")
        return self.with_file("/etc/resolv.conf", "nameserver 127.11.53.1\n")

    def test_a_silent_name_server_does_not_hold_up_a_deadline(self):
        resolv = self.silent_name_server()
        why = "cannot connect to host.example:80 within 500ms: the lookup of host.example has no " \
              "answer\n"
        for words in ([tool("rpc-call"), "-t", "500ms", "host.example:80", "ping"],
                      [tool("rpc-call"), "--wait", "-t", "500ms", "host.example:80", "ping"],
                      [tool("fdsend"), "-t", "500ms", "--tcp-connect", "host.example:80", "./s"]):
            start = time.monotonic()
            done = self.run_tool(*resolv, *words)
            self.assert_done(done, 124, f"{os.path.basename(words[0])}: {why}")
            self.assertLess(time.monotonic() - start, SOON)

    def test_a_silent_name_server_does_not_hold_up_a_signal(self):
        resolv = self.silent_name_server()
        ping = self.launch(*resolv, tool("rpc-ping"), "host.example:80")
        self.name_server.recv(512)  # it has asked
        start = time.monotonic()
        ping.kill(signal.SIGINT)
        ping.process.wait(handoff.PATIENCE)
        self.assertLess(time.monotonic() - start, SOON)

    def test_a_silent_name_server_does_not_hold_up_the_other_callers_of_a_worker(self):
        resolv = self.silent_name_server()
        front = self.start(handoff.Server(*resolv, tool("rpc-worker"), "-l", "127.0.0.1:0", "-f",
                                          "far=host.example:80"))
        waiting = self.open(front)
        waiting.send("far")
        self.name_server.recv(512)
        start = time.monotonic()
        with front.connect() as client:
            self.assertEqual(client.result("ping", 1), 1)
        self.assertLess(time.monotonic() - start, SOON)
        reply = waiting.receive()
        self.assertEqual(reply["out"], "error")
        self.assertIn("host.example", reply["result"]["message"])


class Networks(ConnectingTest):
    """In a network namespace."""

    def setUp(self):
        super().setUp()
        if not CAN_MAKE_NAMESPACES:
            self.skipTest("needs root, unshare and ip for namespaces")

    def run_in_network(self, script: str) -> subprocess.CompletedProcess:
        path = f"{handoff.BIN}:{os.environ['PATH']}"
        return self.run_tool("unshare", "--net", "sh", "-ec", f"ip link set lo up\n{script}",
                             env={**os.environ, "PATH": path})

    def test_a_connection_to_oneself_is_a_port_where_nobody_listens(self):
        # The only port that a client can get is the one that it connects to.
        only_port = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range\n"
        done = self.run_in_network(f"{only_port} rpc-call 127.0.0.1:40000 ping")
        self.assert_done(done, 3, "rpc-call: cannot connect to 127.0.0.1:40000: "
                                  "Connection refused\n")
        done = self.run_in_network(f"{only_port} rpc-call --wait -t 300ms 127.0.0.1:40000 ping")
        self.assert_done(done, 3, "rpc-call: cannot connect to 127.0.0.1:40000 within 300ms: "
                                  "Connection refused\n")

    def test_a_port_that_was_connected_to_in_vain_is_free_for_a_server(self):
        done = self.run_in_network("""
            echo 40000 40001 >/proc/sys/net/ipv4/ip_local_port_range
            rpc-call --retry 5 127.0.0.1:40000 ping && exit 99
            mkfifo ready
            rpc-worker -l 127.0.0.1:40000 2>ready &
            head -n 1 ready
            rpc-call 127.0.0.1:40000 echo 1
            kill $!
            wait $!""")
        self.assertEqual((done.returncode, done.stdout),
                         (0, "rpc-worker: ready, on 127.0.0.1:40000\n1\n"), done.stderr)

    def test_the_zone_of_an_address_is_kept(self):
        done = self.run_in_network("""
            ip addr add fe80::1/64 dev lo nodad
            rpc-worker --public -l '[fe80::1%lo]:8080' 2>ready &
            rpc-call --wait '[fe80::1%lo]:8080' echo 1
            rpc-ping -q -c 2 -i 10ms '[fe80::1%lo]:8080' | head -n 1
            cat ready
            kill $!
            wait $!""")
        self.assertEqual(done.stdout, "1\nPING [fe80::1%lo]:8080: "
                                      "56 bytes of params\n"
                                      "rpc-worker: ready, on [fe80::1%lo]:8080\n", done.stderr)


class Waiting(ConnectingTest):
    def test_waiting_survives_a_connect_that_timed_out(self):
        for words in (["rpc-call", "-v", "--wait", "--connect-timeout=100ms", "ADDR", "ping"],
                      ["rpc-call", "-v", "--retry=1000", "--connect-timeout=100ms", "ADDR", "ping"],
                      ["rpc-ping", "-v", "-x", "--connect-timeout=100ms", "-c1", "ADDR"]):
            with self.subTest(" ".join(words[:3])):
                hole = BlackHole("127.0.0.4")
                self.addCleanup(hole.close)
                host, port = hole.address
                address = f"{host}:{port}"
                words = [tool(words[0]), *(word.replace("ADDR", address) for word in words[1:])]
                client = self.launch(*words)
                client.wait_for_line(
                    rf"cannot connect to {re.escape(address)} within 100ms: no answer \(waiting\)$")
                hole.close()
                self.start(handoff.worker("-l", address))
                self.assertEqual(client.process.wait(handoff.PATIENCE), 0)

    def test_what_can_never_work_is_no_reason_to_wait(self):
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(datagram.close)
        datagram.bind(str(self.directory / "datagram"))
        (self.directory / "file").touch()
        reasons = {
            "./datagram": "Protocol wrong type for socket (the socket there is of another type)",
            "./file": "Connection refused (the file is no socket)",
            "./no/s": "No such file or directory (there is no folder ./no)",
            "./file/s": "Not a directory",
        }
        for door, reason in reasons.items():
            for words in (["rpc-call", "--wait", "-t0", door, "ping"],
                          ["rpc-call", "--retry=100000", "-t0", door, "ping"],
                          ["rpc-ping", "-x", door],
                          ["rpc-worker", "--wait", "-j", door],
                          ["fdsend", "--wait", door],
                          ["fdrecv", "-c", "--wait", door]):
                with self.subTest(" ".join(words)):
                    done = self.run_tool(tool(words[0]), *words[1:])
                    self.assert_done(done, 3, f"{words[0]}: cannot connect to {door}: {reason}\n")

    def test_a_server_that_stays_busy_is_the_reason_at_the_deadline(self):
        address = str(self.directory / "s")
        self.start(handoff.worker("-l", address, "-C", "2", "-m", "slow=sleep 60",
                                  "--drain-timeout", "1ms"))
        for _ in range(10):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(address)
            client.sendall(b'{"in":"slow"}\n' * 128)
        busy = "rpc-call: slow on ./s failed: busy: too many calls wait already\n"
        wait_for(lambda: self.run_tool(tool("rpc-call"), "-t", "1s", "./s", "slow").stderr == busy,
                 "the worker to be busy")
        done = self.run_tool(tool("rpc-call"), "-t", "500ms", "--retry", "1000", "./s", "slow")
        self.assert_done(done, 1, busy)

    def test_a_worker_that_waits_for_a_place_at_its_master_ends_at_a_signal(self):
        door = str(self.directory / "door")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(listener.close)
        listener.bind(door)
        listener.listen(0)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(client.close)
        client.connect(door)  # and the backlog is full
        worker = self.launch(tool("rpc-worker"), "--wait", "-j", door)
        wait_for(lambda: watches_signals(worker.pid), "it to watch its signals")
        start = time.monotonic()
        worker.kill(signal.SIGTERM)
        self.assertEqual(worker.process.wait(handoff.PATIENCE), 0)
        self.assertLess(time.monotonic() - start, SOON)


if __name__ == "__main__":
    handoff.run_tests()
