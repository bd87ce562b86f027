# SPDX-License-Identifier: MIT
"""tests/support/install-packages, with a program in place of apt-get that says how it was called."""

import os
import re
import shutil
import subprocess
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

INSTALL = handoff.ROOT / "tests" / "support" / "install-packages"
MAKEFILE = (handoff.ROOT / "Makefile").read_text()


class Packages(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.programs = self.directory / "bin"
        self.programs.mkdir()
        # What the script itself uses, and nothing else.
        for name in ("bash", "env", "id", "grep", "uname", "cat"):
            os.symlink(shutil.which(name), self.programs / name)

    def put(self, name: str, text: str):
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def put_apt_get(self, text: str):
        # The script looks in the system's folders too, after this one.
        self.put("apt-get", f'echo "$*" >>{self.directory}/calls\n{text}')
        self.put("sudo", 'exec "$@"')

    def calls(self) -> list[str]:
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def install(self, *packages: str):
        # The programs of the machine are out of reach.
        script = INSTALL.read_text().replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
        return subprocess.run(["/bin/bash", "-c", script, "install-packages", *packages],
                              capture_output=True, text=True, env={"PATH": str(self.programs)},
                              timeout=handoff.PATIENCE)

    def test_where_all_is_present_no_package_manager_is_needed(self):
        self.put("c++", "cat >/dev/null")
        self.put("jq", "")
        done = self.install("g++", "libfmt-dev", "jq")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_what_is_missing_is_said_before_it_is_installed(self):
        self.put_apt_get("")
        self.put("jq", "")
        done = self.install("jq", "g++", "libfmt-dev", "strace")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^Installing with apt-get( \(by sudo\))?: "
                                      r"g\+\+ strace libfmt-dev\n$")
        self.assertRegex(self.calls()[-1], r"install -y g\+\+ strace libfmt-dev$")

    def test_a_missing_header_is_found_by_asking_the_compiler(self):
        self.put("c++", 'while read -r line; do [[ $line != missing* ]] || echo "$line"; done')
        self.put_apt_get("")
        done = self.install("libfmt-dev", "doctest-dev")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(self.calls()[-1], r"libfmt-dev doctest-dev$")

    def test_another_distribution_is_told_what_is_missing(self):
        done = self.install("cmake", "strace")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr,
                         "install-packages: this is not Debian: please install what its packages "
                         "of these names contain: cmake strace\n")

    def test_a_package_source_that_does_not_answer_is_tried_three_times(self):
        self.put_apt_get("exit 100")
        done = self.install("strace")
        self.assertEqual(done.returncode, 69)
        self.assertEqual(len(self.calls()), 3)
        self.assertRegex(done.stderr, r"(?m)^install-packages: the package source does not answer, "
                                      r".*: strace$")

    def test_a_second_try_that_succeeds_is_enough(self):
        self.put_apt_get(f"[[ $(grep -c update {self.directory}/calls) != 1 ]]")
        self.assertEqual(self.install("strace").returncode, 0)

    def test_every_package_that_the_makefile_names_is_known(self):
        lists = re.findall(r"^\w+_PACKAGES = ((?:.*\\\n)*.*)$", MAKEFILE, re.M)
        self.assertGreaterEqual(len(lists), 6)
        names = sorted(set(re.findall(r"[\w+.-]+", " ".join(lists))))
        self.put("c++", "cat >/dev/null")
        self.put_apt_get("")
        done = self.install(*names)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    handoff.run_tests()
