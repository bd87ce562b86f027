# SPDX-License-Identifier: MIT
"""Three machines behind HAProxy of which one dies, or cannot be reached: calls that wait get their
end in time, the others notice nothing, and nothing runs twice."""

import collections
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from load import Load  # noqa: E402
from machines import ALL, FRONT, MachinesTest  # noqa: E402

WORKER = handoff.tool("rpc-worker")
CLIENTS = 12
# The deadline of a call that is forwarded, in seconds.
DEADLINE = 1.0
# How much later an error may be there on a loaded machine.
SLACK = 4.0
TIMED_OUT, LOST, UNREACHABLE = -32002, -32004, -32006


def say(text: str):
    print(text, file=sys.stderr)


class Killed(MachinesTest):
    """`hold` writes to the file `begun`, and is answered when the gate opens."""

    def setUp(self):
        super().setUp()
        self.begun, self.gate = self.directory / "begun", self.directory / "gate"
        os.mkfifo(self.gate)
        self.command = [WORKER, "-q", "-m", f"hold=echo >>{self.begun}; : <{self.gate}; echo 1"]
        self.serve(command=self.command)

    def hold(self, clients):
        for client in clients:
            client.send("hold")
        handoff.wait_for(lambda: self.begun.exists() and
                         self.begun.read_text().count("\n") == len(clients), "all to run")

    def call_once(self) -> float:
        """Makes a call on a session of its own, and gives how many seconds it took."""
        began = time.monotonic()
        with self.client.connect(FRONT) as client:
            self.assertEqual(client.result("echo", [1]), [1])
        return time.monotonic() - began

    def test_a_machine_that_dies_costs_the_calls_that_it_runs_and_no_others(self):
        clients = [self.stack.enter_context(self.client.connect(FRONT)) for _ in range(CLIENTS)]
        at = collections.defaultdict(list)
        for client in clients:
            at[self.machine_of(client).name].append(client)
        self.assertEqual({name: len(each) for name, each in at.items()},
                         {"m1": 4, "m2": 4, "m3": 4})
        self.hold(clients)
        self.backends[0].kill()
        slowest = max(self.call_once() for _ in range(50))
        for client in at["m1"]:
            self.assertIsNone(client.receive())
            client.close()
        os.close(os.open(self.gate, os.O_WRONLY))
        for client in at["m2"] + at["m3"]:
            self.assertEqual(client.receive(), {"out": "hold", "result": 1})
        say(f"a machine was killed: the slowest of the next 50 calls took {slowest:.3f} s")
        self.start_again(self.backends[0], command=self.command)
        with self.client.connect(FRONT) as client:
            self.assertEqual(self.machine_of(client).name, "m1")


class UnreachableTest(MachinesTest):
    """Clients call `count`, which writes its params to a file, through a worker that forwards it to
    the three machines. Each call has other params."""

    def serve_count(self, serve, address: str):
        self.file = self.directory / "counted"
        self.file.touch()
        count = f'while read -r id; do echo "$id" >>{self.file}; echo "$id"; done'
        serve(command=[WORKER, "-q", "-k", f"count={count}"])
        self.path = str(self.directory / "forward.sock")
        self.start(self.client.start(WORKER, "-l", self.path, "--timeout", f"{DEADLINE}s", "-f",
                                     f"count={address}"))
        self.answered: list[str] = []
        self.slowest = 0.0

    def call(self, load: Load, number: int):
        """A client that goes on after an error, which must be there in time."""
        with handoff.Connection(self.path) as client:
            while not load.is_over():
                params = f"{number}-{load.answered[number]}"
                began = time.monotonic()
                reply = client.call("count", params)
                self.slowest = max(self.slowest, time.monotonic() - began)
                if reply == {"out": "count", "result": params}:
                    self.answered.append(params)
                elif reply["result"]["code"] in (TIMED_OUT, LOST, UNREACHABLE):
                    load.errors[number][reply["result"]["code"]] += 1
                else:
                    raise AssertionError(f"{reply}")
                load.answered[number] += 1

    def go_on_through(self, begin, meanwhile, end, what: str) -> Load:
        """Has the clients call before, while and after something disturbs the network."""
        with Load([self.call] * CLIENTS) as load:
            load.go_on()
            self.assertEqual(dict(load.total_errors()), {})
            begin()
            load.go_on()
            meanwhile(load)
            load.go_on()
            end()
            self.wait_until_up()
            # What was sent before may still have to pass its deadline.
            load.go_on(2)
            before = load.total_errors()
            load.go_on(20)
            self.assertEqual(load.total_errors() - before, {})
        self.assertEqual(load.problems, [])
        self.assertLess(self.slowest, DEADLINE + SLACK)
        say(f"{what}: {len(self.answered)} calls answered, {dict(before)} errors")
        self.assert_nothing_ran_twice()
        return load

    def assert_nothing_ran_twice(self):
        runs = collections.Counter(self.file.read_text().replace('"', "").split())
        self.assertEqual([call for call, times in runs.items() if times > 1], [])
        self.assertLessEqual(set(self.answered), set(runs))


class Unreachable(UnreachableTest):
    def setUp(self):
        super().setUp()
        self.serve_count(self.serve, f"{FRONT[0]}:{FRONT[1]}")

    def test_a_machine_whose_cable_is_pulled_out_is_left_out_until_it_is_back(self):
        lost = self.backends[0]
        self.go_on_through(lost.machine.pull_cable,
                           lambda _: self.balancer.wait_until(lost.name, "DOWN"),
                           lost.machine.plug_cable, "a cable was pulled out and plugged in")

    def test_a_machine_whose_packets_are_dropped_is_left_out_until_it_is_back(self):
        self.need_nft()
        lost = self.backends[0]
        self.go_on_through(lambda: lost.machine.drop("meta l4proto tcp"),
                           lambda _: self.balancer.wait_until(lost.name, "DOWN"),
                           lost.machine.drop, "all packets to a machine were dropped")

    def test_a_network_that_loses_three_packets_in_ten_delays_calls_and_runs_none_twice(self):
        self.need_nft()
        machines = [backend.machine for backend in self.backends]

        def on_all(rule: str):
            for machine in machines:
                machine.drop(rule)

        calls = handoff.count(60, 20)
        self.go_on_through(lambda: on_all("numgen random mod 10 < 3"),
                           lambda load: load.go_on(calls), lambda: on_all(""),
                           "3 packets in 10 were dropped")


class UnreachableByAddress(UnreachableTest):
    def setUp(self):
        super().setUp()
        self.serve_count(self.serve_alone, ALL)

    def test_a_forward_leaves_out_a_machine_whose_cable_is_pulled_out_until_it_is_back(self):
        lost = self.backends[0].machine
        load = self.go_on_through(lost.pull_cable, lambda load: load.go_on(500), lost.plug_cable,
                                  "a cable was pulled out and plugged in, without a balancer")
        # Each client has lost at most the call that it was making.
        self.assertEqual([errors for errors in load.errors if errors.total() > 1], [])


if __name__ == "__main__":
    handoff.run_tests()
