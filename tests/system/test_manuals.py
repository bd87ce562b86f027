# SPDX-License-Identifier: MIT
"""The man pages tell the truth: their examples run, their options are those of the tools, and what
the cookbook only shows is checked by the program that reads it.

An example is a `.Bd -literal` block without -offset, in any section; it is run, and the source of
the block is the shell text itself. A comment `needs:` before it names the programs and directories
without which it is skipped. A block with `-offset indent` is not run; after the words "This prints:"
it is what the example before it prints. An example that compiles a program uses the
installed library.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import installed  # noqa: E402

PAGES = sorted((handoff.ROOT / "man").glob("*.[1-9]"))
COOKBOOK = handoff.ROOT / "man" / "handoff-cookbook.7"
NEEDS = '.\\" needs: '
TOOLS = [page for page in PAGES if page.suffix == ".1"]


class Example:
    """A block that can be run, what it needs, and what the page says that it prints."""

    def __init__(self, line: int, text: str, needs: list[str]):
        self.line = line
        self.text = text
        self.needs = needs
        self.output = None

    def missing(self) -> list[str]:
        return [name for name in self.needs if not shutil.which(name) and not os.path.isdir(name)]


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


def blocks(page: pathlib.Path) -> tuple[list[Example], list[str]]:
    """The examples of a page, and its other literal blocks: those that are only shown."""
    run, shown = [], []
    block = None  # the lines of the block that is open
    runs = prints = False
    needs = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith(".Bd "):
            runs = line == ".Bd -literal"
            block = []
        elif line == ".Ed":
            text = "".join(each + "\n" for each in block)
            if runs:
                run.append(Example(number - len(block), text, needs))
                needs = []
            elif prints:
                # In what is shown a backslash is written as mdoc(7) has it.
                run[-1].output = text.replace("\\e", "\\")
            else:
                shown.append(text.replace("\\e", "\\"))
            block, prints = None, False
        elif block is not None:
            block.append(line)
        elif line.startswith(NEEDS):
            needs = line.removeprefix(NEEDS).split()
        elif not line.startswith("."):
            prints = line == "This prints:"
    return run, shown


def examples(page: pathlib.Path) -> list[Example]:
    return blocks(page)[0]


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
                if "c++ " in example.text:
                    continue
                with self.subTest(f"{page.name}:{example.line}"):
                    if example.missing():
                        self.skipTest(f"no {', '.join(example.missing())}")
                    self.run_example(example)

    @unittest.skipIf(handoff.SANITIZED, "the library was built by another compiler")
    @unittest.skipUnless(shutil.which("g++"), "no g++")
    @unittest.skipUnless(shutil.which("pkg-config"), "no pkg-config")
    def test_every_program_compiles_with_the_installed_library_and_runs(self):
        with tempfile.TemporaryDirectory(prefix="handoff-") as prefix:
            installed.install(prefix)
            self.addCleanup(installed.uninstall, prefix)
            libdir = next(pathlib.Path(prefix).rglob("libhandoff.so")).parent
            library = {"PKG_CONFIG_PATH": str(libdir / "pkgconfig"),
                       "LD_LIBRARY_PATH": str(libdir), "CXXFLAGS": ""}
            programs = [(page, example) for page in PAGES for example in examples(page)
                        if "c++ " in example.text]
            self.assertGreaterEqual(len(programs), 5)
            for page, example in programs:
                with self.subTest(f"{page.name}:{example.line}"):
                    if "<uv.h>" in example.text and not pathlib.Path("/usr/include/uv.h").exists():
                        self.skipTest("no libuv1-dev")
                    self.run_example(example, **library)

    def run_example(self, example: Example, **variables):
        # Whatever the example starts inherits the mark.
        mark = f"HANDOFF_EXAMPLE={os.getpid()}-{id(example)}"
        name, value = mark.split("=")
        environment = {**os.environ, **variables, name: value,
                       "PATH": f"{handoff.BIN}:{os.environ['PATH']}"}
        with tempfile.TemporaryDirectory(prefix="handoff-") as directory:
            # Files and no pipes: a process that is left does not keep us waiting.
            with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
                shell = subprocess.Popen(["sh", "-e"], cwd=directory, env=environment, text=True,
                                         stdin=subprocess.PIPE, stdout=out, stderr=err)
                self.addCleanup(kill_marked, mark)
                try:
                    shell.communicate(example.text, timeout=2 * handoff.PATIENCE)
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
            if page.name != "handoff.7":
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


class Cookbook(unittest.TestCase):
    """What the cookbook has beside its examples: files of other programs, which are only shown."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="handoff-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def shown(self, start: str) -> str:
        """The one block that begins so."""
        found = [text for text in blocks(COOKBOOK)[1] if text.startswith(start)]
        self.assertEqual(len(found), 1, start)
        return found[0]

    def run_program(self, *words, **options) -> subprocess.CompletedProcess:
        if not shutil.which(words[0]):
            self.skipTest(f"no {words[0]}")
        return subprocess.run(words, capture_output=True, text=True, timeout=handoff.PATIENCE,
                              **options)

    def test_each_recipe_has_a_block_to_run_or_to_copy(self):
        recipes = re.split(r"^\.S[sh] .*\n", COOKBOOK.read_text(), flags=re.M)
        titles = re.findall(r"^\.(S[sh]) (.*)", COOKBOOK.read_text(), re.M)
        self.assertGreaterEqual([kind for kind, _ in titles].count("Ss"), 24)
        for (kind, title), text in zip(titles, recipes[1:]):
            if kind == "Ss":
                with self.subTest(title):
                    self.assertRegex(text, r"(?m)^\.Bd -literal")

    def test_what_is_only_shown_is_what_the_other_tests_check(self):
        self.assertEqual([text.split()[0] for text in blocks(COOKBOOK)[1]],
                         ["Host", "*/5", "scrape_configs:", "groups:", "#", "#", "HEALTHCHECK"])

    def test_systemd_finds_no_fault_in_the_units(self):
        for kind in ("socket", "service"):
            name = f"words.{kind}"
            text = self.shown(f"# /etc/systemd/system/{name}\n")
            # The programs are not installed here.
            text = text.replace("/usr/bin/rpc-master", str(handoff.tool("rpc-master")))
            (self.directory / name).write_text(text)
        done = self.run_program("systemd-analyze", "verify", "--man=no",
                                self.directory / "words.service", self.directory / "words.socket")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_ssh_understands_the_entry_of_its_configuration(self):
        config = self.directory / "config"
        config.write_text(self.shown("Host "))
        done = self.run_program("ssh", "-F", config, "-G", "example.org")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("\nproxyusefdpass yes\n", done.stdout)
        self.assertIn("\nproxycommand fdsend --tcp-connect %h:%p -\n", done.stdout)

    def test_the_cron_job_prints_what_is_wrong_when_the_server_is_down(self):
        line = re.fullmatch(r"(?:[\d*/]+ ){5}(.*)\n", self.shown("*/5 "))
        # To cron a percent sign is the end of the line.
        self.assertNotIn("%", line[1])
        command = line[1].replace("/run/words/s", f"{self.directory}/s")
        self.assertNotEqual(command, line[1])
        done = self.run_program("sh", "-c", command,
                                env={"PATH": f"{handoff.BIN}:{os.environ['PATH']}"})
        self.assertRegex(done.stdout, "rpc-ping: cannot connect .*No such file or directory")

    def test_prometheus_scrapes_the_port_of_the_example(self):
        port = re.search(r'targets: \["localhost:(\d+)"\]', self.shown("scrape_configs:"))[1]
        servers = [example for example in examples(COOKBOOK)
                   if f'("127.0.0.1", {port})' in example.text]
        self.assertEqual(len(servers), 1)

    def test_prometheus_understands_its_configuration_and_the_rules(self):
        rules = self.directory / "rules.yml"
        rules.write_text(self.shown("groups:"))
        config = self.directory / "prometheus.yml"
        config.write_text(self.shown("scrape_configs:") + f"rule_files: ['{rules}']\n")
        done = self.run_program("promtool", "check", "config", config)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("SUCCESS: 2 rules found", done.stdout + done.stderr)

    def test_the_rules_use_metrics_that_there_are(self):
        used = set(re.findall(r"handoff_\w+", self.shown("groups:")))
        text = (handoff.ROOT / "lib/master/metrics.cpp").read_text()
        for name in used:
            self.assertIn(f'"{name.removesuffix("_bucket")}"', text)

    def test_the_health_check_is_that_of_the_dockerfile(self):
        dockerfile = handoff.ROOT / "tests" / "examples" / "Dockerfile"
        self.assertIn(self.shown("HEALTHCHECK "), dockerfile.read_text())


