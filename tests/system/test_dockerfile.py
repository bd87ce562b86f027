# SPDX-License-Identifier: MIT
"""The instructions of tests/examples/Dockerfile, as far as they can be tried without docker: the
packages are looked up, the configuration, the installation, the command and the health check are
run here. No image is built."""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import installed  # noqa: E402
from installed import run  # noqa: E402

DOCKERFILE = handoff.ROOT / "tests/examples/Dockerfile"
# What the packages of the second stage depend on, or a Debian system has.
IMPLIED = {"libc6", "libgcc-s1", "libstdc++6"}


def stages() -> list[list[tuple[str, str]]]:
    """The instructions and their arguments, for each FROM."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    found: list[list[tuple[str, str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, arguments = line.split(maxsplit=1)
            if name == "FROM":
                found.append([])
            found[-1].append((name, arguments))
    return found


def only(stage, name: str) -> str:
    """The arguments of an instruction that is there once."""
    (arguments,) = [arguments for other, arguments in stage if other == name]
    return arguments


def packages(stage) -> set[str]:
    words = [shlex.split(command) for name, arguments in stage if name == "RUN"
             for command in arguments.split("&&")]
    (install,) = [line for line in words if line[:2] == ["apt-get", "install"]]
    return {word for word in install[2:] if not word.startswith("-")}


class Dockerfile(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.build, self.final = stages()

    def here(self, text: str) -> str:
        """Replaces places in the container by places on this machine."""
        for there, here in (("/run/handoff", self.directory), ("/src", handoff.ROOT),
                            ("/out", self.directory / "out")):
            text = re.sub(rf"{there}\b", str(here), text)
        return text

    def run_line(self, start: str, build):
        """Runs the one command that begins so."""
        (line,) = [arguments for name, arguments in self.build
                   if name == "RUN" and arguments.startswith(start)]
        run("sh", "-c", re.sub(r"(?<= )/build\b", f"'{build}'", self.here(line)))

    def test_every_instruction_is_one_of_docker_and_in_its_place(self):
        for stage in (self.build, self.final):
            self.assertLessEqual({name for name, _ in stage},
                                 {"FROM", "RUN", "COPY", "USER", "CMD", "HEALTHCHECK"})
        self.assertEqual(only(self.build, "FROM"), "debian:12-slim AS build")
        self.assertEqual(only(self.final, "FROM"), "debian:12-slim")
        self.assertEqual(only(self.build, "COPY"), ". /src")
        self.assertEqual(only(self.final, "COPY"), "--from=build /out /")
        # The user exists before it is used, and the command runs as that user.
        user = only(self.final, "USER")
        order = [name for name, _ in self.final]
        self.assertRegex(self.final[order.index("USER") - 2][1], rf"^useradd .* {user} ")
        self.assertLess(order.index("USER"), order.index("CMD"))

    def test_the_image_is_built_with_packages_that_the_makefile_names(self):
        words = set((handoff.ROOT / "Makefile").read_text().split())
        self.assertLessEqual(packages(self.build), words)

    def test_the_image_has_the_libraries_that_the_tools_need(self):
        if not shutil.which("dpkg"):
            self.skipTest("no dpkg")
        if handoff.SANITIZED:
            self.skipTest("a sanitizer has libraries of its own")
        owners = set()
        for library in re.findall(r"=> (/\S+)", run("ldd", handoff.tool("rpc-master")).stdout):
            # The package may know it in /lib or in /usr/lib.
            name = "/".join(pathlib.Path(library).parts[-2:])
            if not name.endswith("libhandoff.so.0"):
                found = run("dpkg", "-S", f"*/{name}").stdout
                owners |= set(re.findall(rf"^([^:\s]+)(?::\w+)?: .*/{re.escape(name)}$", found,
                                         re.MULTILINE))
        self.assertLessEqual(packages(self.final), owners)
        self.assertLessEqual(owners - packages(self.final), IMPLIED)

    def test_its_configuration_works(self):
        build = self.directory / "build"
        self.run_line("cmake -S", build)
        self.assertIn("CMAKE_INSTALL_PREFIX:PATH=/usr\n", (build / "CMakeCache.txt").read_text())

    def test_the_image_copies_what_it_installed(self):
        self.run_line("DESTDIR=/out cmake --install", installed.BUILD)
        prefix = run("cmake", "-N", "-LA", installed.BUILD).stdout
        prefix = re.search(r"CMAKE_INSTALL_PREFIX:PATH=(.*)", prefix).group(1)
        self.addCleanup(installed.uninstall, prefix, DESTDIR=str(self.directory / "out"))
        self.assertTrue((self.directory / "out" / prefix.lstrip("/") / "bin/rpc-master").exists())

    def test_its_command_serves_and_its_health_check_tells_whether_it_does(self):
        environment = installed.environment()
        environment["PATH"] = f"{handoff.BIN}:{environment['PATH']}"
        command = json.loads(self.here(only(self.final, "CMD")))
        options, check = self.here(only(self.final, "HEALTHCHECK")).split(" CMD ")
        for option in shlex.split(options):
            self.assertRegex(option, r"^--(interval|timeout|start-period)=\d+s$")

        def health() -> int:
            return subprocess.run(json.loads(check), env=environment, capture_output=True,
                                  check=False).returncode
        self.assertNotEqual(health(), 0)
        server = self.start(handoff.Server(*command, env=environment))
        self.assertEqual(health(), 0)
        self.assertEqual(self.open(server).result("upper", "hello"), "HELLO")
        self.assertEqual(server.stop(), 0)
        self.assertNotEqual(health(), 0)


if __name__ == "__main__":
    handoff.run_tests()
