# SPDX-License-Identifier: MIT
"""What bash, zsh and fish complete with the scripts that the tools print by --completion.

In bash and zsh the tests type at a terminal: a line and the tab key, and then return. The command
of that line is a function of the shell by then, which prints the words that it got. fish is asked
for its candidates, and so is bash where there are several.
"""

import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import terminal  # noqa: E402

TOOLS = ["fdrecv", "fdsend", "rpc-call", "rpc-master", "rpc-ping", "rpc-worker"]


def script_of(tool: str, shell: str) -> str:
    return subprocess.run([handoff.tool(tool), "--completion", shell], check=True, text=True,
                          capture_output=True, timeout=handoff.PATIENCE).stdout


class PlainWindow(terminal.Window):
    """Of a line editor's control sequences only those are heeded that matter on one line."""

    def feed(self, text: str):
        text = re.sub(r"\x1b(\[[?0-9;]*[A-Za-z]|[=>])|\x07|\x1b\][^\x07]*\x07", "", text)
        for character in text:
            if character == "\b":
                self._column = max(0, self._column - 1)
            elif character.isprintable() or character in "\r\n":
                self._character(character)


class CompletionTestCase(handoff.TestCase):
    """A folder with a server, its socket, a file and a folder; the scripts of one shell."""

    shell = ""

    def setUp(self):
        super().setUp()
        if not shutil.which(self.shell):
            self.skipTest(f"no {self.shell}")
        self.folder = self.directory / "here"
        self.folder.mkdir()
        (self.folder / "server.text").write_text("")
        (self.folder / "run").write_text(f"#!/bin/sh\necho ran >>{self.directory}/ran\ncat\n")
        (self.folder / "run").chmod(0o755)
        (self.folder / "inner").mkdir()
        self.scripts = self.directory / "scripts"
        self.scripts.mkdir()
        for tool in TOOLS:
            (self.scripts / tool).write_text(script_of(tool, self.shell))
        self.environment = {"PATH": f"{handoff.BIN}:/usr/local/bin:/usr/bin:/bin", "TERM": "dumb",
                            "HOME": str(self.directory), "LC_ALL": "C.UTF-8", "PS1": "> "}

    def serve(self):
        """Starts a server at ./server.sock with the methods `words` and `two parts`."""
        self.start(handoff.worker("-l", str(self.folder / "server.sock"), "-m", "words=wc -w", "-m",
                                  "two parts=cat"))

    def listen(self, name: str = "server.sock"):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.relpath(self.folder / name))
        listener.listen()

    def nothing_ran(self):
        self.assertFalse((self.directory / "ran").exists())


