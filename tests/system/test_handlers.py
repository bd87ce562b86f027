# SPDX-License-Identifier: MIT
"""What stands behind a method: a command, a coprocess, or a file of a directory. Each may fail in
any way; no call gets the reply of another, and nothing is left over."""

import contextlib
import fcntl
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
FAILED = -32001
TIMED_OUT = -32002

PYTHON = f"{sys.executable} -IS"
KINDS = ("command", "coprocess", "file")
USUAL_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "LC_ALL")
MEGABYTE = 1024 * 1024

# Far longer than any call here takes, and shorter than a test's patience.
AMPLE = ("--timeout", "20s")


def peak_bytes(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024


def is_asleep(pid: int) -> bool:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rsplit(")", 1)[1].split()[0] == "S"


def lines_of(path: pathlib.Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def in_threads(functions):
    """Runs them all at a time; the first failure is the test's."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as error:  # an assertion
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Gate:
    """What handlers wait at until it is opened, for one of them each time."""

    def __init__(self, path: pathlib.Path):
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)
        self._came = path.with_suffix(".came")
        self._expected = 0
        self.words = f"echo >>{self._came}; read -r gate <{path}"

    def close(self):
        os.close(self._fd)

    def wait_for_one(self):
        """Until one more has come to it."""
        self._expected += 1
        handoff.wait_for(lambda: self.came() >= self._expected, "a handler to come to its gate", 10)

    def came(self) -> int:
        return len(lines_of(self._came))

    def open(self):
        os.write(self._fd, b"\n")

    def is_open(self) -> bool:
        """Whether nobody has gone through since it was opened."""
        return bool(select.select([self._fd], [], [], 0)[0])


class HandlerCase(handoff.TestCase):
    """The processes of a test are known by a variable in their environment."""

    def setUp(self):
        self.addCleanup(self.kill_what_is_left)  # once everything else has ended
        super().setUp()
        self.others = set(os.listdir("/proc"))
        self.methods = self.directory / "methods"
        self.methods.mkdir()
        self.environment = {**os.environ, "HANDLERS_OF": str(self.directory)}

    def marked(self) -> dict[int, str]:
        """The command lines of all living processes of this test, the servers too."""
        mark = f"HANDLERS_OF={self.directory}\0".encode()
        found = {}
        for pid in filter(str.isdigit, set(os.listdir("/proc")) - self.others):
            with contextlib.suppress(OSError):
                if mark in pathlib.Path("/proc", pid, "environ").read_bytes():
                    words = pathlib.Path("/proc", pid, "cmdline").read_bytes()
                    found[int(pid)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def handlers_left(self) -> list[str]:
        names = ("rpc-worker", "rpc-master", "handoff-guard", "strace")
        return [words for words in self.marked().values()
                if os.path.basename(words.split(" ")[0]) not in names]

    def assert_nothing_left(self):
        try:
            handoff.wait_for(lambda: not self.handlers_left(), "what handlers left to end", 5)
        except AssertionError:
            self.fail(f"left over: {self.handlers_left()}")

    def kill_what_is_left(self):
        while left := self.marked():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def write(self, path: pathlib.Path, text: str, mode: int = 0o755):
        """Whole at once, so that it can replace what runs."""
        fresh = self.directory / "fresh"
        fresh.write_text(text)
        fresh.chmod(mode)
        fresh.rename(path)

    def script(self, name: str, text: str) -> str:
        """A command that runs these lines of Python."""
        self.write(self.directory / name, text)
        return f"exec {PYTHON} {self.directory / name}"

    def make_gate(self, name: str = "gate") -> Gate:
        gate = Gate(self.directory / name)
        self.addCleanup(gate.close)
        return gate

    def worker(self, *options: str) -> handoff.Server:
        words = ("--env", "HANDLERS_OF", *options)
        return self.start(handoff.worker(*words, env=self.environment))

    def all_kinds(self, bodies: dict[str, str], read: str = "read -r params; ") -> list[str]:
        """The options for each body as a command, as a coprocess and as a file, which are the
        methods command.NAME, coprocess.NAME and file.NAME."""
        words = ["-d", str(self.methods)]
        for name, body in bodies.items():
            words += ["-m", f"command.{name}={body}", "-k", f"coprocess.{name}={read}{body}"]
            self.write(self.methods / f"file.{name}", f"#!/bin/sh\n{body}\n")
        return words

    def call_all(self, client: handoff.Connection, name: str, params=None) -> dict[str, dict]:
        """The replies of the three by their kind, all called at a time."""
        for kind in KINDS:
            client.send(f"{kind}.{name}", params, id=kind)
        replies = [client.receive() for _ in KINDS]
        return {reply["id"]: reply for reply in replies}

    def assert_error(self, reply: dict, code: int, pattern: str = ""):
        self.assertEqual((reply["out"], reply["result"].get("code")), ("error", code), reply)
        self.assertRegex(reply["result"]["message"], pattern or ".")

    def assert_all_fail(self, client, name: str, code: int, pattern: str = "", params=None):
        replies = self.call_all(client, name, params)
        for kind in KINDS:
            with self.subTest(kind=kind, name=name):
                self.assert_error(replies[kind], code, pattern)
        return replies

    def assert_all_give(self, client, name: str, result, params=None):
        replies = self.call_all(client, name, params)
        for kind in KINDS:
            with self.subTest(kind=kind, name=name):
                self.assertEqual(replies[kind]["result"], result)


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


# Its memory goes first: for a while it is neither alive nor to be reaped.
SLOW_TO_DIE = """
import mmap, os, time
os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "999")
memory = mmap.mmap(-1, 96 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
time.sleep(999)
"""

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

    def test_a_result_does_not_wait_for_it(self):
        options = self.all_kinds({name: start + "echo 1" for name, start in self.LEAVES.items()})
        client = self.open(self.worker(*AMPLE, *options))
        for name in self.LEAVES:
            for kind in ("command", "file"):
                self.assertEqual(client.result(f"{kind}.{name}"), 1)
        self.assert_nothing_left()

    def test_an_error_does_not_wait_for_it(self):
        options = self.all_kinds({name: start + "exit 3" for name, start in self.LEAVES.items()})
        client = self.open(self.worker("--timeout", "2s", *options))
        for name in self.LEAVES:
            replies = self.assert_all_fail(client, name, FAILED, "exit status 3")
            for kind in KINDS:
                self.assertEqual(replies[kind]["result"].get("data"), {"status": 3, "stderr": ""})
        self.assert_nothing_left()
        self.assertEqual(client.result("ping", 1), 1)

    def test_it_does_not_pass_for_the_coprocess_that_has_ended(self):
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

    def test_a_coprocess_keeps_it_until_its_own_end(self):
        client = self.open(self.worker(
            *AMPLE, "-k", "keeps=setsid sleep 999 & while read -r line; do "
            'case $line in 0) exit 3;; esac; echo "$line"; done'))
        for number in (1, 2, 3):
            self.assertEqual(client.result("keeps", number), number)
        handoff.wait_for(lambda: self.handlers_left().count("sleep 999 ") == 1, "what it keeps")
        self.assert_error(client.call("keeps", 0), FAILED, "exit status 3")
        self.assert_nothing_left()

    def test_it_is_found_behind_a_parent_that_is_slow_to_die(self):
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

    def test_it_is_found_when_it_hops_from_process_to_process(self):
        self.assert_found(f"{self.script('hops', HOPS)} {self.directory}".removeprefix("exec "), 6)

    def test_it_is_found_when_it_executes_one_program_after_another(self):
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

    def test_nor_does_it_see_more_behind_a_master(self):
        words = [handoff.tool("rpc-worker"), "--env", "HANDLERS_OF", *AMPLE, *self.options]
        server = self.start(handoff.master(workers=1, command=words, env=self.environment))
        self.probe(server, r"^127\.0\.0\.1:\d+$")

    def test_nor_with_descriptors_that_the_worker_has_inherited(self):
        extra = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
        self.addCleanup(lambda: [os.close(number) for number in extra])
        words = ("--env", "HANDLERS_OF", "-l", str(self.directory / "socket"), *AMPLE)
        server = self.start(handoff.worker(*words, *self.options, pass_fds=extra,
                                           env=self.environment))
        self.probe(server, "^unix$")


class Coprocesses(HandlerCase):
    ECHO = 'while read -r line; do {} echo "$line"; done'

    def coprocess(self, command: str, *options: str) -> handoff.Server:
        return self.worker(*(options or AMPLE), "-k", f"x={command}")

    def test_one_that_ends_in_mid_request_is_an_error_and_the_next_call_gets_another(self):
        client = self.open(self.coprocess(self.ECHO.format(
            'case $line in 1) exit 1;; 2) kill -9 $$;; 3) printf 3; exit 0;; 4) exit;; esac;')))
        for number, data in ((1, {"status": 1}), (2, {"signal": 9}), (3, {"status": 0}),
                             (4, {"status": 0})):
            self.assertEqual(client.result("x", 7), 7)
            reply = client.call("x", number)
            self.assert_error(reply, FAILED, "^the coprocess ended: ")
            self.assertEqual(reply["result"]["data"], {**data, "stderr": ""})
        self.assertEqual(client.result("x", "fresh"), "fresh")
        self.assertEqual(len(self.handlers_left()), 1)

    def test_an_answer_after_the_deadline_is_nobodys(self):
        gate = self.make_gate()
        answer = f"{gate.words}; echo 666"
        client = self.open(self.coprocess(self.ECHO.format(
            f"case $line in 1) {answer};; 2) (setsid sh -c '{answer}' &); sleep 999;; "
            f"3) ({answer}) & continue;; esac;"), "--timeout", "600ms"))
        for number in (1, 2, 3):
            client.send("x", number)
            gate.wait_for_one()
            self.assert_error(client.receive(), TIMED_OUT)
            self.assert_nothing_left()
            for next_number in (4, 5):
                self.assertEqual(client.result("x", next_number), next_number)
        gate.open()
        self.assertEqual(client.result("x", 6), 6)
        self.assertTrue(gate.is_open())

    def test_answers_about_the_deadline_are_right_or_none(self):
        late = self.script("late", """
import json, sys, time
for line in sys.stdin:
    time.sleep(json.loads(line)[1])
    print(line, end="", flush=True)
""")
        server = self.coprocess(late, "--timeout", "80ms", "--pool", "4")
        outcomes = set()

        def client():
            with server.connect() as connection:
                for number in range(8):
                    params = [f"{threading.get_ident()} {number}", random.uniform(0.03, 0.09)]
                    reply = connection.call("x", params)
                    if reply["out"] == "error":
                        self.assert_error(reply, TIMED_OUT)
                    else:
                        self.assertEqual(reply["result"], params)
                    outcomes.add(reply["out"])

        in_threads([client] * 4)
        self.assertIn("error", outcomes)

    def test_two_lines_for_one_call_are_an_error(self):
        client = self.open(self.coprocess(self.ECHO.format(
            r"""case $line in 1) printf '1\n666\n'; continue;; 2) printf '2\n6'; continue;;
                3) printf '\n\n'; continue;; esac;""")))
        for _ in range(2):
            for number in (1, 2, 3):
                self.assert_error(client.call("x", number), FAILED, "more than one line")
                for next_number in (4, 5):
                    self.assertEqual(client.result("x", next_number), next_number)
            self.assert_error(client.call("x", 1), FAILED, "more than one line")

    def test_a_second_line_that_follows_at_once_spoils_the_first_call(self):
        server = self.coprocess(self.ECHO.format("echo 1;"))
        client = self.open(server)
        reply = client.call("x", 2)
        if reply["out"] != "error":  # a machine so busy that the second came much later
            self.assertEqual(reply["result"], 1)

    def test_a_line_between_two_calls_is_nobodys(self):
        gate, written = self.make_gate("gate"), self.make_gate("written")
        client = self.open(self.coprocess(self.ECHO.format(
            f"case $line in 1) echo 1; {gate.words}; echo 666; {written.words};; esac;")))
        for _ in range(3):
            self.assertEqual(client.result("x", 1), 1)
            gate.wait_for_one()
            gate.open()
            written.wait_for_one()
            self.assertEqual(client.result("x", 2), 2)

    def test_a_line_that_is_no_json_is_an_error_and_the_coprocess_is_replaced(self):
        client = self.open(self.coprocess(
            "echo started >&2; n=0; while read -r line; do n=$((n + 1)); "
            'case $line in 0) echo garbage;; 1) echo;; *) echo $n;; esac; done'))
        self.assertEqual([client.result("x", 5), client.result("x", 5)], [1, 2])
        for bad in (0, 1):
            self.assert_error(client.call("x", bad), FAILED, "the coprocess's line is not JSON")
            self.assertEqual([client.result("x", 5), client.result("x", 5)], [1, 2])

    def test_a_line_in_pieces_is_one_answer_and_a_part_is_none(self):
        gate = self.make_gate()
        client = self.open(self.coprocess(self.ECHO.format(
            f"""case $line in 1) for piece in '[' 12 '3, "' x '"'; do printf '%s' "$piece";
                {gate.words}; done; echo ']'; continue;; esac;""")))
        client.send("x", 1)
        for _ in range(5):
            gate.wait_for_one()
            gate.open()
        self.assertEqual(client.receive()["result"], [123, "x"])
        client = self.open(self.coprocess(self.ECHO.format(
            """case $line in 2) printf '"par'; sleep 999;; esac;"""), "--timeout", "400ms"))
        self.assert_error(client.call("x", 2), TIMED_OUT, "no whole line")
        self.assertEqual(client.result("x", 3), 3)
        self.assertEqual(len(self.handlers_left()), 2)

    def test_a_line_over_the_limit_is_an_error(self):
        line = "printf '\"'; head -c {} /dev/zero | tr '\\0' 7; echo '\"'"
        client = self.open(self.coprocess(self.ECHO.format(
            f"case $line in 1) {line.format(1900)}; continue;; 2) {line.format(1999)}; continue;; "
            f"3) {line.format(100000)}; continue;; esac;"), *AMPLE, "--max-frame", "2000"))
        for number in (2, 3):
            self.assertEqual(client.result("x", 1), "7" * 1900)
            self.assert_error(client.call("x", number), FAILED, "exceeds the limit of 2000 bytes")
        self.assertEqual(client.result("x", 4), 4)

    def test_one_that_has_ended_between_two_calls_is_replaced_without_a_word(self):
        client = self.open(self.coprocess("read -r line; echo $$"))
        pids = set()
        for _ in range(10):
            pid = client.result("x")
            pids.add(pid)
            handoff.wait_for(lambda: not handoff.alive(pid), "the coprocess to end")
        self.assertEqual(len(pids), 10)

    def test_one_that_was_killed_between_two_calls_is_replaced_without_a_word(self):
        client = self.open(self.coprocess(self.ECHO.format("line=$$;")))
        for _ in range(10):
            pid = client.result("x")
            self.assertEqual(client.result("x"), pid)
            os.kill(pid, signal.SIGKILL)
            handoff.wait_for(lambda: not handoff.alive(pid), "the coprocess to end")

    def test_one_that_buffers_its_output_is_told_of_stdbuf(self):
        server = self.worker("--timeout", "400ms", "-k", "buffers=grep .",
                             "-k", "flushes=stdbuf -oL grep .")
        client = self.open(server)
        self.assert_error(client.call("buffers", 1), TIMED_OUT, "`stdbuf -oL`")
        handoff.wait_for(lambda: client.call("flushes", 2).get("result") == 2, "its answer")
        self.assertEqual(client.result("flushes", 3), 3)

    def test_one_that_closes_its_output_and_lives_on_is_an_error(self):
        client = self.open(self.coprocess(self.ECHO.format(
            "case $line in 1) exec >&-; sleep 999;; 2) exec >&- 2>&- <&-; sleep 998;; esac;")))
        for number in (1, 2):
            self.assertEqual(client.result("x", 5), 5)
            self.assert_error(client.call("x", number), FAILED, "closed its output")
            self.assert_nothing_left()
        self.assertEqual(client.result("x", 5), 5)

    def test_one_that_closes_its_output_between_two_calls_is_replaced_without_a_word(self):
        gate, closed = self.make_gate("gate"), self.make_gate("closed")
        client = self.open(self.coprocess(
            f'read -r line; echo "$line"; {gate.words}; exec >&-; {closed.words}'))
        for number in range(3):
            self.assertEqual(client.result("x", number), number)
            gate.open()
            closed.wait_for_one()

    def test_one_that_ignores_its_stdin_is_ended_at_its_deadline(self):
        server = self.coprocess("sleep 999", "--timeout", "400ms")
        client, other = self.open(server), self.open(server)
        for params in (1, "x" * 900000):
            client.send("x", params)
            self.assertEqual(other.result("ping", 1), 1)
            self.assert_error(client.receive(), TIMED_OUT, "wrote nothing in time")
            self.assert_nothing_left()

    def test_one_that_reads_slowly_gets_all_and_may_answer_before(self):
        gate = self.make_gate()
        client = self.open(self.coprocess(
            f"{gate.words}; head -n 1 | wc -c; head -c 1 >&2; {gate.words}; echo 5; sleep 999"))
        # The second answer comes before its question was read, so the third has a fresh one.
        for params, result in (("y" * 900000, 900003), ("y" * 900000, 5), ([], 3)):
            client.send("x", params)
            gate.wait_for_one()
            gate.open()
            self.assertEqual(client.receive()["result"], result)

    def test_params_are_one_line_whatever_their_white_space(self):
        client = self.open(self.coprocess("cat"))
        for params, line in ((b'{\n "a b":\r\n\t[1 ,\n"\\n"]\n}', {"a b": [1, "\n"]}),
                             (b"\n\n1", 1), (b'"\\u000a \\r\\n"', "\n \r\n"), (b"[ ]", [])):
            client.send_body(b'{"in":"x","params":' + params + b"}")
            self.assertEqual(client.receive()["result"], line)
        client.send_body(b'{"in":"x"}')
        self.assertEqual(client.receive()["result"], None)

    def test_a_carriage_return_before_the_newline_is_no_part_of_the_answer(self):
        client = self.open(self.coprocess(r"""while read -r line; do printf '"a"\r\n'; done"""))
        self.assertEqual([client.result("x"), client.result("x")], ["a", "a"])

    def test_three_of_a_pool_run_at_a_time_and_the_fourth_call_waits(self):
        gate, began = self.make_gate(), self.directory / "began"
        server = self.coprocess(self.ECHO.format(f'echo "$line $$" >>{began}; {gate.words};'),
                                *AMPLE, "--pool", "3")
        client = self.open(server)
        for number in range(4):
            client.send("x", number, id=number)
        handoff.wait_for(lambda: len(lines_of(began)) == 3, "three calls to begin")
        self.assertEqual(client.call("ping", id=9)["id"], 9)
        self.assertEqual(len(handoff.children(server.pid)), 3)
        self.assertEqual(len(lines_of(began)), 3)
        gate.open()
        replies = [client.receive()]
        handoff.wait_for(lambda: len(lines_of(began)) == 4, "the fourth call to begin")
        self.assertEqual(lines_of(began)[3].split()[0], "3")
        for _ in range(3):
            gate.open()
            replies.append(client.receive())
        self.assertEqual(sorted(reply["result"] for reply in replies), [0, 1, 2, 3])
        for reply in replies:
            self.assertEqual(reply["result"], reply["id"])
        self.assertEqual(len({line.split()[1] for line in lines_of(began)}), 3)

    def test_each_of_2000_calls_at_a_time_gets_the_reply_to_its_own_params(self):
        server = self.worker(*AMPLE, "-C", "2000", "-k", "x=exec cat", "--pool", "4")
        clients = [self.open(server) for _ in range(20)]
        for client_number, client in enumerate(clients):
            requests = [{"in": "x", "params": [client_number, number, "x" * number]}
                        for number in range(100)]
            if client_number % 2:
                requests = [{**request, "id": id} for id, request in enumerate(requests)]
            client.socket.sendall(b"".join(
                handoff.frame(json.dumps(request).encode()) for request in requests))
        for client_number, client in enumerate(clients):
            replies = [client.receive() for _ in range(100)]
            self.assertEqual({reply["out"] for reply in replies}, {"x"})
            if client_number % 2:
                replies.sort(key=lambda reply: reply["id"])
            self.assertEqual([reply["result"] for reply in replies],
                             [[client_number, number, "x" * number] for number in range(100)])
        self.assertEqual(len(self.handlers_left()), 4)

    def test_with_one_that_dies_at_random_each_reply_is_the_right_one_or_an_error(self):
        dies = self.script("dies", """
