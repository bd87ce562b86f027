# SPDX-License-Identifier: MIT
"""The man pages tell the truth: their examples run, their options are those of the tools.

An example that can be run is a `.Bd -literal` block without -offset in the section EXAMPLES; the
source of the block is the shell text itself. A block with `-offset indent` is not run; behind the
words "This prints:" it is what the example before it prints.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

PAGES = sorted((handoff.ROOT / "man").glob("*.[1-9]"))
TOOLS = [page for page in PAGES if page.suffix == ".1"]


class Example:
    """A block that can be run, and what the page says that it prints."""

    def __init__(self, line: int, text: str):
        self.line = line
        self.text = text
        self.output = None


def section(page: pathlib.Path, name: str) -> list[tuple[int, str]]:
    """The numbered lines of a section."""
    lines = []
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith(".Sh "):
            inside = line == f".Sh {name}"
        elif inside:
            lines.append((number, line))
    return lines


def examples(page: pathlib.Path) -> list[Example]:
    found = []
    block = None  # the lines of the block that is open
    runs = prints = False
    for number, line in section(page, "EXAMPLES"):
        if line.startswith(".Bd "):
            runs = line == ".Bd -literal"
            block = []
        elif line == ".Ed":
            text = "".join(each + "\n" for each in block)
            if runs:
                found.append(Example(number - len(block), text))
            elif prints:
                found[-1].output = text
            block, prints = None, False
        elif block is not None:
            block.append(line)
        elif not line.startswith("."):
            prints = line == "This prints:"
    return found


def marked_processes(mark: str) -> list[str]:
    """The command lines of those processes that have the mark in their environment."""
    found = []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"\0{mark}\0".encode() not in b"\0" + (directory / "environ").read_bytes():
                continue
            if handoff.alive(int(directory.name)):
                words = (directory / "cmdline").read_bytes().split(b"\0")
                found.append(f"{directory.name}: " + b" ".join(words).decode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return found


def kill_marked(mark: str):
    for process in marked_processes(mark):
        try:
            os.kill(int(process.split(":")[0]), signal.SIGKILL)
        except ProcessLookupError:
            pass


def options_of_help(tool: str) -> set[str]:
    text = subprocess.run([handoff.tool(tool), "--help"], check=True, capture_output=True,
                          text=True, timeout=handoff.PATIENCE).stdout
    found = set()
    for line in text.splitlines():
        found.update(re.findall(r"(?:^ {2,6}|, )(-[\w-]+)(?=[, ]|$)", line[:28]))
    return found


def options_of_page(page: pathlib.Path) -> set[str]:
    """Those of the items `.It Fl x , Fl -long Ar value` in the DESCRIPTION."""
    found = set()
    for _, line in section(page, "DESCRIPTION"):
        if line.startswith(".It Fl "):
            found.update("-" + name for name in re.findall(r"\bFl (\S+)", line))
    return found


class Manuals(unittest.TestCase):
    def test_every_program_has_a_page(self):
        programs = {path.name for path in handoff.BIN.iterdir() if os.access(path, os.X_OK)}
        pages = {page.stem for page in TOOLS}
        self.assertEqual({name for name in programs if re.match(r"(rpc-|fd)", name)}, pages)

    def test_every_page_has_an_example_that_is_run(self):
        for page in PAGES:
            with self.subTest(page.name):
                self.assertTrue(examples(page))

    def test_an_example_reads_as_it_is_written(self):
        """To mdoc(7) a backslash is an escape, and a dot or quote at a line's start a request."""
        for page in PAGES:
            for example in examples(page):
                with self.subTest(f"{page.name}:{example.line}"):
                    self.assertNotRegex(example.text, r"\\|(?m:^[.'])")

    def test_every_example_runs_and_leaves_nothing_behind(self):
        for page in PAGES:
            for example in examples(page):
                with self.subTest(f"{page.name}:{example.line}"):
                    self.run_example(example)

    def run_example(self, example: Example):
        # Whatever the example starts inherits the mark.
        mark = f"HANDOFF_EXAMPLE={os.getpid()}-{id(example)}"
        name, value = mark.split("=")
        environment = {**os.environ, name: value,
                       "PATH": f"{handoff.BIN}:{os.environ['PATH']}"}
        with tempfile.TemporaryDirectory(prefix="handoff-") as directory:
            # Files and no pipes: a process that is left does not keep us waiting.
            with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
                shell = subprocess.Popen(["sh", "-e"], cwd=directory, env=environment, text=True,
                                         stdin=subprocess.PIPE, stdout=out, stderr=err)
                self.addCleanup(kill_marked, mark)
                try:
                    shell.communicate(example.text, timeout=handoff.PATIENCE)
                except subprocess.TimeoutExpired:
                    shell.kill()
                    shell.wait()
                    status = "no end"
                else:
                    status = shell.returncode
                out.seek(0)
                err.seek(0)
                printed, said = out.read(), err.read()
                if re.search(r"cannot take \S+: Operation not permitted", said):
                    self.skipTest("pidfd_getfd is not permitted here")
                self.assertEqual(status, 0, f"{example.text}\n{printed}\n{said}")
                handoff.wait_for(lambda: not marked_processes(mark),
                                 f"{marked_processes(mark)} to end")
                if example.output is not None:
                    self.assertEqual(printed, example.output)

    def test_each_reference_leads_somewhere(self):
        ours = {f"{page.stem} {page.suffix[1:]}" for page in PAGES}
        for page in PAGES:
            text = page.read_text()
            named = set(re.findall(r"^\.Xr ((?:rpc-|fd(?:send|recv)|handoff)\S* \d)", text, re.M))
            titles = set(re.findall(r"^\.S[hs] (.*)", text, re.M))
            sections = set(re.findall(r"^\.Sx (.*?)(?: [.,;:])?$", text, re.M))
            with self.subTest(page.name):
                self.assertLessEqual(named, ours)
                self.assertLessEqual(sections, titles)

    def test_the_overview_names_every_page(self):
        overview = (handoff.ROOT / "man" / "handoff.7").read_text()
        for page in PAGES:
            if page.stem != "handoff":
                self.assertIn(f".Xr {page.stem} {page.suffix[1:]}", overview)

    def test_the_options_of_each_page_are_those_of_the_tool(self):
        for page in TOOLS:
            with self.subTest(page.name):
                self.assertEqual(options_of_page(page), options_of_help(page.stem))

    def test_mandoc_finds_no_fault(self):
        for page in PAGES:
            with self.subTest(page.name):
                lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(page)],
                                      capture_output=True, text=True, timeout=handoff.PATIENCE)
                self.assertEqual((lint.returncode, lint.stdout), (0, ""))


if __name__ == "__main__":
    handoff.run_tests()
