# SPDX-License-Identifier: MIT
"""One grammar of messages: whatever goes wrong in whichever tool, it says one line on stderr that
names the tool, what could not be done, to what, and why."""

import os
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

# What may stand after "tool: ".
FORMS = "|".join((
    r"cannot [a-z].*: .+",  # cannot VERB OBJECT: why
    r".+ on \S+ failed( for line \d+)?: .+",  # an error reply
    r"no connection on \S+: timed out after \S+",
    r"seq=\d+ to \S+ (is lost|failed): .+",
    r"--[a-z-]+ .+",  # an option, by its long form
    r"(SOCKET|METHOD|params) .+: .+",  # a word of the command line, by its name
    r"\S+: (write|no port|the|an|a|fd:|exec:) ?.+",  # an address
    r"(no|more than one|unknown option|unexpected word|nothing to serve) ?.+",
    r"line \d+ of stdin: .+",
))

# Old habits: "listen, on X", "failed to listen", "Error: ...", and a full stop.
HABITS = re.compile(r", on |failed to |unable to|[Ee]rror:|errno|\.$")

# A label is too long for a name server to be asked.
UNKNOWN = "x" * 64 + ".invalid"


def is_sentence(tool: str, text: str) -> bool:
    return bool(re.fullmatch(rf"{tool}: (?:{FORMS})\n", text)) and not HABITS.search(text.rstrip("\n"))


