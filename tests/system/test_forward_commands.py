# SPDX-License-Identifier: MIT
"""Forwarding to a command that the worker starts: it is restarted when it dies, and leaves
nothing."""

import contextlib
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from forward_case import (  # noqa: E402,F401
    DIED, ForwardTest, NO_METHOD, QUICK, UNREACHABLE, WORKER, setUpModule)


class Commands(ForwardTest):
    """exec: the server is a command."""

    def command(self, *options: str) -> str:
        return " ".join(["exec:exec", WORKER, "--stdio", *options])

    @staticmethod
    def servers(pid: int) -> list[int]:
        """The commands that serve this forwarder now."""
        found = []
        for child in handoff.children(pid):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if words[0] == WORKER.encode() and b"--stdio" in words:
                    found.append(child)
        return found

    @staticmethod
    def zombies(pid: int) -> list[int]:
        return [child for child in handoff.children(pid) if not handoff.alive(child)]

    def wait_until_reaped(self, pid: int):
        handoff.wait_for(lambda: not self.zombies(pid), "the ended commands to be reaped", QUICK)

    def test_a_command_answers(self):
        server = self.forwarder("-f", "x=" + self.command("-m x=cat -m 'y=exit 3'"),
                                "-f", "y=" + self.command("-m x=cat -m 'y=exit 3'"))
        clients = [self.open(server) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send("x", number)
        for number, client in enumerate(clients):
            self.assertEqual(client.receive(), {"out": "x", "result": number})
            self.assertEqual(client.call("y")["result"]["data"], {"status": 3, "stderr": ""})
        commands = handoff.children(server.pid)
        self.assertEqual(server.stop(), 0)
        handoff.wait_for(lambda: not any(map(handoff.alive, commands)), "the commands to end")

    def test_a_command_that_is_killed_is_started_again_and_leaves_nothing(self):
        backend = self.backend("far")
        server = self.forwarder("-f", "*=" + self.command(f"-f hang={self.path('far')}"))
        client, other = self.open(server), self.open(server)
        self.assert_error(client.call("nope"), NO_METHOD)
        other.result("ping")
        descriptors = handoff.descriptor_count(server.pid)
        for _ in range(10):
            other.send("hang")
            backend.take()
            (command,) = self.servers(server.pid)
            os.kill(command, signal.SIGKILL)
            self.assert_error(other.receive(), DIED)
            self.assert_error(client.call("nope"), NO_METHOD)
        self.wait_until_reaped(server.pid)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) <= descriptors,
                         "the descriptors to be as few as before")

    def test_commands_that_are_no_servers_fail_their_calls_and_leave_nothing(self):
        server = self.forwarder("-f", "x=exec:true", "-f", "y=exec:/none", "-f", "z=exec:cat",
                                "-m", "own=echo 1")
        client = self.open(server)
        for _ in range(10):
            for method in ("x", "y", "z"):
                reply = client.call(method)
                self.assertIn(reply["result"]["code"], (DIED, UNREACHABLE), reply)
        self.assertEqual(client.result("own"), 1)
        self.wait_until_reaped(server.pid)

    def test_a_command_that_goes_to_the_background_serves_on(self):
        # Its shell ends at once, and is found by what looks for leftovers of a method's command.
        server = self.forwarder("-m", "own=echo 1",
                                "-f", f"x=exec:exec 3<&0; {WORKER} --stdio -m x=cat <&3 >&3 3<&- &")
        client = self.open(server)
        for _ in range(3):
            self.assertEqual(client.result("x", 1), 1)
            self.assertEqual(client.result("own"), 1)
            (command,) = handoff.wait_for(lambda: self.servers(server.pid), "the command")
            os.kill(command, signal.SIGKILL)
            handoff.wait_for(lambda: not handoff.alive(command), "the command to end")
            self.assertEqual(client.result("own"), 1)
        self.wait_until_reaped(server.pid)


if __name__ == "__main__":
    handoff.run_tests()