class TypedTestCase(CompletionTestCase):
    """Tests in which a line is typed and completed."""

    start_words: list[str] = []
    start_text = ""

    def words_after(self, line: str, tool: str = "") -> list[str]:
        """The words that the command of the line gets when its end was completed."""
        tool = tool or line.split()[0]
        loads = "".join(f". {shlex.quote(str(self.scripts / name))}; " for name in TOOLS)
        prints = f"{tool}() {{ printf '<%s>' \"$@\"; echo ' end'; }}"
        with terminal.Terminal(self.start_words, 80, 24,
                               self.environment | {"PWD": str(self.folder)}) as screen:
            screen.window = PlainWindow(1000, 24)

            def shows(pattern: str):
                return re.search(pattern, "\n".join(screen.window.lines), re.MULTILINE)

            screen.type(f"cd {shlex.quote(str(self.folder))}; {self.start_text}{loads}{prints}; "
                        f"echo rea''dy\n")
            screen.read_until(lambda: shows(r"^ready"), handoff.PATIENCE)
            screen.type(f"{line}\t\n")
            screen.read_until(lambda: shows(r"^(<.*>)? end$"), handoff.PATIENCE)
            words = re.findall(r"<(.*?)>", shows(r"^(<.*>)? end$").group())
            screen.type("exit\n")
            screen.read_until(lambda: False)
        return words

    def test_an_option_is_completed(self):
        word, = self.words_after("rpc-call --retr")
        self.assertEqual(word.rstrip("="), "--retry")

    def test_a_word_of_a_choice_is_completed_after_a_blank_and_after_an_equals_sign(self):
        self.assertEqual(self.words_after("rpc-master -p li"), ["-p", "listener"])
        self.assertEqual(self.words_after("rpc-master --pass=li"), ["--pass=listener"])

    def test_sockets_are_completed_and_other_files_are_not(self):
        self.listen()
        self.assertEqual(self.words_after("rpc-call ./ser"), ["./server.sock"])
        self.assertEqual(self.words_after("rpc-worker -j ./ser"), ["-j", "./server.sock"])
        self.assertEqual(self.words_after("fdsend --ack ./ser"), ["--ack", "./server.sock"])

    def test_a_path_with_a_blank_is_quoted(self):
        self.listen("a socket")
        self.assertEqual(self.words_after("rpc-call ./a"), ["./a socket"])

    def test_files_are_completed_where_a_file_is_wanted(self):
        self.assertEqual(self.words_after("fdsend --open server.t"), ["--open", "server.text"])
        word = self.words_after("rpc-worker -d inn")[1]
        self.assertEqual(word.rstrip("/"), "inner")

    def test_methods_of_the_server_are_completed(self):
        self.serve()
        self.assertEqual(self.words_after("rpc-call ./server.sock wor"),
                         ["./server.sock", "words"])
        self.assertEqual(self.words_after("rpc-call -t 5s --raw ./server.sock two"),
                         ["-t", "5s", "--raw", "./server.sock", "two parts"])

    def test_methods_of_a_server_with_a_port_are_completed(self):
        server = self.start(handoff.worker("-m", "words=wc -w"))
        host, port = server.address
        self.assertEqual(self.words_after(f"rpc-call {host}:{port} wor"),
                         [f"{host}:{port}", "words"])

    def test_a_command_behind_dashes_is_completed(self):
        self.assertEqual(self.words_after("rpc-master -n 1 -- rpc-wor"),
                         ["-n", "1", "--", "rpc-worker"])

    def test_nothing_that_was_typed_is_run(self):
        for address in ("exec:./run", "'exec:./run'", "'$(./run)'", "'`./run`'"):
            with self.subTest(address):
                self.assertEqual(len(self.words_after(f"rpc-call {address} w")), 2)
                self.nothing_ran()


