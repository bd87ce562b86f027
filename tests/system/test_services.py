# SPDX-License-Identifier: MIT
"""Methods behind a program that speaks the protocol's own lines (rpc-worker -K): it answers what it
is asked, and whatever else it does is an error at once, and never the reply to another call."""

import os
import pathlib
import shutil
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

EXAMPLES = handoff.ROOT / "tests" / "examples"
FAILED = -32001
TIMED_OUT = -32002
INVALID_PARAMS = -32602

# Replies out of order: a call of `hold` is answered after the next call of `release`.
OUT_OF_ORDER = """
import json, sys, os
held = []
def reply(request, result):
    print(json.dumps({"out": request["in"], "result": result, "id": request["id"]}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["in"] == "x.hold":
        held.append(request)
    elif request["in"] == "x.release":
        reply(request, len(held))
        for each in reversed(held):
            reply(each, each["params"])
        held = []
    elif request["in"] == "x.pid":
        reply(request, os.getpid())
    elif request["in"] == "x.exit":
        print("last words", file=sys.stderr, flush=True)
        os._exit(request["params"])
    else:
        print(request["params"], flush=True)
"""

AMPLE = ("--timeout", "20s")


class Services(handoff.TestCase):
    def serve(self, *options: str) -> handoff.Server:
        return self.start(handoff.worker(*options))

    def open(self, server: handoff.Server):
        client = server.connect()
        self.addCleanup(client.close)
        return client

    def script(self) -> str:
        path = self.directory / "service.py"
        path.write_text(OUT_OF_ORDER)
        return f"exec {sys.executable} -IS {path}"

    def assert_error(self, reply, code: int, message: str):
        self.assertEqual(reply["out"], "error", reply)
        self.assertEqual(reply["result"]["code"], code, reply)
        self.assertRegex(reply["result"]["message"], message)

    def check_example(self, command: str):
        client = self.open(self.serve(*AMPLE, "-K", f"text.*={command}"))
        self.assertEqual(client.result("text.upper", ["abc"]), "ABC")
        self.assertEqual(client.result("text.join", ["a", "b"]), "a-b")
        self.assert_error(client.call("text.upper", [5]), INVALID_PARAMS, "Error")
        self.assert_error(client.call("text.none", []), INVALID_PARAMS, "Error")
        self.assertEqual(client.result("text.upper", ["d"]), "D")

    def test_the_example_in_python_answers_and_replies_errors(self):
        self.check_example(str(EXAMPLES / "service.py"))

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_the_example_in_node_answers_and_replies_errors(self):
        self.check_example(str(EXAMPLES / "service.mjs"))

    def test_the_manual_shows_the_examples(self):
        page = (handoff.ROOT / "man" / "rpc-worker.1").read_text()
        for name in ("service.py", "service.mjs"):
            text = (EXAMPLES / name).read_text()
            self.assertIn(text[text.index("import "):], page)

    def test_calls_run_side_by_side_in_one_process_and_replies_find_theirs(self):
        client = self.open(self.serve(*AMPLE, "-K", f"x.*={self.script()}"))
        pid = client.result("x.pid")
        for number in range(10):
            client.send("x.hold", number, id=number)
        client.send("x.release", id="all")
        replies = [client.receive() for _ in range(11)]
        self.assertEqual(replies[0]["id"], "all")
        self.assertEqual(sorted(reply["id"] for reply in replies[1:]), list(range(10)))
        for reply in replies[1:]:
            self.assertEqual(reply["result"], reply["id"])
        self.assertEqual(client.result("x.pid"), pid)

    def test_at_most_as_many_calls_are_under_way_as_the_concurrency_says(self):
        client = self.open(self.serve(*AMPLE, "-C", "3", "-K", f"x.*={self.script()}"))
        client.result("x.pid")
        for number in range(3):
            client.send("x.hold", number, id=number)
        client.send("x.release", id="all")
        with self.assertRaises(TimeoutError):  # it waits for a place, and so does everybody
            client.socket.settimeout(0.2)
            client.receive()

    def test_what_is_no_reply_is_an_error_of_the_call_at_once(self):
        for command, message in (
                ("while read -r line; do echo hello; done", "wrote 'hello': .*invalid JSON"),
                ("cat", "is not an object with one 'out' and one 'result'"),
                ("head -n 1 >&2; exit 3", "the coprocess ended: exit status 3"),
                ("exit 0", "the coprocess ended: exit status 0"),
                ("kill -9 $$", "the coprocess ended: .*signal"),
                ("no-such-command", "the coprocess ended: exit status 127"),
                ("exec >&-; sleep 99", "closed its output"),
                ("""while read -r line; do echo '{"out": "x", "result": 1, "id": 77}'; done""",
                 "no call has this id"),
                ("""while read -r line; do echo '{"out": "x", "result": 1, "id": 1}'; done""",
                 "^$|no call has this id")):
            with self.subTest(command):
                client = self.open(self.serve(*AMPLE, "-K", f"x={command}"))
                for _ in range(2):
                    reply = client.call("x", 1)
                    if reply["out"] != "error":
                        self.assertIn('"id": 1}', command)
                        continue
                    self.assert_error(reply, FAILED, message)
                self.assertEqual(reply["out"], "error")

    def test_the_end_of_the_process_is_an_error_of_all_its_calls_and_the_next_call_has_another(self):
        client = self.open(self.serve(*AMPLE, "-K", f"x.*={self.script()}"))
        pid = client.result("x.pid")
        client.send("x.hold", 1, id=1)
        client.send("x.exit", 3, id=2)
        for _ in range(2):
            reply = client.receive()
            self.assert_error(reply, FAILED, "^the coprocess ended: exit status 3")
            self.assertEqual(reply["result"]["data"], {"status": 3, "stderr": "last words"})
        self.assertNotEqual(client.result("x.pid"), pid)

    def test_a_process_that_is_killed_between_two_calls_is_replaced_without_a_word(self):
        client = self.open(self.serve(*AMPLE, "-K", f"x.*={self.script()}"))
        for _ in range(5):
            pid = client.result("x.pid")
            self.assertEqual(client.result("x.pid"), pid)
            os.kill(pid, signal.SIGKILL)
            handoff.wait_for(lambda: not handoff.alive(pid), "the process to end")

    def test_a_process_that_answers_others_survives_a_call_that_takes_too_long(self):
        client = self.open(self.serve("--timeout", "500ms", "-K", f"x.*={self.script()}"))
        pid = client.result("x.pid")
        client.send("x.hold", 1, id="late")
        self.assertEqual(client.result("x.pid"), pid)
        self.assert_error(client.receive(), TIMED_OUT, "no whole line in time")
        self.assertEqual(client.result("x.release"), 1)
        self.assertEqual(client.result("x.pid"), pid)

    def test_a_process_that_answers_nothing_is_replaced(self):
        client = self.open(self.serve("--timeout", "500ms", "-K", f"x.*={self.script()}"))
        pid = client.result("x.pid")
        self.assert_error(client.call("x.hold", 1), TIMED_OUT, "wrote nothing in time")
        handoff.wait_for(lambda: not handoff.alive(pid), "the process to end")
        self.assertNotEqual(client.result("x.pid"), pid)

    def test_without_ids_a_pool_answers_as_many_calls_at_a_time_as_it_has_processes(self):
        echo = """while read -r line; do echo "{\\"out\\": \\"x\\", \\"result\\": $$}"; done"""
        client = self.open(self.serve(*AMPLE, "-K", f"x={echo}", "--pool", "3"))
        for number in range(50):
            client.send("x", id=number)
        pids = {client.receive()["result"] for _ in range(50)}
        self.assertEqual(len(pids), 3)


if __name__ == "__main__":
    handoff.run_tests()
