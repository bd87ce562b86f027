# SPDX-License-Identifier: MIT
"""The workers of tests/examples, as their first lines say to build and to run them."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

EXAMPLES = handoff.ROOT / "tests" / "examples"


def say(address, line: str) -> str:
    """What a server answers to one line."""
    with socket.create_connection(address, handoff.PATIENCE) as client:
        client.sendall(line.encode() + b"\n")
        client.shutdown(socket.SHUT_WR)
        return client.makefile().read().rstrip("\n")


class Examples(handoff.TestCase):
    @unittest.skipIf(handoff.SANITIZED, "the library was built by another compiler")
    @unittest.skipUnless(shutil.which("pkg-config"), "needs pkg-config")
    def test_a_native_worker_is_built_outside_the_tree_over_the_installed_library(self):
        place = self.directory / "installed"
        subprocess.run(["cmake", "--install", handoff.BIN.parent, "--prefix", place], check=True,
                       stdout=subprocess.DEVNULL)
        config = next(place.rglob("handoff.pc")).parent
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "handoff"], check=True,
                               capture_output=True, text=True,
                               env={**os.environ, "PKG_CONFIG_PATH": str(config)}).stdout.split()
        program = self.directory / "native-worker"
        subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", "-o", program,
                        EXAMPLES / "native_worker.cpp", *flags], check=True, cwd=self.directory)
        libraries = {**os.environ, "LD_LIBRARY_PATH": str(config.parent)}
        server = self.start(handoff.master(command=[str(program), "-m", "cat=cat"], workers=1,
                                           env=libraries))
        client = self.open(server)
        client.send("later", 0.05, id=1)
        client.send("cat", [1], id=2)
        client.send("later", 0, id=3)
        self.assertEqual({(reply["id"], str(reply["result"]))
                          for reply in (client.receive() for _ in range(3))},
                         {(1, "0.05"), (2, "[1]"), (3, "0")})

    def test_a_worker_in_python_serves_what_a_plain_master_passes(self):
        server = self.start(handoff.master("--handshake", "none",
                                           command=[str(EXAMPLES / "plain_worker.py")]))
        self.assertEqual([say(server.address, "hello") for _ in range(4)], ["HELLO"] * 4)

    def test_a_worker_in_shell_serves_what_a_plain_master_passes(self):
        path = {**os.environ, "PATH": f"{handoff.BIN}:{os.environ['PATH']}"}
        server = self.start(handoff.master("--handshake", "none", env=path,
                                           command=[str(EXAMPLES / "shell_worker")]))
        self.assertEqual([say(server.address, "hello") for _ in range(4)],
                         ["127.0.0.1: hello"] * 4)


if __name__ == "__main__":
    handoff.run_tests()
