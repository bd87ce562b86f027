# SPDX-License-Identifier: MIT
"""README.md tells the truth: every command in it runs, in bash, zsh and fish, and prints what it
says that it prints.

The page is read as sections of fenced blocks, by what stands behind the first fence:

    sh      commands, one a line, that a reader pastes into a shell
    text    all that the block before it prints, standard error too; `unordered`: in any order
    python, js, go    a program, which is there as client.py, client.js, client.go
    console, ini      what can't be run here: it needs a service manager or installs something
    nothing           a picture

The blocks of a section are given to one shell on its standard input, one after the other, with a
terminal as its output, and what they print is compared. They are also pasted into an interactive
shell, where only the status of each command counts. CONTRIBUTING.md and SECURITY.md are treated in
the same way.
"""

import collections
import errno
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import tty
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PAGES = [handoff.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
README = PAGES[0]
PATH = f"{handoff.BIN}:/usr/local/bin:/usr/bin:/bin"

# How each shell is started without a configuration, and the status of its last command.
SHELLS = {"bash": (["bash", "--norc"], "$?"),
          "zsh": (["zsh", "-f"], "$?"),
          "fish": (["fish", "--no-config"], "$status")}
PROGRAMS = {"python": "client.py", "js": "client.js", "go": "client.go"}
KINDS = {"", "sh", "text", "console", "ini", *PROGRAMS}

# The blocks that no test runs, all of them, so that there is none by mistake.
NOT_RUN = {
    "README.md": [
        "make demo\nmake test\nmake install PREFIX=/usr/local\nmake uninstall PREFIX=/usr/local\n",
        "make deb\napt-get install ./build/packages/handoff_*.deb ./build/packages/libhandoff0_*.deb\n",
        "source <(rpc-call --completion bash)\n",
        "HANDOFF_ARGS=-l /run/handoff-words/s -c /run/handoff-words/c -- "
        "rpc-worker --methods /etc/handoff/words\n",
        "systemctl enable --now handoff@words\nsystemctl reload handoff@words\n"
        "systemctl kill --kill-whom=main -s USR2 handoff@words\n"],
    "CONTRIBUTING.md": [],
    "SECURITY.md": [],
}

# What differs from run to run.
VARYING = [(r"pid \d+", "pid N"), (r'"(pid|worker)":\d+', r'"\1":N'), (r"\d+(\.\d+)? ?ms", "T ms"),
           (r"(?m)^rtt (\S+) = .*", r"rtt \1 = T")]

Block = collections.namedtuple("Block", "line section kind unordered text")


def blocks_of(page: pathlib.Path) -> list[Block]:
    found = []
    section, info, begin, lines = "", None, 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if info is None:
                info, begin, lines = line[3:].split(), number + 1, []
            else:
                found.append(Block(begin, section, info[0] if info else "", "unordered" in info,
                                   "".join(each + "\n" for each in lines)))
                info = None
        elif info is not None:
            lines.append(line)
        elif line.startswith("#"):
            section = line.lstrip("# ")
    return found


def normal(text: str, unordered: bool) -> list[str]:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # jq's colours
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement, text)
    lines = [line.rstrip() for line in text.splitlines()]
    return sorted(lines) if unordered else lines


def session(leader: int) -> list[str]:
    """The processes of a session that run."""
    found = []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                words = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{directory.name}: {words.decode()}")
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def end_session(leader: int):
    for process in session(leader):
        try:
            os.kill(int(process.split(":")[0]), signal.SIGKILL)
        except ProcessLookupError:
            pass


def has_program(block: Block) -> bool:
    return shutil.which(block.text.split()[0], path=PATH) is not None


