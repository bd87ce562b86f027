# SPDX-License-Identifier: MIT
"""A server behind HAProxy, which speaks TLS with the clients."""

import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import haproxy  # noqa: E402

CONFIGURATION = haproxy.DEFAULTS + """frontend clients
    bind {folder}/tls.sock ssl crt {folder}/certificate.pem
    default_backend handoff
backend handoff
    server local unix@{folder}/rpc.sock
"""


class Proxy(handoff.TestCase):
    def setUp(self):
        super().setUp()
        for program in ("haproxy", "openssl"):
            if not shutil.which(program):
                self.skipTest(f"no {program}")
        key, certificate = self.directory / "key.pem", self.directory / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                        "-out", certificate, "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"],
                       check=True, capture_output=True, timeout=handoff.PATIENCE)
        self.trust = ssl.create_default_context(cadata=certificate.read_text())
        with certificate.open("a") as file:
            file.write(key.read_text())
        self.master = self.start(handoff.master("-l", str(self.directory / "rpc.sock"), "-c",
                                                str(self.directory / "control.sock")))
        self.start_haproxy()

    def start_haproxy(self):
        configuration = self.directory / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(folder=self.directory))
        haproxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", configuration])
        self.addCleanup(haproxy.wait)
        self.addCleanup(haproxy.kill)
        handoff.wait_for(self.is_answered, "HAProxy to accept")

    def is_answered(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.directory / "tls.sock")) == 0

    def connect(self) -> handoff.Connection:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(handoff.PATIENCE)
        plain.connect(str(self.directory / "tls.sock"))
        tls = self.trust.wrap_socket(plain, server_hostname="localhost")
        return self.stack.enter_context(handoff.Connection(tls))

    def test_calls_over_tls_are_answered(self):
        clients = [self.connect() for _ in range(8)]
        for number, client in enumerate(clients * 4):
            self.assertEqual(client.result("echo", number), number)

    def test_a_reload_and_an_upgrade_close_no_connection_behind_the_proxy(self):
        clients = [self.connect() for _ in range(8)]
        before = {client.result("info")["pid"] for client in clients}
        control = self.stack.enter_context(handoff.Connection(str(self.directory / "control.sock")))
        control.result("reload")
        after = {client.result("info")["pid"] for client in clients}
        self.assertFalse(before & after)
        control.result("upgrade")
        self.master.wait_for_line(r"upgraded, pid \d+ takes over")
        handoff.wait_for(lambda: not after & {client.result("info")["pid"] for client in clients},
                         "all to have moved to the new master's workers")


if __name__ == "__main__":
    handoff.run_tests()
