# SPDX-License-Identifier: MIT
"""What a handler sees of its worker: three descriptors and the usual variables."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import AMPLE, HandlerCase  # noqa: E402

USUAL_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "LC_ALL")

PROBE = """
import json, os
def is_open(number):
    try: os.fstat(number)
    except OSError: return False
    return True
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
environment = open("/proc/self/environ").read().split("\\0")[:-1]
print(json.dumps({
    "descriptors": [number for number in range(5000) if is_open(number)],
    "environment": dict(variable.split("=", 1) for variable in environment),
    "variables": len(environment),
    "gains_nothing": status["NoNewPrivs"].strip(),
    "blocked": status["SigBlk"].strip().strip("0"),
    "leads_group": os.getpgrp() == os.getpid(),
    "directory": os.getcwd()}))
"""


class Surroundings(HandlerCase):
    def setUp(self):
        super().setUp()
        self.environment = {**self.environment, "SECRET": "x", "ALSO": "a=b c\né",
                            "LD_BIND_NOW": "1", "RPC_METHOD": "mine", "IFS": "x", "ENV": "/x"}
        for name in USUAL_VARIABLES:
            self.environment.setdefault(name, "C" if name.startswith("L") else "/tmp")
        probe = self.script("probe", PROBE)
        self.options = (*self.all_kinds({"probe": f"{probe}"}), "--env", "ALSO", "--env", "UNSET")

    def probe(self, server, peer: str):
        client = self.open(server)
        usual = {name: self.environment[name] for name in (*USUAL_VARIABLES, "ALSO", "HANDLERS_OF")}
        for kind, reply in self.call_all(client, "probe", [1]).items():
            with self.subTest(kind=kind):
                seen = reply["result"]
                self.assertEqual(len(seen["environment"]), seen["variables"])
                self.assertEqual(seen["descriptors"], [0, 1, 2])
                own = {name: seen["environment"].pop(name)
                       for name in list(seen["environment"]) if name.startswith("RPC_")}
                for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # a shell's own
                    seen["environment"].pop(name, None)
                self.assertEqual(seen["environment"], usual)
                self.assertEqual(own.pop("RPC_METHOD"), f"{kind}.probe")
                self.assertTrue(own.pop("RPC_MARK"))
                if kind != "coprocess":
                    self.assertRegex(own.pop("RPC_PEER"), peer)
                    self.assertEqual(own.pop("RPC_ID"), f'"{kind}"')
                self.assertEqual(own, {})
                self.assertEqual((seen["gains_nothing"], seen["blocked"]), ("1", ""))
                self.assertTrue(seen["leads_group"])
                self.assertEqual(seen["directory"], os.getcwd())

    def test_a_handler_sees_three_descriptors_the_usual_variables_and_those_that_were_named(self):
        server = self.worker(*AMPLE, *self.options)
        for _ in range(20):
            self.open(server).result("ping")
        self.probe(server, r"^127\.0\.0\.1:\d+$")

    def test_a_handler_behind_a_master_sees_no_more(self):
        words = [handoff.tool("rpc-worker"), "--env", "HANDLERS_OF", *AMPLE, *self.options]
        server = self.start(handoff.master(workers=1, command=words, env=self.environment))
        self.probe(server, r"^127\.0\.0\.1:\d+$")

    def test_a_handler_sees_none_of_the_descriptors_that_the_worker_has_inherited(self):
        extra = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
        self.addCleanup(lambda: [os.close(number) for number in extra])
        words = ("--env", "HANDLERS_OF", "-l", str(self.directory / "socket"), *AMPLE)
        server = self.start(handoff.worker(*words, *self.options, pass_fds=extra,
                                           env=self.environment))
        self.probe(server, "^unix$")


if __name__ == "__main__":
    handoff.run_tests()