class MessagesTest(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.file = self.directory / "file"
        self.file.write_text("no socket\n")
        os.symlink("file", self.directory / "link")
        (self.directory / "folder").mkdir()
        self.start(handoff.worker("-l", str(self.directory / "w"), "-m", "bad=exit 3", "-m",
                                  "slow=cat; sleep 600", cwd=self.directory))
        self.deaf = self.listen("./deaf", 0)
        self.silent = self.listen("./silent", 8)

    def listen(self, name: str, backlog: int) -> socket.socket:
        """A listener that never accepts."""
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.directory / name))
        listener.listen(backlog)
        return listener

    def assert_says_one_sentence(self, status: int, tool: str, *words: str, **popen):
        popen.setdefault("stdin", subprocess.DEVNULL)
        with self.subTest(command=" ".join((tool, *words))):
            done = subprocess.run([handoff.tool(tool), *words], cwd=self.directory, check=False,
                                  stdout=popen.pop("stdout", subprocess.PIPE),
                                  stderr=subprocess.PIPE, text=True, timeout=handoff.PATIENCE,
                                  **popen)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertTrue(is_sentence(tool, done.stderr), done.stderr)
            return done.stderr

    def assert_all_say_one_sentence(self, commands: str, **popen):
        """Of lines that begin with a status."""
        for line in filter(None, map(str.strip, commands.splitlines())):
            status, tool, *words = line.split()
            self.assert_says_one_sentence(int(status), tool, *words, **popen)

    def test_mistakes_in_options(self):
        for tool, rest in (("rpc-master", "-- true"), ("rpc-worker", "-l :0"), ("rpc-call", ":1 m"),
                           ("rpc-ping", ":1"), ("fdsend", "./s"), ("fdrecv", "./s")):
            self.assert_all_say_one_sentence(f"""
                2 {tool} --nosuch {rest}
                2 {tool} --timeout""")
        self.assert_all_say_one_sentence("""
            2 rpc-master -n many -- true
            2 rpc-master --pass foo -- true
            2 rpc-master --backoff 5 -- true
            2 rpc-master --backoff 9s:1s -- true
            2 rpc-master --join 5
            2 rpc-master --drain-timeout soon -- true
            2 rpc-master --max-memory 1 -- true
            2 rpc-master
            2 rpc-worker --timeout 5x -l :0
            2 rpc-worker -m x -l :0
            2 rpc-worker -m x= -l :0
            2 rpc-worker --forward a=b -l :0
            2 rpc-worker --wait -l :0
            2 rpc-worker -m ping=cat -m ping=cat -l :0
            2 rpc-worker -l :0 -- cat
            2 rpc-worker
            2 rpc-call --retry x :1 m
            2 rpc-call -t 5x :1 m
            2 rpc-call :1
            2 rpc-call
            2 rpc-call :1 m foo
            2 rpc-call :1 m {
            2 rpc-call :1 m a=1 a=2
            2 rpc-call --jsonrpc :1 m 5
            2 rpc-ping -c 0 :1
            2 rpc-ping -i x :1
            2 rpc-ping --fail-rtt 5 :1
            2 rpc-ping --reconnect -P 2 :1
            2 rpc-ping
            2 fdsend ./s x
            2 fdsend ./s 99
            2 fdsend -n a:b ./s
            2 fdsend -n a -n b ./s
            2 fdsend --tcp-listen 80 ./s
            2 fdsend
            2 fdrecv --mode 9 ./s
            2 fdrecv ./s ./t
            2 fdrecv""")

    def test_mistakes_in_addresses(self):
        for word in ("localhost", "8080", "http://localhost:8080/", "a/b", ":99999", "::1:80", "fd:x",
                     "[::1]", "exec:", "fd:77"):
            self.assert_says_one_sentence(2, "rpc-call", word, "m")
            self.assert_says_one_sentence(2, "rpc-ping", word)
        for word in ("5", "localhost:80", "http://h", ":80"):
            self.assert_says_one_sentence(2, "fdsend", word)
            self.assert_says_one_sentence(2, "fdrecv", word)
        for word in ("localhost", "8080", "http://localhost:8080/"):
            self.assert_says_one_sentence(2, "rpc-worker", "-l", word)
            self.assert_says_one_sentence(2, "rpc-master", "-l", word, "--", "true")

    def test_servers_that_are_not_there_or_do_not_answer(self):
        self.assert_all_say_one_sentence(f"""
            3 rpc-call ./none m
            3 rpc-call ./folder m
            3 rpc-call ./file m
            3 rpc-call ./none/s m
            3 rpc-call {UNKNOWN}:80 m
            4 rpc-call exec:exit m
            124 rpc-call -t 20ms ./silent m
            3 rpc-call -t 20ms --wait ./none m
            1 rpc-call ./w nosuch
            1 rpc-call ./w bad
            124 rpc-call -t 20ms ./w slow
            3 rpc-ping -c 1 ./none
            3 rpc-ping -c 1 {UNKNOWN}:80
            3 rpc-ping -x -q -w 20ms ./none
            3 fdsend ./none
            3 fdsend ./file
            124 fdsend --wait -t 20ms ./none
            124 fdsend -l -t 20ms ./s
            124 fdsend --ack -t 20ms ./silent
            125 fdsend -o ./none ./silent
            125 fdsend --pid 1:99 ./silent
            3 fdrecv -c ./none
            124 fdrecv -t 20ms ./s
            124 fdrecv -c --wait -t 20ms ./none
            124 fdrecv -c -t 20ms ./silent
            3 rpc-worker -j ./none
            3 rpc-worker -j ./folder""")

    def test_places_that_cannot_be_listened_on(self):
        for name in ("./w", "./file", "./link", "./folder", "./none/s", "./" + "x" * 105):
            status = 2 if len(name) > 100 else 125
            self.assert_says_one_sentence(status, "rpc-worker", "-l", name)
            self.assert_says_one_sentence(status, "rpc-master", "-l", name, "--", "cat")
            self.assert_says_one_sentence(status, "fdrecv", name)
            self.assert_says_one_sentence(status, "fdsend", "-l", name)
        for tool, words in (("rpc-worker", ()), ("rpc-master", ("--", "cat"))):
            for address in ("0.0.0.0:0", "exec:cat"):
                self.assert_says_one_sentence(2, tool, "-l", address, *words)
            self.assert_says_one_sentence(125, tool, "--public", "-l", "192.0.2.1:0", *words)
            self.assert_says_one_sentence(125, tool, "-l", "fd:77", *words)

    def test_commands_and_files_that_are_not_there(self):
        self.assert_all_say_one_sentence("""
            127 rpc-master -l ./m -- no-such-command
            126 rpc-master -l ./m -- ./file
            125 rpc-master -l ./m --pidfile ./none/p -- cat
            125 rpc-worker -l ./x -d ./none
            127 fdrecv ./s -- no-such-command
            126 fdrecv ./s -- ./file""")

    def test_output_and_input_that_fail(self):
        for tool, words in (("rpc-call", ("./w", "echo", "1")), ("rpc-ping", ("-c", "1", "./w")),
                            ("rpc-master", ("--help",)), ("rpc-worker", ("--version",)),
                            ("fdsend", ("--help",)), ("fdrecv", ("--help",))):
            with open("/dev/full", "wb") as full:
                text = self.assert_says_one_sentence(125, tool, *words, stdout=full)
            self.assertIn("cannot write to stdout: No space left on device", text)
        folder = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.assert_says_one_sentence(125, "rpc-call", "./w", "echo", "-", stdin=folder)
        with open(os.devnull, "wb") as null:
            self.assert_says_one_sentence(125, "rpc-call", "./w", "echo", "-", stdin=null)

    def test_a_line_that_is_no_json_is_named_by_its_number(self):
        with open(self.file, "rb") as lines:
            text = self.assert_says_one_sentence(1, "rpc-call", "./w", "echo", "-", stdin=lines)
        self.assertTrue(text.startswith("rpc-call: line 1 of stdin: not JSON: "), text)

    def test_a_listener_for_other_hosts_names_the_option_that_allows_it(self):
        self.assertEqual(self.assert_says_one_sentence(2, "rpc-worker", "-l", "0.0.0.0:0"),
                         "rpc-worker: cannot listen on 0.0.0.0:0: other hosts could connect "
                         "(--public allows it)\n")


