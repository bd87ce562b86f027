# SPDX-License-Identifier: MIT
"""A server behind ssh: a worker at the other end answers calls and methods."""

import contextlib
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from joining_case import JoiningTest, WORKER  # noqa: E402

CALL = handoff.tool("rpc-call")


class Ssh(JoiningTest):
    """A server that is started for each connection, on a host that is reached by ssh."""

    def setUp(self):
        super().setUp()
        self.sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
        if not self.sshd or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
            self.skipTest("ssh or sshd is not installed")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)],
                           check=True, stdin=subprocess.DEVNULL)
        port = self.start_sshd()
        public = pathlib.Path(self.path("host.pub")).read_text().split()
        known = self.write("known_hosts", f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
        self.ssh = " ".join([
            "exec ssh -F /dev/null -p", str(port), "-i", self.path("user"), "-o BatchMode=yes",
            "-o IdentitiesOnly=yes -o", f"UserKnownHostsFile={known}",
            f"{getpass.getuser()}@127.0.0.1"])

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return self.path(name)

    def start_sshd(self) -> int:
        """Runs sshd on a free port. It can't choose one by itself, so another process may come
        first: then there is another try."""
        if os.geteuid() == 0:
            # Debian makes it when the service starts. It stays: another run may need it now.
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        for _ in range(10):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            config = self.write("sshd_config", "\n".join([
                f"ListenAddress 127.0.0.1:{port}", f"HostKey {self.path('host')}",
                f"AuthorizedKeysFile {self.path('user.pub')}", "StrictModes no", "PidFile none",
                "PermitRootLogin yes", "PasswordAuthentication no", "UsePAM no",
                "KbdInteractiveAuthentication no", ""]))
            server = self.start(handoff.Server(self.sshd, "-D", "-e", "-f", config, ready=False))
            with contextlib.suppress(AssertionError):
                server.wait_for_line("(?i)listening on")
                return port
        self.skipTest("sshd does not start here")

    def test_rpc_call_calls_a_worker_at_the_other_end(self):
        address = f"exec:{self.ssh} {WORKER} --stdio"
        done = subprocess.run([CALL, "--full", address, "ping", '"over ssh"'], capture_output=True,
                              text=True, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stdout),
                         (0, '{"out":"pong","result":"over ssh"}\n'), done.stderr)
        lines = "".join(f"{number}\n" for number in range(20000))
        done = subprocess.run([CALL, address, "echo", "-"], input=lines, capture_output=True,
                              text=True, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout == lines)

    def test_a_method_is_answered_by_a_worker_at_the_other_end(self):
        words = f"{self.ssh} {WORKER} --stdio -m there=cat"
        server = self.start(handoff.worker("-f", f"there=exec:{words}"))
        client = self.open(server)
        for number in range(10):
            self.assertEqual(client.result("there", number), number)
        self.assertEqual(len(handoff.children(server.pid)), 1)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    handoff.run_tests()
