# SPDX-License-Identifier: MIT
"""Processes that a handler leaves behind are found and ended, and no result waits for them."""

import contextlib
import os
import pathlib
import select
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import (  # noqa: E402
    AMPLE, FAILED, HandlerCase, KINDS, SLOW_TO_DIE, TIMED_OUT, lines_of)

HOPS = """
import os, sys, time
os.setsid()
os.open(f"{sys.argv[1]}/held", os.O_WRONLY)
with open(f"{sys.argv[1]}/groups", "a") as groups:
    groups.write(f"{os.getpid()}\\n")
with open(f"{sys.argv[1]}/begun", "w") as begun:
    begun.write("\\n")
while True:
    if os.fork():
        os._exit(0)
    time.sleep(0.002)
"""


class LeftBehind(HandlerCase):
    """By handlers that end while what they have started goes on, their stdout in hand."""

    LEAVES = {"child": "sleep 999 & ", "session": "setsid sleep 999 & ",
              "orphan": "(setsid sleep 999 &); ", "tree": "setsid sh -c 'sleep 999 & sleep 998' & ",
              "daemon": "setsid sh -c 'setsid sleep 999 & exit' & "}

    def test_a_result_does_not_wait_for_a_process_left_behind(self):
        options = self.all_kinds({name: start + "echo 1" for name, start in self.LEAVES.items()})
        client = self.open(self.worker(*AMPLE, *options))
        for name in self.LEAVES:
            for kind in ("command", "file"):
                self.assertEqual(client.result(f"{kind}.{name}"), 1)
        self.assert_nothing_left()

    def test_an_error_does_not_wait_for_a_process_left_behind(self):
        options = self.all_kinds({name: start + "exit 3" for name, start in self.LEAVES.items()})
        client = self.open(self.worker("--timeout", "2s", *options))
        for name in self.LEAVES:
            replies = self.assert_all_fail(client, name, FAILED, "exit status 3")
            for kind in KINDS:
                self.assertEqual(replies[kind]["result"].get("data"), {"status": 3, "stderr": ""})
        self.assert_nothing_left()
        self.assertEqual(client.result("ping", 1), 1)

    def test_a_process_left_behind_does_not_pass_for_the_coprocess_that_has_ended(self):
        for start in ("sleep 999 & ", "setsid sleep 999 & "):
            server = self.worker("--timeout", "2s", "-k", f"one={start}read -r line; echo $$")
            client = self.open(server)
            for _ in range(3):
                pid = client.result("one")
                handoff.wait_for(lambda: not handoff.alive(pid), "the coprocess to end")

    def test_a_coprocess_that_ends_between_two_calls_leaves_nothing(self):
        server = self.worker(*AMPLE, "-k", "one=setsid sleep 999 & read -r line; echo 1")
        self.assertEqual(self.open(server).result("one"), 1)
        self.assert_nothing_left()
        handoff.wait_for(lambda: not handoff.children(server.pid), "the worker to reap it")

    def test_a_coprocess_keeps_what_it_has_started_until_its_own_end(self):
        client = self.open(self.worker(
            *AMPLE, "-k", "keeps=setsid sleep 999 & while read -r line; do "
            'case $line in 0) exit 3;; esac; echo "$line"; done'))
        for number in (1, 2, 3):
            self.assertEqual(client.result("keeps", number), number)
        handoff.wait_for(lambda: self.handlers_left().count("sleep 999 ") == 1, "what it keeps")
        self.assert_error(client.call("keeps", 0), FAILED, "exit status 3")
        self.assert_nothing_left()

    def test_a_process_left_behind_is_found_behind_a_parent_that_is_slow_to_die(self):
        slow = self.script("slow", SLOW_TO_DIE).removeprefix("exec ")
        options = self.all_kinds({"slow": f"{slow} & wait"})
        client = self.open(self.worker("--timeout", "800ms", *options))
        self.assert_all_fail(client, "slow", TIMED_OUT)
        self.assert_nothing_left()

    def assert_found(self, runs: str, rounds: int):
        """What runs away can't be looked for, but holds a pipe's other end for as long as it is
        there. It leads a process group, says so in ./groups, and then in ./begun."""
        for name in ("held", "begun"):
            os.mkfifo(self.directory / name)
        held = os.open(self.directory / "held", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, held)
        poll = select.poll()
        poll.register(held, 0)

        def kill_groups():
            for group in lines_of(self.directory / "groups"):
                if not poll.poll(0):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(int(group), signal.SIGKILL)

        self.stack.callback(kill_groups)
        options = self.all_kinds(
            {"leaves": f"({runs} &); read -r word <{self.directory}/begun; echo 1"})
        client = self.open(self.worker(*AMPLE, *options))
        for _ in range(rounds):
            for kind in ("command", "file"):
                self.assertEqual(client.result(f"{kind}.leaves"), 1)
                handoff.wait_for(lambda: poll.poll(0), "what ran away to end", 5)

    def test_a_process_left_behind_is_found_when_it_hops_from_process_to_process(self):
        self.assert_found(f"{self.script('hops', HOPS)} {self.directory}".removeprefix("exec "), 6)

    def test_a_process_left_behind_is_found_when_it_executes_one_program_after_another(self):
        self.write(self.directory / "again", '#!/bin/sh\nexec "$0"\n')
        first = self.directory / "first"
        self.write(first, f"""#!/bin/sh
cd {self.directory} && exec 9>held
echo $$ >>groups
echo >begun
exec ./again
""")
        self.assert_found(f"setsid {first}", 25)

    def test_what_belongs_to_other_calls_is_left_alone(self):
        gate, inner = self.make_gate("gate"), self.make_gate("inner")
        ended = self.directory / "ended"
        os.mkfifo(ended)
        server = self.worker(
            *AMPLE, "-m", f"first={gate.words}; echo 1", "-m", "none=true",
            "-m", f"other=(setsid sh -c '{inner.words}; echo >{ended}' &); "
            f"read -r word <{ended}; echo 2")
        first, other = self.open(server), self.open(server)
        first.send("first")
        gate.wait_for_one()
        # The call that follows is the tenth of this worker, and so begins like the first.
        for _ in range(8):
            other.result("none")
        other.send("other")
        inner.wait_for_one()
        gate.open()
        self.assertEqual(first.receive()["result"], 1)
        inner.open()
        self.assertEqual(other.receive()["result"], 2)


if __name__ == "__main__":
    handoff.run_tests()