class Shell:
    """One shell that is given commands, in a directory, and all that it prints."""

    def __init__(self, test: unittest.TestCase, name: str, directory: str):
        self.test = test
        self.words, self.status = SHELLS[name]
        self.directory = directory
        self.environment = {"PATH": PATH, "HOME": directory}
        self.printed = ""
        self.closed = False  # no process has the terminal any more

    def run(self, blocks: list[Block]) -> list[tuple[str, list[int]]]:
        """What each block printed, and the status of each of its lines. A command that reads
        standard input takes the rest of the blocks away, as it would take the rest of a paste."""
        terminal, output = pty.openpty()
        tty.setraw(output)  # the kernel adds no carriage returns
        process = subprocess.Popen(self.words, cwd=self.directory, env=self.environment,
                                   stdin=subprocess.PIPE, stdout=output, stderr=output,
                                   start_new_session=True)
        os.close(output)
        self.test.addCleanup(os.close, terminal)
        self.test.addCleanup(end_session, process.pid)
        with process.stdin as stdin:
            for block in blocks:
                stdin.write(self.marked(block) + b"printf '\\035'\n")
        self.read_until(terminal, lambda: self.closed or process.poll() is not None)
        process.wait(handoff.PATIENCE)
        self.wait_for_the_rest(terminal, process.pid)
        return [(re.sub(r"\x1e\d+\n", "", piece), self.statuses(piece))
                for piece in self.printed.split("\x1d")[:-1]]

    def paste(self, blocks: list[Block]) -> list[int]:
        """The status of each line in an interactive shell on a terminal of its own."""
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                os.chdir(self.directory)
                os.execvpe(self.words[0], [*self.words, "-i"], {**self.environment, "TERM": "dumb"})
            finally:
                os._exit(127)
        self.test.addCleanup(os.close, terminal)
        self.test.addCleanup(os.waitpid, pid, 0)
        self.test.addCleanup(end_session, pid)
        wanted = 0
        for block in blocks:
            os.write(terminal, self.marked(block))
            wanted += len(block.text.splitlines())
            self.read_until(terminal, lambda: self.closed or
                            len(self.statuses(self.printed)) >= wanted)  # noqa: B023
        if not self.closed:
            # The first is refused if a server that was stopped has not quite gone yet.
            os.write(terminal, b"exit\nexit\n")
        self.wait_for_the_rest(terminal, pid)
        return self.statuses(self.printed)

    def marked(self, block: Block) -> bytes:
        mark = f"printf '\\036%s\\n' {self.status}\n"
        return "".join(f"{line}\n{mark}" for line in block.text.splitlines()).encode()

    @staticmethod
    def statuses(text: str) -> list[int]:
        return [int(status) for status in re.findall(r"\x1e(\d+)\r?\n", text)]

    def read_until(self, terminal: int, is_over):
        while not is_over():
            self.test.assertTrue(self.read(terminal, handoff.PATIENCE),
                                 f"nothing for {handoff.PATIENCE:.0f} s after:\n{self.printed}")

    def wait_for_the_rest(self, terminal: int, leader: int):
        def is_over():
            while not self.closed and self.read(terminal, 0):
                pass
            return not session(leader)
        handoff.wait_for(is_over, f"the end of {session(leader)}")

    def read(self, terminal: int, patience: float) -> bool:
        """Reads what is there, or sees that there will be no more. False: neither in that time."""
        if not select.select([terminal], [], [], patience)[0]:
            return False
        try:
            self.printed += os.read(terminal, 65536).decode(errors="replace")
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.closed = True
        return True


