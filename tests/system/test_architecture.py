# SPDX-License-Identifier: MIT
"""What ARCHITECTURE.md names is there."""

import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

TEXT = (handoff.ROOT / "ARCHITECTURE.md").read_text()


class Architecture(unittest.TestCase):
    def test_each_file_that_it_names_exists(self):
        paths = re.findall(r"`([a-z]+/[a-z_./]*[a-z])`", TEXT)
        self.assertGreater(len(paths), 20)
        for path in paths:
            with self.subTest(path):
                self.assertTrue((handoff.ROOT / path).exists() or
                                (handoff.ROOT / "lib" / path).exists())

    def test_each_unit_test_that_it_names_exists(self):
        for name in re.findall(r"`([a-z_]+_test)`", TEXT):
            with self.subTest(name):
                self.assertTrue(list(handoff.ROOT.glob(f"tests/unit/*/{name}.cpp")))

    def test_each_class_and_function_that_it_names_is_in_the_library(self):
        names = re.findall(r"`([A-Z][A-Za-z]+(?:::[a-z_]+)?)`", TEXT)
        self.assertGreater(len(names), 20)
        for name in sorted(set(names)):
            with self.subTest(name):
                found = subprocess.run(["grep", "-rqw", name.split("::")[0], handoff.ROOT / "lib"])
                self.assertEqual(found.returncode, 0)
                if "::" in name:
                    member = name.split("::")[1]
                    found = subprocess.run(["grep", "-rqw", member, handoff.ROOT / "lib"])
                    self.assertEqual(found.returncode, 0)

    def test_the_page_has_all_folders_of_the_library_and_what_each_uses(self):
        folders = sorted(path.name for path in (handoff.ROOT / "lib").iterdir() if path.is_dir())
        self.assertEqual(sorted(re.findall(r"^\| `([a-z]+)` \|", TEXT, re.MULTILINE)), folders)


if __name__ == "__main__":
    handoff.run_tests()
