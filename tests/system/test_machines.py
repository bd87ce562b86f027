# SPDX-License-Identifier: MIT
"""Three machines behind HAProxy: each is restarted, upgraded and reloaded in turn, and no client
has a call that fails."""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from machine_clients import MachineLoad  # noqa: E402
from machines import FRONT, MachinesTest  # noqa: E402

LAME_DUCK = ("--lame-duck", "2s")


class Rolling(MachinesTest):
    def load(self) -> MachineLoad:
        return MachineLoad(self.client, FRONT)

    def assert_none_failed(self, load: MachineLoad):
        self.assertEqual((dict(load.failures), load.calls > 1000), ({}, True), load.calls)

    def test_a_restart_of_each_machine_in_turn_fails_no_call(self):
        self.serve(*LAME_DUCK)
        with self.load() as load:
            for _ in range(handoff.count(5, 1)):
                for backend in self.backends:
                    load.go_on()
                    self.restart(backend, *LAME_DUCK)
            load.go_on()
        self.assert_none_failed(load)
        # They were served elsewhere meanwhile.
        self.assertGreater(load.ended_sessions, 0)

    def test_a_reload_and_an_upgrade_of_each_machine_in_turn_end_no_session(self):
        self.serve()
        with self.load() as load:
            for backend in self.backends:
                for change in ("reload", "upgrade"):
                    load.go_on()
                    backend.ask(change)
            load.go_on()
        self.assert_none_failed(load)
        self.assertEqual(load.ended_sessions, 0)
        self.assertEqual(self.balancer.states(), ["UP"] * 3)


class Shown(MachinesTest):
    def test_the_server_learns_the_address_of_each_client_from_haproxy(self):
        self.serve(command=[handoff.tool("rpc-worker"), "-q", "-m",
                            """peer=printf '"%s"' "$RPC_PEER" """])
        for _ in self.backends:
            with self.client.connect(FRONT) as client:
                host, port = client.socket.getsockname()
                self.assertEqual(client.result("peer"), f"{host}:{port}")

    def test_prometheus_finds_the_metrics_of_each_machine_where_the_manual_says(self):
        self.serve()
        page = (handoff.ROOT / "man" / "handoff.7").read_text()
        targets = re.findall(r'"([\d.]+):(\d+)"', re.search(r"- targets: (\[.*\])", page)[1])
        self.assertEqual(len(targets), 3)
        for host, port in targets:
            done = self.bridge.run("curl", "-sS", f"http://{host}:{port}/metrics")
            self.assertRegex(done.stdout, r"(?m)^handoff_\w+ \d", done.stderr)

    def test_the_command_of_the_manual_shows_the_state_of_each_machine(self):
        self.serve()
        page = (handoff.ROOT / "man" / "handoff.7").read_text()
        command, = re.findall(r"^echo 'show stat' .*$", page, re.M)
        done = subprocess.run(["sh", "-c", command.replace("/run/haproxy/admin.sock",
                                                           self.balancer.socket)],
                              capture_output=True, text=True, timeout=handoff.PATIENCE)
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith("m")],
                         ["m1,UP", "m2,UP", "m3,UP"], done.stderr)


if __name__ == "__main__":
    handoff.run_tests()
