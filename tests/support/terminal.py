# SPDX-License-Identifier: MIT
"""A terminal for tests: a pty with a program on it, and the text that a person would see there.

It understands the control sequences that the demo writes, and fails with any other.
"""

import codecs
import collections
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|[\r\n]|[^\x00-\x1f\x7f]")
PARTIAL = re.compile(r"(\x1b(\[[?0-9;]*)?)?\Z")
PICTURE_END = re.compile(r"(?<=\x1b\[J)")


class Window:
    """The visible part of a terminal."""

    def __init__(self, columns: int, rows: int):
        self.cursor_is_visible = True
        self.is_coloured = False  # or bold: a control sequence for that was written
        self.has_wrapped = False  # whether a line was too long
        self.frames = 0  # how often the cursor was moved up or home, to draw again
        self._set_size(columns, rows)
        self._is_stale = False

    def resize(self, columns: int, rows: int):
        """Terminals differ in what they do with the text then, so nothing is shown until the
        program has cleared the window."""
        self._set_size(columns, rows)
        self._is_stale = True

    def _set_size(self, columns: int, rows: int):
        self.columns, self.rows = columns, rows
        self._lines = [""] * rows
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._lines]

    def feed(self, text: str):
        """Shows what a program has written; `text` does not end within a control sequence."""
        position = 0
        while position < len(text):
            found = SEQUENCE.match(text, position)
            if not found:
                raise AssertionError(f"an unknown sequence: {text[position:position + 10]!r}")
            position = found.end()
            if found.group() == "\x1b[2J":
                self._is_stale = False
            if found.group(2):
                self._control(found.group(1), found.group(2))
            elif not self._is_stale:
                self._character(found.group())

    def _control(self, parameters: str, final: str):
        if (parameters, final) in (("?25", "l"), ("?25", "h")):
            self.cursor_is_visible = final == "h"
        elif final == "m":
            self.is_coloured = True
        elif final == "A":
            self._row = max(0, self._row - int(parameters or 1))
            self.frames += 1
        elif (parameters, final) == ("", "H"):
            self._row = self._column = 0
            self.frames += 1
        elif (parameters, final) == ("2", "J"):
            self._lines = [""] * self.rows
        elif (parameters, final) in (("", "K"), ("", "J")):
            self._lines[self._row] = self._lines[self._row][:self._column]
            if final == "J":
                self._lines[self._row + 1:] = [""] * (self.rows - self._row - 1)
        else:
            raise AssertionError(f"an unknown sequence: {parameters}{final}")

    def _character(self, character: str):
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._line_feed()
        else:
            if self._column == self.columns:
                self.has_wrapped = True
                self._column = 0
                self._line_feed()
            line = f"{self._lines[self._row]:{self._column}}"
            self._lines[self._row] = line[:self._column] + character + line[self._column + 1:]
            self._column += 1

    def _line_feed(self):
        if self._row + 1 < self.rows:
            self._row += 1
        else:
            self._lines = [*self._lines[1:], ""]


class Terminal:
    """Runs a program on a terminal of its own, as its controlling terminal: ^C and a new size reach
    the program as signals."""

    def __init__(self, words, columns: int, rows: int, environment: dict[str, str]):
        self.window = Window(columns, rows)
        self._unseen: collections.deque[str] = collections.deque()
        self._begun = ""  # a control sequence of which the end is still to come
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._master, slave = pty.openpty()
        self._set_size()
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                self.read_until(lambda: False)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self._master)

    def _set_size(self):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ,
                    struct.pack("HHHH", self.window.rows, self.window.columns, 0, 0))

    def resize(self, columns: int, rows: int):
        self.window.resize(columns, rows)
        self._set_size()

    def type(self, text: str):
        os.write(self._master, text.encode())

    def read_until(self, condition, patience: float = 120) -> bool:
        """Reads what the program writes until the condition holds. The condition is evaluated after
        each picture, which ends by erasing the rest of the window. Returns whether the condition
        holds: when the program has ended, it may not."""
        deadline = time.monotonic() + patience
        while not condition():
            if self._unseen:
                self.window.feed(self._unseen.popleft())
                continue
            if not select.select([self._master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("\n".join(["waited for the terminal:", *self.window.lines]))
            try:
                data = os.read(self._master, 65536)
            except OSError as problem:
                if problem.errno != errno.EIO:  # which says that all have closed it
                    raise
                data = b""
            if not data:
                return condition()
            text = self._begun + self._decoder.decode(data)
            self._begun = PARTIAL.search(text).group()
            self._unseen.extend(PICTURE_END.split(text.removesuffix(self._begun)))
        return True
