# SPDX-License-Identifier: MIT
"""A name is listened on at all its addresses: in a namespace whose localhost has two."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

# Runs the words behind it where localhost is what the first word says, with loopback alone.
IN_NAMESPACE = """
mount --bind "$1" /etc/hosts && ip link set lo up || exit 99
shift
exec "$@"
"""
BOTH = "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 localhost\n"


class ListeningTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.hosts = self.directory / "hosts"
        self.hosts.write_text(BOTH)
        probe = self.run_inside("true")
        if probe.returncode:
            self.skipTest(f"no namespaces: {probe.stderr.strip()}")

    def inside(self, *words: str) -> list[str]:
        return ["unshare", "--map-root-user", "--mount", "--net", "sh", "-c", IN_NAMESPACE, "sh",
                str(self.hosts), *words]

    def run_inside(self, *words: str):
        return subprocess.run(self.inside(*words), capture_output=True, text=True, check=False,
                              timeout=handoff.PATIENCE, cwd=self.directory)

    def serve(self, *words: str) -> handoff.Server:
        return self.start(handoff.Server(*self.inside(*words), cwd=self.directory))

    def call(self, server: handoff.Server, address: str):
        """From the namespace of the server."""
        return subprocess.run(["nsenter", "-t", str(server.pid), "--user", "--preserve-credentials",
                               "--net", handoff.tool("rpc-call"), address, "echo", "1"],
                              capture_output=True, text=True, check=False,
                              timeout=handoff.PATIENCE).stdout

    def assert_both_answer(self, server: handoff.Server):
        self.assertEqual(sorted(host for host, _ in server.addresses), ["127.0.0.1", "::1"])
        port, other = (port for _, port in server.addresses)
        self.assertEqual(port, other)
        self.assertEqual(self.call(server, f"127.0.0.1:{port}"), "1\n")
        self.assertEqual(self.call(server, f"[::1]:{port}"), "1\n")


WORKER = handoff.tool("rpc-worker")
MASTER = handoff.tool("rpc-master")


class Names(ListeningTest):
    def test_a_worker_listens_on_both(self):
        for port in "18270", "0":
            with self.subTest(port):
                self.assert_both_answer(self.serve(WORKER, "-l", f"localhost:{port}"))

    def test_a_master_listens_on_both_with_each_pass(self):
        for model in "connection", "listener", "queue":
            for port in "18270", "0":
                with self.subTest(model=model, port=port):
                    self.assert_both_answer(self.serve(MASTER, "-l", f"localhost:{port}", "-n", "1",
                                                       "-p", model, "--", WORKER))

    def test_both_are_still_there_after_an_upgrade(self):
        server = self.serve(MASTER, "-l", "localhost:0", "-n", "1", "-c", "./control", "--", WORKER)
        server.kill(signal.SIGUSR2)
        ready = server.wait_for_line(": ready, .*on ", after=len(server.lines))
        for host in "127.0.0.1", "[::1]":
            self.assertIn(f" {host}:{server.address[1]}", ready)
        stop = [handoff.tool("rpc-call"), "./control", "stop"]
        handoff.wait_for(lambda: subprocess.run(stop, cwd=self.directory, capture_output=True,
                                                check=False).returncode == 0,
                         "the new master to be stopped")

    def test_an_address_that_is_in_use_is_a_failure(self):
        held = "import socket, os, sys\n" \
               "s = socket.create_server(('::1', 18270), family=socket.AF_INET6)\n" \
               "s.set_inheritable(True)\n" \
               "os.execvp(sys.argv[1], sys.argv[1:])\n"
        done = self.run_inside(sys.executable, "-c", held, WORKER, "-l", "localhost:18270")
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, r"^rpc-worker: cannot listen on \[::1\]:18270: Address already in "
                         r"use \(.*\)\n$")

    def test_an_address_of_a_family_that_is_off_is_left_out(self):
        off = "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 && exec \"$@\""
        server = self.serve("sh", "-c", off, "sh", WORKER, "-l", "localhost:0")
        self.assertEqual([host for host, _ in server.addresses], ["127.0.0.1"])

    def test_a_listener_more_counts_for_pass_listener(self):
        words = [word for i in range(15) for word in ("-l", f"./{i}")]
        with self.subTest("17"):
            done = self.run_inside(MASTER, *words, "-l", "localhost:0", "-p", "listener", "--",
                                   WORKER)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr,
                             "rpc-master: --pass listener can pass 16 of them, not 17\n")
            self.assertEqual(sorted(path.name for path in self.directory.iterdir()), ["hosts"])
        with self.subTest("16"):
            server = self.start(handoff.Server(
                *self.inside(MASTER, *words[2:], "-l", "localhost:0", "-p", "listener", "--",
                             WORKER), cwd=self.directory, ready=False))
            server.wait_for_line(": ready, .*on ")

    def test_fdsend_sends_one_and_says_so(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(handoff.PATIENCE)
            done = subprocess.run(self.inside(handoff.tool("fdsend"), "--tcp-listen", "localhost:0",
                                              "-"), stdout=theirs, stderr=subprocess.PIPE,
                                  text=True, check=False, timeout=handoff.PATIENCE)
            self.assertEqual(done.returncode, 0)
            _, numbers, _, _ = socket.recv_fds(ours, 1, 2)
            self.assertEqual(len(numbers), 1)
            os.close(numbers[0])
        self.assertRegex(done.stderr, r"^fdsend: listening, on \S+:\d+\n"
                         r"fdsend: not listening on \S+:0: a descriptor has one address of "
                         r"localhost \(give this one a --tcp-listen of its own\)\n$")


if __name__ == "__main__":
    handoff.run_tests()
