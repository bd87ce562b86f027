# SPDX-License-Identifier: MIT
"""What stands behind a method, a command, a coprocess or a file of a directory, may fail in any
way; no call gets the reply of another."""

import json
import os
import pathlib
import re
import select
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import (  # noqa: E402
    AMPLE, FAILED, HandlerCase, INTERNAL_ERROR, KINDS, METHOD_NOT_FOUND, TIMED_OUT, lines_of)

MEGABYTE = 1024 * 1024


def peak_bytes(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024


class Names(HandlerCase):
    NAMES = ("../../bin/sh", "../../../../../../../bin/sh", "/bin/sh", "sh", "a;b",
             "command.ok;b", "$(touch ran)", "nul\0inside", "command.ok\0", "file.ok\0x",
             "x" * 10000, "", " ", ".", "..", "./file.ok", "file.ok/", "file.ok/.", "../outside",
             "../methods/file.ok", "sub/inner", "sub", ".hidden", "file.OK", "file.ok ",
             "file.*", "*", "-c", "é\n", "\U0001f600")

    def test_a_name_that_is_no_method_runs_nothing(self):
        ran = self.directory / "ran"
        body = f"echo $RPC_METHOD >>{ran}; echo 1"
        options = self.all_kinds({"ok": body})
        outside = self.directory / "outside"
        for path in (outside, self.methods / ".hidden", self.methods / "sub" / "inner"):
            path.parent.mkdir(exist_ok=True)
            self.write(path, f"#!/bin/sh\n{body}\n")
        trace = self.directory / "trace"
        server = self.start(handoff.Server(
            "strace", "-f", "-qq", "-o", str(trace), "-e", "trace=vfork,fork,clone,clone3,execve",
            handoff.tool("rpc-worker"), "-l", "127.0.0.1:0", *options,
            env={**self.environment, "ASAN_OPTIONS": "detect_leaks=0"}))
        client = self.open(server)
        for number, name in enumerate((*self.NAMES, str(outside))):
            for params in (None, "id >&2", ["-c", f"touch {ran}"]):
                reply = client.call(name, params, id=number)
                self.assert_error(reply, METHOD_NOT_FOUND, "^no such method: ")
                self.assertEqual(reply["id"], number)
                self.assertLess(len(reply["result"]["message"]), 200)
        self.assertFalse(ran.exists())
        # These three calls and the guard at the start are all that starts a process.
        self.assert_all_give(client, "ok", 1)
        self.assertEqual(sorted(lines_of(ran)), [f"{kind}.ok" for kind in KINDS])
        client.close()
        os.kill(handoff.children(server.pid)[0], signal.SIGTERM)
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        text = trace.read_text()
        self.assertEqual(len(re.findall(r"\b(?:vfork|fork|clone3?)\(", text)), 4, text)


class Failures(HandlerCase):
    def test_one_that_hangs_is_ended_at_its_deadline_with_all_that_it_has_started(self):
        options = self.all_kinds({"hang": "sleep 999", "more": "sleep 998 & setsid sleep 997",
                                  "deaf": "trap '' TERM INT HUP; while :; do sleep 996; done",
                                  "stop": "kill -STOP $$", "ok": "echo 1"})
        client = self.open(self.worker("--timeout", "400ms", *options))
        called = [f"{kind}.{name}" for name in ("hang", "more", "deaf", "stop") for kind in KINDS]
        for name in called:
            client.send(name, id=name)
        for _ in called:
            self.assert_error(client.receive(), TIMED_OUT)
        self.assert_nothing_left()
        self.assertEqual(client.result("command.ok"), 1)
        self.assertEqual(client.result("file.ok"), 1)

    def test_one_that_fails_tells_how_and_the_end_of_its_stderr(self):
        options = self.all_kinds({
            "one": "echo why >&2; exit 1", "high": "exit 255",
            "killed": "echo oops >&2; kill -9 $$", "aborted": "kill -ABRT $$",
            "talks": "seq 10000 >&2; exit 3", "late": "echo 5; exit 4"})
        client = self.open(self.worker(*AMPLE, *options))
        for name, data in (("one", {"status": 1, "stderr": "why"}),
                           ("high", {"status": 255, "stderr": ""}),
                           ("killed", {"signal": 9, "stderr": "oops"}),
                           ("aborted", {"signal": 6, "stderr": ""})):
            replies = self.assert_all_fail(client, name, FAILED, "(exit status|signal) [0-9]+")
            for kind in KINDS:
                self.assertEqual(replies[kind]["result"]["data"], data, kind)
        for reply in self.assert_all_fail(client, "talks", FAILED).values():
            tail = reply["result"]["data"]["stderr"]
            self.assertTrue(tail.endswith("\n9999\n10000"), tail)
            self.assertLessEqual(len(tail), 2048)
            self.assertGreater(len(tail), 2000)
        # The status comes behind the result: a command has failed, a coprocess has answered.
        replies = self.call_all(client, "late")
        self.assert_error(replies["command"], FAILED)
        self.assert_error(replies["file"], FAILED)
        self.assertEqual(replies["coprocess"]["result"], 5)
        self.assert_nothing_left()
        self.assertEqual(client.result("ping", 1), 1)

    def test_output_that_is_no_json_is_an_error_and_never_part_of_a_reply(self):
        garbage = {"word": "echo nonsense", "bytes": r"printf '\377\376\n'",
                   "open": "echo '{\"a\":'", "two": "echo 1 2", "nan": "echo NaN",
                   "nul": r"printf '\000\n'", "fields": "echo '1,\"id\":7'",
                   "closes": "echo '1}'", "quote": "echo \"'a'\"",
                   "deep": "yes '[' | head -n 100 | tr -d '\\n'; echo",
                   "mark": r"printf '\357\273\277 1\n'"}
        options = self.all_kinds(garbage)
        client = self.open(self.worker(*AMPLE, *options))
        for name in garbage:
            self.assert_all_fail(client, name, FAILED, "not JSON")
        self.assert_nothing_left()
        self.assertEqual(client.result("ping", 1), 1)

    def test_output_without_end_is_an_error_at_once_and_takes_no_memory(self):
        options = self.all_kinds({"lines": "yes", "line": "tr '\\0' 7 </dev/zero",
                                  "gigabyte": "head -c 1000000000 /dev/zero", "ok": "echo 1"})
        server = self.worker(*AMPLE, *options)
        client = self.open(server)
        self.assert_all_give(client, "ok", 1)
        before = peak_bytes(server.pid)
        for name in ("lines", "line", "gigabyte"):
            self.assert_all_fail(client, name, FAILED, "exceeds the limit|more than one line")
        if not handoff.SANITIZED:
            self.assertLess(peak_bytes(server.pid) - before, 24 * MEGABYTE)
        self.assert_nothing_left()
        self.assertEqual(client.result("ping", 1), 1)

    def test_stderr_without_end_holds_nobody_up_and_takes_no_memory(self):
        writer = "dd if=/dev/zero bs=1M status=none >&2"
        options = self.all_kinds({"talk": f"{writer} & {writer} & wait", "ok": "echo 1"})
        server = self.worker("--timeout", "800ms", *options)
        client, other = self.open(server), self.open(server)
        self.assert_all_give(client, "ok", 1)
        before = peak_bytes(server.pid)
        for kind in KINDS:
            client.send(f"{kind}.talk", id=kind)
        ended = 0
        while ended < len(KINDS):
            self.assertEqual(other.result("ping", ended), ended)
            if select.select([client.socket], [], [], 0.001)[0]:
                self.assert_error(client.receive(), TIMED_OUT)
                ended += 1
        if not handoff.SANITIZED:
            self.assertLess(peak_bytes(server.pid) - before, 4 * MEGABYTE)
        self.assert_nothing_left()

    def test_one_that_does_not_read_its_stdin_may_answer_all_the_same(self):
        options = self.all_kinds({"closes": "exec <&-; echo 1", "starts": "head -c 10 >&2; echo 1",
                                  "ignores": "echo 1"}, read="")
        client = self.open(self.worker(*AMPLE, *options))
        params = "x" * 900000
        for _ in range(2):
            for name in ("closes", "starts", "ignores"):
                self.assert_all_give(client, name, 1, params)
        self.assert_nothing_left()

    def test_no_output_is_null_and_of_a_coprocess_an_error(self):
        options = self.all_kinds({"none": "true"}, read="")
        client = self.open(self.worker(*AMPLE, *options))
        for params in (None, "x" * 900000):
            replies = self.call_all(client, "none", params)
            self.assertEqual(replies["command"]["result"], None)
            self.assertEqual(replies["file"]["result"], None)
            self.assert_error(replies["coprocess"], FAILED, "ended: exit status 0")
            self.assertEqual(replies["coprocess"]["result"]["data"], {"status": 0, "stderr": ""})
        self.assert_nothing_left()

    def test_large_params_and_results_go_through(self):
        options = self.all_kinds({"cat": "cat"}, read="")
        client = self.open(self.worker(*AMPLE, *options))
        for size in (0, 1, 65535, 65536, 900000):
            self.assert_all_give(client, "cat", "x" * size, "x" * size)

    def test_with_text_what_is_no_json_is_a_string(self):
        options = self.all_kinds({"word": "echo hello", "number": "echo 1", "none": "echo",
                                  "bytes": r"printf 'a\377b\n'", "quote": "echo '\"a'"})
        client = self.open(self.worker("--text", *AMPLE, *options))
        for name, result in (("word", "hello"), ("number", 1), ("none", ""), ("bytes", "a\ufffdb"),
                             ("quote", '"a')):
            self.assert_all_give(client, name, result)

    def test_an_id_that_is_too_long_for_an_environment_is_an_error_of_its_call(self):
        options = self.all_kinds({"ok": "echo 1"})
        client = self.open(self.worker(*AMPLE, *options))
        long = "x" * 200000
        for kind in ("command", "file"):
            reply = client.call(f"{kind}.ok", id=long)
            self.assert_error(reply, INTERNAL_ERROR, "too long")
            self.assertEqual(reply["id"], long)
        self.assertEqual(client.call("coprocess.ok", id=long)["result"], 1)
        self.assertEqual(client.result("command.ok"), 1)

    def test_a_call_for_which_no_descriptors_are_left_is_an_error(self):
        options = self.all_kinds({"ok": "echo 1"})
        server = self.start(handoff.Server(
            "sh", "-c", 'ulimit -n 60; exec "$@"', "sh", handoff.tool("rpc-worker"), "-l",
            "127.0.0.1:0", "--env", "HANDLERS_OF", "--pool", "20", *AMPLE, *options,
            env=self.environment))
        client = self.open(server)
        for _ in range(2):
            client.socket.sendall(b"".join(handoff.frame(json.dumps(
                {"in": f"{KINDS[number % 3]}.ok", "id": number}).encode()) for number in range(60)))
            replies = [client.receive() for _ in range(60)]
            self.assertEqual({reply["out"] == "error" for reply in replies}, {False, True})
            for reply in replies:
                if reply["out"] == "error":
                    self.assert_error(reply, INTERNAL_ERROR, "Too many open files")
                else:
                    self.assertEqual(reply["result"], 1)
            self.assert_all_give(client, "ok", 1)


if __name__ == "__main__":
    handoff.run_tests()
