# SPDX-License-Identifier: MIT
"""The workers of tests/examples that need no compiler, as their first lines say to run them."""

import os
import pathlib
import socket
import sys

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
    def test_a_worker_in_python_serves_what_a_plain_master_passes(self):
        server = self.start(handoff.master("--handshake", "none",
                                           command=[str(EXAMPLES / "plain_worker.py")]))
        self.assertEqual([say(server.address, "hello") for _ in range(4)], ["HELLO"] * 4)

    def test_a_worker_in_shell_serves_what_a_plain_master_passes(self):
        path = {**os.environ, "PATH": f"{handoff.BIN}:{os.environ.get('PATH', os.defpath)}"}
        server = self.start(handoff.master("--handshake", "none", env=path,
                                           command=[str(EXAMPLES / "shell_worker")]))
        self.assertEqual([say(server.address, "hello") for _ in range(4)],
                         ["127.0.0.1: hello"] * 4)


if __name__ == "__main__":
    handoff.run_tests()
