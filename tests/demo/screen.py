# SPDX-License-Identifier: MIT
"""The demo's output: a picture that is redrawn in place on a terminal, lines elsewhere."""

import enum
import os
import pathlib
import select
import textwrap

OUTPUT = 1


class Style(enum.Enum):
    """How a piece of text looks, as the parameters of ANSI's SGR sequence."""
    plain = ""
    bold = "1"
    faint = "2"
    good = "32"
    bad = "31"
    cyan = "36"


# A line of the picture: pieces of text, each in a style.
Line = list[tuple[str, Style]]


def speaks_utf8() -> bool:
    """Whether the locale's encoding is UTF-8. Where there is no locale, Python puts one of its own
    into the environment, so the environment that the process was started with counts."""
    try:
        words = pathlib.Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    given = dict(word.split(b"=", 1) for word in words if b"=" in word)
    locale = given.get(b"LC_ALL") or given.get(b"LC_CTYPE") or given.get(b"LANG") or b""
    return locale.lower().replace(b"-", b"").endswith(b"utf8")


class Screen:
    def __init__(self):
        self.is_live = os.isatty(OUTPUT) and os.environ.get("TERM", "dumb") not in ("", "dumb")
        self.utf8 = speaks_utf8()
        self._coloured = self.is_live and not os.environ.get("NO_COLOR")
        self._height = 0  # of the picture that the cursor is at the end of

    def size(self) -> tuple[int, int]:
        """Columns and rows. A terminal that does not know its size is taken for one of 80 by 24."""
        columns, rows = os.get_terminal_size(OUTPUT)
        return columns or 80, rows or 24

    def resized(self):
        """A terminal moves the lines of the picture when its width changes, so the picture begins
        again in an empty window."""
        if self._height:
            self._write("\x1b[H\x1b[2J")
            self._height = 0

    def draw(self, lines: list[Line], width: int):
        """Puts the picture into the place of the one before it. The window has `width` columns, and
        more rows than there are lines."""
        up = f"\x1b[{self._height - 1}A" if self._height > 1 else ""
        text = "\n".join("\r" + self._clipped(line, width - 1) + "\x1b[K" for line in lines)
        self._write("\x1b[?25l" + up + text + "\x1b[J")
        self._height = len(lines)

    def end_picture(self):
        """Leaves the picture where it is, and gives the cursor back below it."""
        if self._height:
            self._write("\n\x1b[?25h")
            self._height = 0

    def say(self, text: str = ""):
        """Writes a line, in several where the window is narrow. Nothing is kept in a buffer."""
        width = self.size()[0] - 1 if self.is_live else len(text) + 1
        self._write("\n".join(textwrap.wrap(text, max(1, width), subsequent_indent="  ")) + "\n")

    def _clipped(self, line: Line, width: int) -> str:
        written = ""
        for text, style in line:
            text = text[:max(0, width)]
            width -= len(text)
            coloured = self._coloured and text and style is not Style.plain
            written += f"\x1b[{style.value}m{text}\x1b[0m" if coloured else text
        return written

    def _write(self, text: str):
        data = text.encode("utf-8" if self.utf8 else "ascii", "replace")
        while data:
            # The descriptor may be non-blocking: it belongs to others too.
            select.select([], [OUTPUT], [])
            data = data[os.write(OUTPUT, data):]
