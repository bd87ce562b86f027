# SPDX-License-Identifier: MIT
"""A server behind ssh: a worker at the other end answers calls and methods."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import sshd  # noqa: E402
from joining_case import JoiningTest, WORKER  # noqa: E402

CALL = handoff.tool("rpc-call")


class Ssh(JoiningTest):
    """A server that is started for each connection, on a host that is reached by ssh."""

    def setUp(self):
        super().setUp()
        self.ssh = "exec ssh " + " ".join(sshd.start(self))

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