import os, random, sys
for line in sys.stdin.buffer:
    chance = random.random()
    if chance < 0.02: os._exit(1)
    if chance < 0.04: os.kill(os.getpid(), 9)
    if chance < 0.06: line = line[:-4]
    while line:
        line = line[os.write(1, line[:1 + int(chance * 100)]):]
    if chance < 0.10: os._exit(0)
""")
        server = self.coprocess(dies, *AMPLE, "--pool", "4")
        outcomes = []
        done = threading.Event()

        def client():
            with server.connect() as connection:
                for number in range(handoff.count(1000, 25)):
                    params = f"{threading.get_ident()} {number} " + "y" * random.randrange(50)
                    reply = connection.call("x", params)
                    if reply["out"] == "error":
                        self.assert_error(reply, FAILED)
                    else:
                        self.assertEqual(reply["result"], params)
                    outcomes.append(reply["out"])

        def killer():
            enough = 0
            while not done.wait(0.002):
                if len(outcomes) >= enough:
                    enough = len(outcomes) + 20
                    for pid in handoff.children(server.pid)[:1]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            in_threads([client] * 16)
        finally:
            done.set()
            thread.join()
        self.assertEqual(set(outcomes), {"x", "error"})
        self.assertGreater(outcomes.count("x"), len(outcomes) / 3)
        self.assertEqual(self.open(server).result("ping", 1), 1)


class Directories(HandlerCase):
    BUILT_IN = ["echo", "info", "methods", "ping"]

    def reload(self, server: handoff.Server, pattern: str = "reloaded"):
        seen = len(server.lines)
        server.kill(signal.SIGHUP)
        return server.wait_for_line(pattern, after=seen)

    def shell(self, name: str, body: str):
        self.write(self.methods / name, f"#!/bin/sh\n{body}\n")

    def test_the_methods_are_the_executable_files(self):
        cat = shutil.which("cat")
        for name in ("script", "with space", "a;b", "caf\u00e9", "-x", "x" * 255):
            self.shell(name, "cat")
        (self.methods / "link").symlink_to(cat)
        shutil.copy(cat, self.methods / "copy")
        self.write(self.methods / "no shebang", "echo 1\n")
        names = sorted(name.name for name in self.methods.iterdir())
        # And these are none.
        for name in (".hidden", "*", "all.*"):
            self.shell(name, "cat")
        self.write(self.methods / "plain", "#!/bin/sh\ncat\n", mode=0o644)
        (self.methods / "sub").mkdir()
        self.shell("sub/inner", "cat")
        (self.methods / "dangling").symlink_to("nowhere")
        (self.methods / "loop").symlink_to("loop")
        (self.methods / "folder").symlink_to("sub")
        os.mkfifo(self.methods / "fifo", 0o777)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.methods / "socket"))
        (self.methods / "socket").chmod(0o777)
        client = self.open(self.worker(*AMPLE, "-d", str(self.methods)))
        self.assertEqual(sorted(client.result("methods")), sorted(names + self.BUILT_IN))
        for name in names:
            if name == "no shebang":
                self.assert_error(client.call(name), INTERNAL_ERROR, "Exec format error")
            else:
                self.assertEqual(client.result(name, [name]), [name])
        for path in self.methods.iterdir():
            if path.name not in names:
                self.assert_error(client.call(path.name), METHOD_NOT_FOUND)

    def test_a_name_that_is_no_utf8_harms_nobody(self):
        self.shell("good", "echo 1")
        with open(os.fsencode(self.methods) + b"/\xff\xfe", "w", opener=lambda path, flags: os.open(
                path, flags, 0o755)) as file:
            file.write("#!/bin/sh\necho 1\n")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        reply = client.call("methods")
        self.assertIsNotNone(reply, server.lines)
        self.assertIn("good", reply["result"])
        self.assertEqual(client.result("good"), 1)

    def test_a_method_reaches_the_files_beside_it(self):
        self.write(self.methods / "lib.sh", "value='\"of the library\"'\n", mode=0o644)
        self.shell("library", '. "${0%/*}/lib.sh"; echo "$value"')
        self.shell("helper", 'exec "${0%/*}/sub/inner"')
        self.shell("moves", 'cd "${0%/*}" && cat lib.sh | wc -l')
        (self.methods / "sub").mkdir()
        self.shell("sub/inner", "cat")
        client = self.open(self.worker(*AMPLE, "-d", os.path.relpath(self.methods)))
        self.assertEqual(client.result("library"), "of the library")
        self.assertEqual(client.result("helper", [5]), [5])
        self.assertEqual(client.result("moves"), 1)

    def test_what_is_named_goes_before_a_file_and_that_before_what_is_built_in(self):
        other = self.directory / "other"
        other.mkdir()
        for name in ("command", "coprocess", "twice", "ping", "info"):
            self.shell(name, "echo '\"file\"'")
        for name in ("twice", "second"):
            self.write(other / name, "#!/bin/sh\necho '\"second\"'\n")
        server = self.worker(*AMPLE, "-d", str(self.methods), "-d", str(other),
                             "-m", "command=echo '\"command\"'", "-m", "info=echo '\"command\"'",
                             "-k", "coprocess=while read -r line; do echo '\"coprocess\"'; done")
        client = self.open(server)
        for _ in range(2):
            results = {name: client.result(name, "params") for name in (
                "command", "coprocess", "twice", "second", "ping", "info", "echo")}
            self.assertEqual(results, {
                "command": "command", "coprocess": "coprocess", "twice": "file",
                "second": "second", "ping": "file", "info": "command", "echo": "params"})
            self.reload(server)

    def test_hup_lists_again_and_disturbs_no_call(self):
        gate = self.make_gate()
        cat = shutil.which("cat")
        (self.methods / "steady").symlink_to(cat)
        self.write(self.methods / "lib.sh", "value=5\n", mode=0o644)
        server = self.worker(*AMPLE, "-d", str(self.methods), "-m", "command=cat", "-k", "kept=cat")
        waiting, client = self.open(server), self.open(server)
        stop = threading.Event()
        served = []

        def load(name):
            with server.connect() as connection:
                number = 0
                while not stop.is_set():
                    number += 1
                    self.assertEqual(connection.result(name, [name, number]), [name, number])
                served.append(number)

        def change():
            try:
                for number in range(handoff.count(100, 4)):
                    self.assert_error(client.call("some"), METHOD_NOT_FOUND)
                    self.shell("some", f"echo {number}")
                    self.shell("gated", f'{gate.words}; . "${{0%/*}}/lib.sh"; echo $value')
                    self.reload(server)
                    self.assertIn("some", client.result("methods"))
                    self.assertEqual(client.result("some"), number)
                    waiting.send("gated")
                    gate.wait_for_one()
                    self.shell("some", f"echo {number + 1000}")
                    (self.methods / "gated").unlink()
                    self.reload(server)
                    self.assertEqual(client.result("some"), number + 1000)
                    self.assert_error(client.call("gated"), METHOD_NOT_FOUND)
                    (self.methods / "some").unlink()
                    self.reload(server)
                    gate.open()
                    self.assertEqual(waiting.receive()["result"], 5)
            finally:
                stop.set()

        in_threads([change, *(lambda name=name: load(name) for name in (
            "steady", "steady", "kept", "command", "ping"))])
        self.assertEqual(len(served), 5)

    def test_hup_closes_what_the_listing_before_had_open(self):
        self.shell("one", "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        self.assertEqual(client.result("ping", 1), 1)
        before = handoff.descriptor_count(server.pid)
        for _ in range(20):
            self.reload(server)
            self.assertEqual(client.result("one"), 1)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) == before,
                         f"{before} descriptors")

    def test_hup_follows_the_path_to_another_directory(self):
        self.shell("one", "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        self.methods.rename(self.directory / "before")
        self.assertEqual(client.result("one"), 1)
        self.methods.mkdir()
        self.shell("two", "echo 2")
        self.reload(server, "reloaded, 5 methods")
        self.assert_error(client.call("one"), METHOD_NOT_FOUND)
        self.assertEqual(client.result("two"), 2)

    def test_a_file_that_is_gone_without_hup_is_an_error_of_the_call(self):
        for name in ("gone", "folder", "plain", "bad"):
            self.shell(name, "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        for name in ("gone", "folder"):
            (self.methods / name).unlink()
        (self.methods / "folder").mkdir()
        (self.methods / "plain").chmod(0o644)
        self.write(self.methods / "bad", "#!/no/such/interpreter\n")
        for name in ("gone", "folder", "plain", "bad"):
            self.assert_error(client.call(name), INTERNAL_ERROR, f"cannot run {name}: ")
        self.assertEqual(client.result("ping", 1), 1)

    def test_a_directory_that_is_not_there_is_a_failure_at_the_start(self):
        plain = self.directory / "plain"
        plain.write_text("")
        for path, why in ((self.directory / "none", "No such file or directory"),
                          (plain, "Not a directory")):
            ended = subprocess.run(
                [handoff.tool("rpc-worker"), "-l", str(self.directory / "socket"), "-d", str(path)],
                capture_output=True, text=True, timeout=handoff.PATIENCE)
            self.assertEqual((ended.returncode, ended.stdout, ended.stderr),
                             (125, "", f"rpc-worker: cannot open {path}: {why}\n"))
        self.assertFalse((self.directory / "socket").exists())

    def test_a_directory_that_is_gone_at_hup_leaves_the_methods_as_they_were(self):
        self.shell("one", "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods), "-k", "kept=cat")
        client = self.open(server)
        self.assertEqual(client.result("kept", 1), 1)
        away = self.directory / "away"
        self.methods.rename(away)
        line = self.reload(server, "the methods stay")
        self.assertEqual(line, f"rpc-worker: cannot open {self.methods}: No such file or directory; "
                         "the methods stay as they were")
        self.assertEqual((client.result("one"), client.result("kept", 2)), (1, 2))
        self.assertIn("one", client.result("methods"))
        away.rename(self.methods)
        self.shell("two", "echo 2")
        self.reload(server)
        self.assertEqual(client.result("two"), 2)


class OneAtATime(HandlerCase):
    def setUp(self):
        super().setUp()
        self.gate, self.log = self.make_gate(), self.directory / "log"
        self.path = str(self.directory / "socket")

    def one(self, *options: str) -> handoff.Server:
        gated = f"echo begins >>{self.log}; {self.gate.words}; echo ends >>{self.log}; echo 1"
        noted = f"echo noted >>{self.log}; echo 2"
        return self.worker("-l", self.path, "-C", "1", *self.all_kinds(
            {"gated": gated, "noted": noted}), *options)

    def assert_left(self, server: handoff.Server, *clients: handoff.Connection):
        """What was sent stays in the sockets, also when the worker has looked."""
        def unread(client):
            return struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, b"\0" * 4))[0]
        handoff.wait_for(lambda: is_asleep(server.pid), "the worker to wait")
        self.assertTrue(all(map(unread, clients)))

    def has_reply(self, client: handoff.Connection) -> bool:
        return bool(select.select([client.socket], [], [], 0)[0])

    def test_a_second_call_waits_until_the_first_has_ended(self):
        server = self.one(*AMPLE)
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.log.unlink(missing_ok=True)
                first, *others = [self.open(server) for _ in range(5)]
                first.send(f"{kind}.gated")
                self.gate.wait_for_one()
                for other, name in zip(others, ("ping", *(f"{kind}.noted" for kind in KINDS))):
                    other.send(name, 2)
                    self.assert_left(server, other)
                first.send("ping", 3)
                self.assert_left(server, first)
                self.assertFalse(any(map(self.has_reply, (first, *others))))
                self.assertEqual(lines_of(self.log), ["begins"])
                self.gate.open()
                self.assertEqual([first.receive()["result"], first.receive()["result"]], [1, 3])
                self.assertEqual([other.receive()["result"] for other in others], [2, 2, 2, 2])
                self.assertEqual(lines_of(self.log), ["begins", "ends"] + ["noted"] * 3)

    def test_however_many_wait_none_is_told_that_the_worker_is_busy(self):
        server = self.one(*AMPLE)
        first, last, *clients = [self.open(server) for _ in range(10)]
        first.send("command.gated")
        self.gate.wait_for_one()
        for client in clients:
            client.socket.sendall(b"".join(handoff.frame(
                json.dumps({"in": "ping", "params": number}).encode()) for number in range(128)))
        self.assert_left(server, *clients)
        last.send("ping", 4)
        self.assert_left(server, last)
        self.assertFalse(any(map(self.has_reply, (last, *clients))))
        self.assertEqual(lines_of(self.log), ["begins"])
        self.gate.open()
        self.assertEqual(first.receive()["result"], 1)
        for client in clients:
            self.assertEqual([client.receive()["result"] for _ in range(128)], list(range(128)))
        self.assertEqual(last.receive()["result"], 4)
        self.assertEqual(lines_of(self.log), ["begins", "ends"])

    def test_the_time_of_a_call_begins_when_it_is_read(self):
        server = self.one("--timeout", "200ms")
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.log.unlink(missing_ok=True)
                client = self.open(server)
                client.socket.sendall(handoff.frame(json.dumps(
                    {"in": f"{kind}.gated"}).encode()) * 3)
                for _ in range(3):
                    self.assert_error(client.receive(), TIMED_OUT)
                self.assertEqual(lines_of(self.log), ["begins"] * 3)
                self.assert_nothing_left()
                self.assertEqual(client.result("ping", 1), 1)

    def test_a_call_of_a_batch_whose_deadline_passes_while_it_waits_is_not_run(self):
        server = self.one("--timeout", "400ms")
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.log.unlink(missing_ok=True)
                client = self.open(server)
                client.send_body(json.dumps(
                    [{"jsonrpc": "2.0", "method": f"{kind}.gated", "id": id_}
                     for id_ in range(20)]).encode())
                self.assertEqual([reply["error"]["code"] for reply in client.receive()],
                                 [TIMED_OUT] * 20)
                # The next in turn may just have begun when its own deadline came.
                self.assertLessEqual(len(lines_of(self.log)), 2)
                self.assert_nothing_left()
                self.assertEqual(client.result("ping", 1), 1)

    def test_with_a_coprocess_that_is_not_free_in_time_it_is_the_same(self):
        server = self.worker("--timeout", "400ms", "-k", f"x={self.gate.words}; echo 1")
        client = self.open(server)
        for number in range(5):
            client.send("x", id=number)
        for _ in range(5):
            self.assert_error(client.receive(), TIMED_OUT)
        self.assertEqual(client.result("ping", 1), 1)
        self.assert_nothing_left()


class Ends(HandlerCase):
    """Of the worker."""

    def call_and_wait(self, server: handoff.Server, sleeping: int) -> handoff.Connection:
        """Calls all kinds of `hang`, and waits until so many processes sleep."""
        client = self.open(server)
        for kind in KINDS:
            client.send(f"{kind}.hang", id=kind)

        def all_there():
            programs = [left.split(" ")[0] for left in self.handlers_left()]
            return programs.count("sleep") == sleeping

        handoff.wait_for(all_there, "the handlers to run")
        return client

    def test_a_worker_that_is_killed_leaves_no_handler(self):
        options = self.all_kinds({"hang": "exec sleep 999"})
        server = self.worker(*AMPLE, *options, "-k", "idle=cat", "-k", "deaf=read -r line; "
                             "echo 1; exec sleep 999")
        client = self.call_and_wait(server, len(KINDS))
        self.assertEqual((client.result("idle", 1), client.result("deaf")), (1, 1))
        server.kill(signal.SIGKILL)
        self.assert_nothing_left()

    def test_a_worker_that_is_told_to_end_leaves_nothing(self):
        options = self.all_kinds({"hang": "setsid sleep 999 & wait"})
        for busy, status in ((True, 124), (False, 0)):
            server = self.worker(*AMPLE, *options, "-k", "idle=setsid sleep 998 & cat")
            client = self.open(server)
            self.assertEqual(client.result("idle", 1), 1)
            if busy:
                self.call_and_wait(server, 1 + len(KINDS))
                server.kill(signal.SIGTERM)
                self.assertIsNone(client.receive())  # the drain has begun; stop() cuts it short
            self.assertEqual(server.stop(), status)
            self.assertEqual(self.handlers_left(), [])

    def master(self, body: str, more: tuple[str, ...] = ()) -> handoff.Server:
        words = [handoff.tool("rpc-worker"), "--env", "HANDLERS_OF", *AMPLE,
                 *self.all_kinds({"hang": body}), *more]
        return self.start(handoff.master(workers=1, command=words, env=self.environment))

    def kill_worker(self, server: handoff.Server):
        worker = server.worker_pids()[0]
        os.kill(worker, signal.SIGKILL)
        self.assert_nothing_left()
        handoff.wait_for(lambda: any(map(handoff.alive, server.worker_pids())), "another worker")
        self.assertEqual(self.open(server).result("ping", 1), 1)

    def test_under_a_master_neither_stays_what_handlers_have_started(self):
        body = "sleep 999 & setsid sleep 998 & (setsid sleep 997 &); wait"
        server = self.master(body, ("-k", "idle=setsid sleep 996 & cat"))
        for _ in range(3):
            client = self.open(server)
            self.assertEqual(client.result("idle", 1), 1)
            self.call_and_wait(server, 1 + 3 * len(KINDS))
            self.kill_worker(server)

    def test_under_a_master_not_even_behind_a_handler_that_is_slow_to_die(self):
        server = self.master(self.script("slow", SLOW_TO_DIE))
        for _ in range(2):
            self.call_and_wait(server, len(KINDS))
            self.kill_worker(server)


if __name__ == "__main__":
    handoff.run_tests()