class WaitingTest(handoff.TestCase):
    def test_with_v_each_tool_says_at_once_why_it_waits_and_then_that_it_goes_on(self):
        commands = (("rpc-call", "--wait", "./s", "m"), ("rpc-call", "--retry", "9999", "./s", "m"),
                    ("rpc-ping", "-x", "./s"), ("fdsend", "--wait", "./s"),
                    ("fdrecv", "-c", "--wait", "./s"), ("rpc-worker", "--wait", "-j", "./s"))
        tools = [self.start(handoff.Server(handoff.tool(tool), "-v", *words, ready=False,
                                           cwd=self.directory)) for tool, *words in commands]
        why = "cannot connect to ./s: No such file or directory (waiting)"
        for (tool, *_), waiting in zip(commands, tools):
            self.assertEqual(waiting.wait_for_line(re.escape(why)), f"{tool}: {why}")
            waiting.wait_for_line(re.escape(why), after=1)

    def test_with_v_a_tool_that_listens_says_that_nobody_connects(self):
        for words in (("fdrecv", "-v", "./r"), ("fdsend", "-v", "-l", "./s")):
            waiting = self.start(handoff.Server(handoff.tool(words[0]), *words[1:], ready=False,
                                                cwd=self.directory))
            waiting.wait_for_line(rf"^{words[0]}: no connection on \./. yet \(waiting\)$")


class GrammarTest(handoff.TestCase):
    """That the net above has no holes."""

    def test_old_habits_are_no_sentences(self):
        for text in ("rpc-call: call, on ./s: timed out\n", "rpc-call: failed to call ./s: no\n",
                     "rpc-call: cannot call ./s: no.\n", "cannot call ./s: no\n",
                     "rpc-call: cannot call ./s: no\nrpc-call: cannot call ./s: no\n",
                     "rpc-call: cannot call ./s: no", "rpc-call: broken\n", ""):
            self.assertFalse(is_sentence("rpc-call", text), text)


if __name__ == "__main__":
    handoff.run_tests()
