# SPDX-License-Identifier: MIT
"""Our own clients at three machines behind HAProxy: a machine that is restarted under them costs them
nothing, because they send again what its last reply left without one."""

import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from load import Load, long_lived  # noqa: E402
from machines import FRONT, MachinesTest  # noqa: E402

LAME_DUCK = ("--lame-duck", "1s")
FRONT_WORD = f"{FRONT[0]}:{FRONT[1]}"
LINES = 3000


class Tools(MachinesTest):
    def setUp(self):
        super().setUp()
        self.serve(*LAME_DUCK)

    def begin(self, *words: str, **popen) -> subprocess.Popen:
        """Starts a program at the client."""
        with self.client.inside():
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        return process

    def machine_with_a_session(self):
        """Where HAProxy has sent the one client that there is."""
        def current():
            rows = self.balancer.rows()
            # A health check is no session.
            return [each for each in self.backends if rows[each.name]["scur"] == "1"]

        handoff.wait_for(lambda: len(current()) == 1, "the session")
        return current()[0]

    def test_all_lines_of_rpc_call_are_answered_in_order_across_restarts(self):
        call = self.begin(handoff.tool("rpc-call"), "--compact", FRONT_WORD, "echo", "-",
                          stdin=subprocess.PIPE)
        results = []
        for third in range(3):
            numbers = range(third * LINES // 3, (third + 1) * LINES // 3)
            call.stdin.write("".join(f"{number}\n" for number in numbers))
            call.stdin.flush()
            # There are lines on their way when the server is told to stop.
            results += [call.stdout.readline() for _ in range(100)]
            backend = self.machine_with_a_session()
            backend.server.kill(signal.SIGTERM)
            backend.server.wait_for_line("leaving: each connection ends after its next reply")
            results += [call.stdout.readline() for _ in range(len(numbers) - 100)]
            if third < 2:
                self.assertEqual(backend.server.process.wait(handoff.PATIENCE), 0)
                self.start_again(backend, *LAME_DUCK)
        call.stdin.close()
        self.assertEqual([int(line) for line in results], list(range(LINES)))
        self.assertEqual((call.stdout.read(), call.stderr.read(), call.wait(handoff.PATIENCE)),
                         ("", "", 0))

    def test_a_forward_to_three_machines_loses_no_call_when_each_is_restarted(self):
        path = str(self.directory / "forward.sock")
        self.start(self.client.start(handoff.tool("rpc-worker"), "-l", path, "-f",
                                     f"ping={FRONT_WORD}"))
        with Load([long_lived(path, ahead=4)] * 12) as load:
            for backend in self.backends:
                load.go_on()
                self.restart(backend, *LAME_DUCK)
            load.go_on()
        self.assertEqual((load.problems, dict(load.total_errors())), ([], {}))

    def test_rpc_ping_loses_nothing_when_its_machine_is_restarted(self):
        ping = self.begin(handoff.tool("rpc-ping"), "-q", "-c", "300", "-i", "10ms", FRONT_WORD)
        self.restart(self.machine_with_a_session(), *LAME_DUCK)
        self.assertEqual(ping.wait(handoff.PATIENCE), 0)
        self.assertRegex(ping.stdout.read(), "300 sent, 300 received, 0% loss")


if __name__ == "__main__":
    handoff.run_tests()
