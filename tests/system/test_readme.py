# SPDX-License-Identifier: MIT
"""README.md tells the truth: every command in it runs, in bash, zsh and fish, and prints what it says.

The page is read as sections of fenced blocks, by what stands behind the first fence:

    sh      commands, one a line, that a reader pastes into a shell
    text    all that the block before it prints, standard error too; `unordered`: in any order
    python, js, go    a program, which is there as client.py, client.js, client.go
    console, ini      what can't be run here: it needs a service manager or installs something
    nothing           a picture

The blocks of a section are given to one shell on its standard input, one after the other, with a
terminal as its output. CONTRIBUTING.md and SECURITY.md are treated alike.
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
    """One shell that is given commands as a paste is, and all that it prints."""

    def __init__(self, name: str, directory: str):
        self.words, self.status = SHELLS[name]
        self.directory = directory
        self.printed = ""
        self.closed = False  # no process has the terminal any more

    def run(self, test: unittest.TestCase, blocks: list[Block]) -> list[tuple[str, list[int]]]:
        """What each block printed, and the status of each of its lines."""
        terminal, output = pty.openpty()
        tty.setraw(output)  # the kernel adds no carriage returns
        process = subprocess.Popen(
            self.words, cwd=self.directory, stdin=subprocess.PIPE, stdout=output, stderr=output,
            env={"PATH": PATH, "HOME": self.directory}, start_new_session=True)
        os.close(output)
        test.addCleanup(os.close, terminal)
        test.addCleanup(end_session, process.pid)
        with process.stdin as stdin:
            for block in blocks:
                for line in block.text.splitlines():
                    mark = f"printf '\\036%s\\n' {self.status}"
                    stdin.write(f"{line}\n{mark}\n".encode())
                stdin.write(b"printf '\\035'\n")
        while not self.closed and process.poll() is None:
            test.assertTrue(self.read(terminal, handoff.PATIENCE),
                            f"nothing for {handoff.PATIENCE:.0f} s after:\n{self.printed}")
        process.wait(handoff.PATIENCE)

        def is_over():
            while not self.closed and self.read(terminal, 0):
                pass
            return not session(process.pid)
        handoff.wait_for(is_over, f"the end of {session(process.pid)}")
        pieces = self.printed.split("\x1d")[:-1]
        return [(re.sub(r"\x1e\d+\n", "", piece),
                 [int(status) for status in re.findall(r"\x1e(\d+)\n", piece)])
                for piece in pieces]

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

    def run_section(self, shell: str, page: pathlib.Path, section: str, left_out=()):
        blocks = [block for block in blocks_of(page) if block.section == section]
        with tempfile.TemporaryDirectory(prefix="handoff-") as directory:
            for block in blocks:
                if block.kind in PROGRAMS:
                    path = pathlib.Path(directory, PROGRAMS[block.kind])
                    path.write_text(block.text, encoding="utf-8")
            run, texts = [], []
            for block in blocks:
                if block.kind == "sh" and has_program(block) and block.text not in left_out:
                    run.append(block)
                    texts.append(None)
                elif block.kind == "text" and blocks[blocks.index(block) - 1] is run[-1]:
                    texts[-1] = block
            printed = Shell(shell, directory).run(self, run)
        self.assertEqual(len(printed), len(run), printed)
        for block, text, (output, statuses) in zip(run, texts, printed):
            place = f"{page.name}:{block.line}: {output}"
            self.assertEqual(statuses, [0] * len(block.text.splitlines()), place)
            unordered = text is not None and text.unordered
            self.assertEqual(normal(output, unordered),
                             normal(text.text if text else "", unordered), place)

    def run_all(self, shell: str):
        if shutil.which(shell, path=PATH) is None:
            self.skipTest(f"no {shell}")
        for page in PAGES:
            sections = [block.section for block in blocks_of(page) if block.kind == "sh"]
            for section in dict.fromkeys(sections):
                with self.subTest(page=page.name, section=section, shell=shell):
                    self.run_section(shell, page, section)

    def test_every_command_runs_in_bash(self):
        self.run_all("bash")

    def test_every_command_runs_in_zsh(self):
        self.run_all("zsh")

    def test_every_command_runs_in_fish(self):
        self.run_all("fish")


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
                          "-k 'up=tr a-z A-Z' -m 'now=date'\n")
        worker.chmod(0o755)
        self.launch("./worker")
        said += self.complain("rpc-master", "-l", "./s", "--", "rpc-worker")
        said += self.complain("rpc-call", "./s", "up", '"x"')
        said += self.complain("rpc-call", "./s", "now")
        said += self.complain("rpc-call", "./s", "echo", "x")
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
                        done = subprocess.run([*check[shell]], input=block.text, text=True,
                                              capture_output=True, timeout=handoff.PATIENCE,
                                              env={"PATH": PATH, "HOME": "/nonexistent"}, check=False)
                        self.assertEqual((done.returncode, done.stderr), (0, ""))
        if missing:
            self.skipTest("no " + ", no ".join(missing))


if __name__ == "__main__":
    handoff.run_tests()
