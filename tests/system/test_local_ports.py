#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A host that has no port left for one more connection, played by a network namespace that has few:
the tools say so, and do not count it as a loss of the server."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

PORTS = 20
UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]

# Brings the loopback interface up, leaves few ports, and becomes the command.
ENTER = f"""
import fcntl, os, socket, struct, sys
flags = struct.pack("16sH14x", b"lo", 0x41)  # IFF_UP, IFF_RUNNING
fcntl.ioctl(socket.socket(), 0x8914, flags)  # SIOCSIFFLAGS
def put(name, value):
    with open("/proc/sys/net/" + name, "w") as file:
        file.write(value)
put("ipv4/ip_local_port_range", "40000 {40000 + PORTS - 1}")
put("ipv4/tcp_tw_reuse", "0")
if os.path.exists("/proc/sys/net/ipv6/conf/lo"):
    put("ipv6/conf/lo/disable_ipv6", "1")
os.execvp(sys.argv[1], sys.argv[1:])
"""

NO_PORT = ("no local port is free for a connection to 127.0.0.1:39999 (keep connections instead of "
           "making one for each call, or widen net.ipv4.ip_local_port_range)")


class LocalPorts(handoff.TestCase):
    def setUp(self):
        super().setUp()
        if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode != 0:
            self.skipTest("no network namespaces")

    def run_inside(self, commands: str):
        script = f"""rpc-worker -q -l 127.0.0.1:39999 -l ./ready 2>&- & worker=$!
rpc-call -q --wait ./ready ping >&2 || exit 99
{commands}
status=$?
kill $worker
wait $worker
exit $status"""
        environment = {**os.environ,
                       "PATH": os.path.dirname(handoff.tool("rpc-call")) + ":" + os.environ["PATH"]}
        return subprocess.run([*UNSHARE, sys.executable, "-c", ENTER, "sh", "-c", script],
                              cwd=self.directory, env=environment, capture_output=True, text=True,
                              timeout=handoff.PATIENCE)

    def assert_ping_gives_up(self, options: str):
        done = self.run_inside(f"rpc-ping --reconnect {options} 127.0.0.1:39999")
        self.assertEqual(done.returncode, 125, done)
        self.assertEqual(done.stderr.count("rpc-ping: " + NO_PORT), 1, done.stderr)
        self.assertRegex(done.stdout, r"\n(\d+) sent, \1 received, 0% loss")
        return done

    def test_a_ping_that_finds_no_port_ends_with_125_and_has_lost_nothing(self):
        for options in ("-q -A -c100", "-q -f -c100", "-f -C4 -c100", "-q --rate 2000 -c100"):
            with self.subTest(options=options):
                self.assert_ping_gives_up(options)

    def test_a_call_says_that_it_found_no_port(self):
        done = self.run_inside(
            f"rpc-ping -q --reconnect -f 127.0.0.1:39999 >&2; rpc-call 127.0.0.1:39999 ping")
        self.assertEqual(done.returncode, 3, done)
        self.assertIn("rpc-call: " + NO_PORT, done.stderr)

    def test_an_address_family_that_this_host_lacks_is_not_taken_for_a_lack_of_ports(self):
        done = self.run_inside("rpc-call '[::1]:39999' ping")
        self.assertEqual(done.returncode, 3, done)
        self.assertNotIn("no local port", done.stderr)


if __name__ == "__main__":
    handoff.run_tests()