class SeveralMachines(unittest.TestCase):
    """What handoff(7) shows of other programs. HAProxy's configuration is run by test_machines."""

    def setUp(self):
        self.shown = blocks(handoff.ROOT / "man" / "handoff.7")[1]

    def one(self, start: str) -> str:
        found = [text for text in self.shown if text.startswith(start)]
        self.assertEqual(len(found), 1, start)
        return found[0]

    def test_the_configuration_of_haproxy_is_that_of_the_example(self):
        example = handoff.ROOT / "tests" / "examples" / "haproxy.cfg"
        self.assertEqual(self.one("# HAProxy "), example.read_text())

    def test_the_deployment_of_kubernetes_gives_the_server_the_time_that_it_needs(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("no python3-yaml")
        pod = yaml.safe_load(self.one("apiVersion:"))["spec"]["template"]["spec"]
        container, = pod["containers"]
        words = container["command"]

        def seconds(option: str) -> int:
            return int(words[words.index(option) + 1].removesuffix("s"))

        self.assertGreater(pod["terminationGracePeriodSeconds"],
                           seconds("--lame-duck") + seconds("--drain-timeout"))
        check = container["readinessProbe"]
        self.assertEqual(check["exec"]["command"][-1].rsplit(":")[1],
                         str(container["ports"][0]["containerPort"]))
        for command in (words, check["exec"]["command"]):
            options = {word for word in command[:(command + ["--"]).index("--")]
                       if re.match("-[^-]|--.", word)}
            self.assertLessEqual(options, options_of_help(command[0]))


if __name__ == "__main__":
    handoff.run_tests()