class Page(handoff.TestCase):
    maxDiff = None

    def check_output(self, shell: str, page: pathlib.Path, section: str):
        blocks, directory = self.prepare(page, section)
        run = [block for block in blocks if block.kind == "sh" and has_program(block)]
        printed = Shell(self, shell, directory).run(run)
        self.assertEqual(len(printed), len(run), printed)
        for block, (output, statuses) in zip(run, printed):
            place = f"{page.name}:{block.line}: {output}"
            self.assertEqual(statuses, [0] * len(block.text.splitlines()), place)
            text = next(iter(blocks[blocks.index(block) + 1:]), block)
            wanted, unordered = ("", False) if text.kind != "text" else (text.text, text.unordered)
            self.assertEqual(normal(output, unordered), normal(wanted, unordered), place)

    def check_paste(self, shell: str, page: pathlib.Path, section: str):
        blocks, directory = self.prepare(page, section)
        run = [block for block in blocks if block.kind == "sh" and has_program(block)]
        pasted = Shell(self, shell, directory)
        statuses = pasted.paste(run)
        lines = sum(len(block.text.splitlines()) for block in run)
        self.assertEqual(statuses, [0] * lines, pasted.printed)

    def prepare(self, page: pathlib.Path, section: str) -> tuple[list[Block], str]:
        """The blocks of a section, and a directory with its programs."""
        blocks = [block for block in blocks_of(page) if block.section == section]
        directory = tempfile.TemporaryDirectory(prefix="handoff-")
        self.addCleanup(directory.cleanup)
        for block in blocks:
            if block.kind in PROGRAMS:
                path = pathlib.Path(directory.name, PROGRAMS[block.kind])
                path.write_text(block.text, encoding="utf-8")
        return blocks, directory.name

    def for_all_sections(self, shell: str, check):
        if shutil.which(shell, path=PATH) is None:
            self.skipTest(f"no {shell}")
        for page in PAGES:
            sections = [block.section for block in blocks_of(page) if block.kind == "sh"]
            for section in dict.fromkeys(sections):
                with self.subTest(page=page.name, section=section):
                    check(shell, page, section)

    def test_every_command_prints_what_the_page_says_in_bash(self):
        self.for_all_sections("bash", self.check_output)

    def test_every_command_prints_what_the_page_says_in_zsh(self):
        self.for_all_sections("zsh", self.check_output)

    def test_every_command_prints_what_the_page_says_in_fish(self):
        self.for_all_sections("fish", self.check_output)

    def test_every_command_can_be_pasted_into_bash(self):
        self.for_all_sections("bash", self.check_paste)

    def test_every_command_can_be_pasted_into_zsh(self):
        self.for_all_sections("zsh", self.check_paste)

    def test_every_command_can_be_pasted_into_fish(self):
        self.for_all_sections("fish", self.check_paste)


class Clients(unittest.TestCase):
    """The tests above run the client programs; these say which of them they had to leave out."""

    def check(self, kind: str, program: str):
        self.assertEqual([block.section for block in blocks_of(README) if block.kind == kind],
                         ["From other languages"])
        if shutil.which(program, path=PATH) is None:
            self.skipTest(f"no {program}")

    def test_the_client_in_python_was_run(self):
        self.check("python", "python3")

    def test_the_client_in_javascript_was_run(self):
        self.check("js", "node")

    def test_the_client_in_go_was_run(self):
        self.check("go", "go")


