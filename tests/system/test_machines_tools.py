# SPDX-License-Identifier: MIT
"""Our own clients at three machines, behind HAProxy or by their addresses: a machine that is
restarted under them costs them nothing, because they send again what its last reply left without
one."""

import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from load import Load, long_lived  # noqa: E402
from machines import ALL, FRONT, MachinesTest  # noqa: E402

LINES = 3000


class ToolsTest(MachinesTest):
    lame_duck: tuple[str, ...]

    def begin(self, *words: str, **popen) -> subprocess.Popen:
        """Starts a program at the client."""
        with self.client.inside():
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        return process

    def check_lines(self, address: str, find_machine):
        """Has rpc-call send many lines, and restarts the machine that answers, twice."""
        call = self.begin(handoff.tool("rpc-call"), "--compact", address, "echo", "-",
                          stdin=subprocess.PIPE)
        results = []
        for third in range(3):
            numbers = range(third * LINES // 3, (third + 1) * LINES // 3)
            call.stdin.write("".join(f"{number}\n" for number in numbers))
            call.stdin.flush()
            # There are lines on their way when the server is told to stop.
            results += [call.stdout.readline() for _ in range(100)]
            backend = find_machine(third)
            backend.server.kill(signal.SIGTERM)
            backend.server.wait_for_line("leaving: each connection ends after its next reply")
            results += [call.stdout.readline() for _ in range(len(numbers) - 100)]
            if third < 2:
                self.assertEqual(backend.server.process.wait(handoff.PATIENCE), 0)
                self.start_again(backend, *self.lame_duck)
        call.stdin.close()
        self.assertEqual([int(line) for line in results], list(range(LINES)))
        self.assertEqual((call.stdout.read(), call.stderr.read(), call.wait(handoff.PATIENCE)),
                         ("", "", 0))

    def check_forward(self, address: str):
        path = str(self.directory / "forward.sock")
        self.start(self.client.start(handoff.tool("rpc-worker"), "-l", path, "-f",
                                     f"ping={address}"))
        with Load([long_lived(path, ahead=4)] * 12) as load:
            for backend in self.backends:
                load.go_on()
                self.restart(backend, *self.lame_duck)
            load.go_on()
        self.assertEqual((load.problems, dict(load.total_errors())), ([], {}))


class Balanced(ToolsTest):
    ADDRESS = f"{FRONT[0]}:{FRONT[1]}"
    lame_duck = ("--lame-duck", "1s")  # HAProxy has to notice

    def setUp(self):
        super().setUp()
        self.serve(*self.lame_duck)

    def machine_with_a_session(self, _=None):
        """Where HAProxy has sent the one client that there is."""
        def current():
            rows = self.balancer.rows()
            # A health check is no session.
            return [each for each in self.backends if rows[each.name]["scur"] == "1"]

        handoff.wait_for(lambda: len(current()) == 1, "the session")
        return current()[0]

    def test_all_lines_of_rpc_call_are_answered_in_order_across_restarts(self):
        self.check_lines(self.ADDRESS, self.machine_with_a_session)

    def test_a_forward_loses_no_call_when_each_machine_is_restarted(self):
        self.check_forward(self.ADDRESS)

    def test_rpc_ping_loses_nothing_when_its_machine_is_restarted(self):
        ping = self.begin(handoff.tool("rpc-ping"), "-q", "-c", "300", "-i", "10ms", self.ADDRESS)
        self.restart(self.machine_with_a_session(), *self.lame_duck)
        self.assertEqual(ping.wait(handoff.PATIENCE), 0)
        self.assertRegex(ping.stdout.read(), "300 sent, 300 received, 0% loss")


class ByAddresses(ToolsTest):
    lame_duck = ("--lame-duck", "200ms")

    def setUp(self):
        super().setUp()
        self.serve_alone(*self.lame_duck)

    def test_rpc_call_goes_on_at_the_next_address_when_a_machine_is_restarted(self):
        self.check_lines(ALL, lambda turn: self.backends[turn])

    def test_a_forward_to_all_addresses_loses_no_call_when_each_machine_is_restarted(self):
        self.check_forward(ALL)


if __name__ == "__main__":
    handoff.run_tests()
