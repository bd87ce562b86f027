# SPDX-License-Identifier: MIT
"""An sshd of a test, and how ssh logs in there as the user who runs the test."""

import contextlib
import getpass
import os
import pathlib
import shutil
import socket
import subprocess

import handoff


def start(test: handoff.TestCase) -> list[str]:
    """Starts sshd for the test, with keys in its directory, and gives the options and the
    destination with which ssh reaches it. Skips the test where that can't be."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    if not program or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        test.skipTest("ssh or sshd is not installed")
    directory = pathlib.Path(test.directory)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name],
                       check=True, stdin=subprocess.DEVNULL)
    port = _listen(test, program, directory)
    kind, key = (directory / "host.pub").read_text().split()[:2]
    known = directory / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    return ["-F", "/dev/null", "-p", str(port), "-i", str(directory / "user"),
            "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}",
            f"{getpass.getuser()}@127.0.0.1"]


def _listen(test: handoff.TestCase, program: str, directory: pathlib.Path) -> int:
    """Runs sshd on a free port. It can't choose one by itself, so another process may come first:
    then there is another try."""
    if os.geteuid() == 0:
        # Debian makes it when the service starts. It stays: another run may need it now.
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
    for _ in range(10):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = directory / "sshd_config"
        config.write_text("\n".join([
            f"ListenAddress 127.0.0.1:{port}", f"HostKey {directory / 'host'}",
            f"AuthorizedKeysFile {directory / 'user.pub'}", "StrictModes no", "PidFile none",
            "PermitRootLogin yes", "PasswordAuthentication no", "UsePAM no",
            "KbdInteractiveAuthentication no", ""]))
        server = test.start(handoff.Server(program, "-D", "-e", "-f", str(config), ready=False))
        with contextlib.suppress(AssertionError):
            server.wait_for_line("(?i)listening on")
            return port
    test.skipTest("sshd does not start here")