class Troubleshooting(handoff.TestCase):
    """The messages in the table are those of the programs."""

    def messages(self) -> list[str]:
        page = README.read_text(encoding="utf-8").split("## Troubleshooting\n")[1].split("\n## ")[0]
        cells = re.findall(r"(?m)^\| (`.*?`) \| ", page)
        return [re.sub(r"pid \d+", "pid N", cell.strip("`").strip()) for cell in cells]

    def complain(self, *words: str, **popen) -> str:
        """What a command says that fails."""
        done = subprocess.run([handoff.tool(words[0]), *words[1:]], cwd=self.directory, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=handoff.PATIENCE, **popen)
        self.assertNotEqual(done.returncode, 0, words)
        return re.sub(r"pid \d+", "pid N", done.stderr)

    def answer_to(self, request: bytes) -> str:
        with handoff.Connection(str(self.directory / "s")) as client:
            client.socket.sendall(request)
            with client.socket.makefile() as answer:
                return answer.read()

    def launch(self, *command: str):
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "-l", "./s", "-c", "./c", "-n", "1", "--", *command,
            cwd=self.directory, ready=False))
        server.wait_for_line("ready, 1 worker")

    def test_the_message_to_another_user_is_there(self):
        self.launch(handoff.tool("rpc-worker"))
        another = {}
        if os.geteuid() == 0:
            self.directory.chmod(0o755)
            another = {"user": 65534}
        else:
            (self.directory / "s").chmod(0)  # what another user finds
        try:
            said = self.complain("rpc-call", "./s", "ping", **another)
        except PermissionError:
            self.skipTest("no way for another user to the programs")
        self.assertIn(said.rstrip(), self.messages())

    def test_each_message_is_one_that_a_program_writes(self):
        wanted = [message for message in self.messages() if "Permission" not in message]
        self.assertGreater(len(wanted), 8)
        said = self.complain("rpc-call", "./s", "ping")
        said += self.complain("rpc-master", "-l", "0.0.0.0:8080", "--", "rpc-worker")
        said += self.complain("rpc-master", "-l", "./other", "--", "rpc-wroker")
        said += self.complain("rpc-worker")
        worker = self.directory / "worker"
        worker.write_text(f"#!/bin/sh\nexec {handoff.tool('rpc-worker')} --timeout 200ms "
                          "-k 'up=tr a-z A-Z' -m 'now=date' -m 'crash=kill -9 $PPID'\n")
        worker.chmod(0o755)
        self.launch("./worker")
        said += self.complain("rpc-master", "-l", "./s", "--", "rpc-worker")
        said += self.complain("rpc-call", "./s", "up", '"x"')
        said += self.complain("rpc-call", "./s", "now")
        said += self.complain("rpc-call", "./s", "crash")
        said += self.complain("rpc-call", "./s", "echo", "x")
        said += self.answer_to(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        worker.write_text("#!/bin/sh\nexec rpc-wroker\n")
        said += self.complain("rpc-call", "./c", "reload")
        for message in wanted:
            with self.subTest(message):
                pattern = re.escape(message).replace("…", ".*")
                self.assertRegex(said, f"(?m)^{pattern}$")


class Form(unittest.TestCase):
    """What a reader can paste, whatever the shell."""

    def test_the_blocks_that_are_not_run_are_known(self):
        for page in PAGES:
            blocks = blocks_of(page)
            self.assertLessEqual({block.kind for block in blocks}, KINDS, page.name)
            self.assertEqual([block.text for block in blocks if block.kind in ("console", "ini")],
                             NOT_RUN[page.name])

    def test_commands_stand_in_fences_only(self):
        for page in PAGES:
            text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
            self.assertNotRegex(text, r"(?m)^(    |\t)\S", f"{page.name}: an indented block")

    def test_each_line_is_a_command_that_means_the_same_to_all_three_shells(self):
        for page in PAGES:
            for block in blocks_of(page):
                if block.kind != "sh":
                    continue
                for line in block.text.splitlines():
                    with self.subTest(page=page.name, line=line):
                        self.assertNotRegex(line, r"\$!|\$\(|`|^\w+=")
                        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
                        self.assertNotRegex(bare, r"""['"#*?!$()\[\]{}<~\\]""")

    def test_each_block_is_a_whole_script(self):
        check = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}
        missing = [shell for shell in check if shutil.which(shell, path=PATH) is None]
        for page in PAGES:
            for block in blocks_of(page):
                if block.kind != "sh":
                    continue
                for shell in check.keys() - set(missing):
                    with self.subTest(page=page.name, line=block.line, shell=shell):
                        done = subprocess.run(
                            check[shell], input=block.text, text=True, capture_output=True,
                            timeout=handoff.PATIENCE, env={"PATH": PATH, "HOME": "/nonexistent"},
                            check=False)
                        self.assertEqual((done.returncode, done.stderr), (0, ""))
        if missing:
            self.skipTest("no " + ", no ".join(missing))


if __name__ == "__main__":
    handoff.run_tests()
