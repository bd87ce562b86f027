# SPDX-License-Identifier: MIT
"""The recording of the demo, and the script that records a program on a terminal."""

import pathlib
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / folder) for folder in ("support", "demo")]
import handoff  # noqa: E402
import moving_picture  # noqa: E402

RECORD = handoff.ROOT / "tests/demo/record"
RECORDING = handoff.ROOT / "tests/demo/demo.svg"
LIVE_VIEW = handoff.ROOT / "tests/demo/live.svg"
SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: str) -> list[list[str]]:
    """The texts of each strip."""
    root = xml.etree.ElementTree.fromstring(drawing)
    return [["".join(text.itertext()) for text in strip.iter(f"{SVG}text")]
            for strip in root.findall(f"{SVG}svg")]


def keyframes(drawing: str) -> list[list[tuple[float, int]]]:
    """Of each strip, the time in percent and the place of each text that it shows."""
    return [[(float(part), int(place) // moving_picture.STEP)
             for part, place in re.findall(r"([\d.]+)%\{transform:translateY\(-(\d+)px\)\}", frames)]
            for frames in re.findall(r"@keyframes r\d+\{(.*)\}", drawing)]


class Drawing(unittest.TestCase):
    def draw(self, *moments) -> str:
        return moving_picture.svg(list(moments), "a title")

    def test_each_text_is_drawn_once_and_shown_in_its_time(self):
        one, two = (("one", ""),), (("two", "b"),)
        drawing = self.draw((0, [one]), (2, [two]), (4, [one]))
        self.assertEqual(texts(drawing), [["one", "two"]])
        self.assertEqual(keyframes(drawing), [[(0, 0), (25, 1), (50, 0)]])

    def test_what_has_no_animation_shows_the_last_picture(self):
        one, two = (("one", ""),), (("two", ""),)
        self.assertIn(f'transform="translate(0 -{moving_picture.STEP})"',
                      self.draw((0, [one]), (1, [two])))

    def test_markup_in_a_text_is_text(self):
        self.assertEqual(texts(self.draw((0, [(("<b> & 'q'", "g"),)]))), [["<b> & 'q'"]])

    def test_of_the_pictures_of_an_interval_the_last_one_stays(self):
        self.assertEqual(moving_picture.thinned([(0.1, "a"), (0.4, "b"), (0.6, "c"), (1.9, "d")],
                                                0.5), [(0, "b"), (0.5, "c"), (1.5, "d")])


class Recording(handoff.TestCase):
    def record(self, program: str) -> subprocess.CompletedProcess:
        return subprocess.run([RECORD, self.directory / "out.svg", "/bin/sh", "-c", program],
                              capture_output=True, text=True, timeout=handoff.PATIENCE)

    def test_a_program_is_recorded_with_its_colours(self):
        done = self.record(r"printf '\033[32mgreen\033[0m plain\033[K\033[J'")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        drawing = (self.directory / "out.svg").read_text()
        self.assertEqual(texts(drawing), [["green plain"]])
        self.assertRegex(drawing, r'class="g">green<')

    def test_a_program_that_fails_makes_no_recording(self):
        done = self.record("echo broken; exit 3")
        self.assertEqual(done.returncode, 3)
        self.assertIn("broken", done.stderr)
        self.assertFalse((self.directory / "out.svg").exists())


class InTheTree(unittest.TestCase):
    def test_the_recordings_are_small_and_need_nothing_else(self):
        for recording in (RECORDING, LIVE_VIEW):
            with self.subTest(recording.name):
                drawing = recording.read_text(encoding="utf-8")
                self.assertLess(recording.stat().st_size, 300_000)
                self.assertNotRegex(drawing, r"<script|<image|@import|url\(|href")
                self.assertEqual(re.findall(r"https?://[^\"]*", drawing), ["http://www.w3.org/2000/svg"])
                self.assertIn("prefers-color-scheme:dark", drawing)

    def test_the_live_view_shows_a_worker_that_was_killed_and_a_reload(self):
        shown = [text for strip in texts(LIVE_VIEW.read_text(encoding="utf-8")) for text in strip]
        self.assertTrue(any(re.search(r"[1-9]\d* rescued, 0 lost", text) for text in shown))
        workers = {text.split()[1] for text in shown if re.match(r" +[1-4] +\d+ +ready", text)}
        self.assertGreaterEqual(len(workers), 9)

    def test_the_recording_shows_the_demo_to_its_end(self):
        shown = [text for strip in texts(RECORDING.read_text(encoding="utf-8")) for text in strip]
        for step in ("start", "connect", "kill", "queue", "reload", "upgrade", "hand over"):
            self.assertTrue(any(re.match(rf"✓ {step}\b", text) for text in shown), step)
        last = [text for text in shown if re.search(r"\d calls, 0 lost", text)]
        self.assertTrue(last)

    def test_readme_shows_both(self):
        readme = (handoff.ROOT / "README.md").read_text(encoding="utf-8")
        for recording in (RECORDING, LIVE_VIEW):
            self.assertIn(f"]({recording.relative_to(handoff.ROOT)})", readme)


if __name__ == "__main__":
    handoff.run_tests()