class Bash(TypedTestCase):
    shell = "bash"
    start_words = ["bash", "--norc", "--noprofile", "-i"]

    def candidates(self, line: str) -> set[str]:
        """What the function of the tool answers, for words that bash does not break."""
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        function = f"_handoff_complete_{words[0].replace('-', '_')}"
        text = (f". {shlex.quote(str(self.scripts / words[0]))}\n"
                f"COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}\n"
                f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}\n"
                f"{function}; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n")
        done = subprocess.run(["bash", "--norc", "-c", text], capture_output=True, text=True,
                              cwd=self.folder, env=self.environment, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return set(done.stdout.split("\n")) - {""}

    def test_the_scripts_are_without_fault(self):
        if not shutil.which("shellcheck"):
            self.skipTest("no shellcheck")
        for tool in TOOLS:
            # The variables of a function are those of the functions that it calls.
            done = subprocess.run(["shellcheck", "-s", "bash", "-e", "SC2034,SC2154",
                                   self.scripts / tool], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_all_options_of_the_help_are_candidates(self):
        for tool in TOOLS:
            said = subprocess.run([handoff.tool(tool), "--help"], check=True, text=True,
                                  capture_output=True, timeout=handoff.PATIENCE).stdout
            wanted = {name for line in said.splitlines()
                      for name in re.findall(r"(?:^ {2,6}|, )(-[\w-]+)(?=[, ]|$)", line[:28])}
            self.assertEqual(self.candidates(f"{tool} -"), wanted)

    def test_words_of_choices_are_candidates_and_those_of_free_text_are_not(self):
        self.assertEqual(self.candidates("rpc-master --pass "), {"connection", "listener", "queue"})
        self.assertEqual(self.candidates("rpc-call --completion "), {"bash", "zsh", "fish"})
        self.assertEqual(self.candidates("rpc-call --timeout "), set())

    def test_all_methods_are_candidates(self):
        self.serve()
        self.assertLessEqual({"echo", "words", r"two\ parts"},
                             self.candidates("rpc-call ./server.sock "))
        self.assertEqual(self.candidates("rpc-call ./server.sock words "), set())
        self.assertEqual(self.candidates("rpc-call ./nobody "), set())


class Zsh(TypedTestCase):
    shell = "zsh"
    start_words = ["zsh", "-f", "-i"]
    start_text = "autoload -U compinit; compinit -D -u; "


class Fish(CompletionTestCase):
    shell = "fish"

    def candidates(self, line: str) -> dict[str, str]:
        """The candidates, and what is said of each."""
        loads = "; ".join(f"source {shlex.quote(str(self.scripts / tool))}" for tool in TOOLS)
        done = subprocess.run(["fish", "--no-config", "-c", f"{loads}; complete -C $argv", line],
                              capture_output=True, text=True, cwd=self.folder,
                              env=self.environment, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = [each.partition("\t") for each in done.stdout.splitlines()]
        return {candidate: said for candidate, _, said in found}

    def test_an_option_is_completed_with_its_explanation(self):
        self.assertEqual(self.candidates("rpc-call --retr"), {
            "--retry": "Try up to N more times if the server is unreachable or did not run "
                       "the call"})

    def test_all_options_of_the_help_are_candidates(self):
        for tool in TOOLS:
            said = subprocess.run([handoff.tool(tool), "--help"], check=True, text=True,
                                  capture_output=True, timeout=handoff.PATIENCE).stdout
            wanted = set(re.findall(r"(?m)^  (?:-\w, |    )(--[\w-]+)", said))
            self.assertEqual({each.rstrip("=") for each in self.candidates(f"{tool} --")}, wanted)

    def test_words_of_choices_are_candidates(self):
        self.assertEqual(set(self.candidates("rpc-master -p ")),
                         {"connection", "listener", "queue"})
        self.assertEqual(set(self.candidates("rpc-master --pass=q")), {"--pass=queue"})

    def test_sockets_are_candidates_and_other_files_are_not(self):
        self.listen()
        self.assertEqual(set(self.candidates("rpc-call ./ser")), {"./server.sock"})
        self.assertEqual(set(self.candidates("rpc-call ./")), {"./server.sock", "./inner/"})
        self.assertEqual(set(self.candidates("rpc-worker -j ./ser")), {"./server.sock"})

    def test_files_are_candidates_where_a_file_is_wanted(self):
        self.assertEqual(set(self.candidates("fdsend --open server.t")), {"server.text"})
        self.assertEqual(set(self.candidates("rpc-worker -d ")), {"inner/"})

    def test_methods_of_the_server_are_candidates(self):
        self.serve()
        self.assertLessEqual({"echo", "words", "two parts"},
                             set(self.candidates("rpc-call ./server.sock ")))
        self.assertEqual(set(self.candidates("rpc-call -t 5s ./server.sock wor")), {"words"})
        self.assertEqual(set(self.candidates("rpc-call ./server.sock words ")), set())

    def test_a_command_behind_dashes_is_completed_with_its_options(self):
        self.assertIn("rpc-worker", self.candidates("rpc-master -n 1 -- rpc-wor"))
        self.assertIn("--credits", self.candidates("rpc-master -n 1 -- rpc-worker --cred"))

    def test_nothing_that_was_typed_is_run(self):
        for address in ("exec:./run", "'exec:./run'", "(./run)", "'(./run)'"):
            with self.subTest(address):
                self.assertEqual(set(self.candidates(f"rpc-call {address} w")), set())
                self.nothing_ran()


# They have no shell, and so no tests of their own.
del CompletionTestCase, TypedTestCase

if __name__ == "__main__":
    handoff.run_tests()
