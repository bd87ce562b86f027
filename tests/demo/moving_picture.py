# SPDX-License-Identifier: MIT
"""A recording of a terminal as an SVG that moves by CSS alone.

Each row of the window is a strip of all texts that it ever shows, one below the other, of which a
hole as high as one row shows one. Keyframes move the strip from text to text. A program that knows
no CSS animations shows the last picture, and so does a browser that was asked for less motion.
"""

import html
import itertools

import terminal

# Sizes in the units of the drawing.
CHARACTER, ROW, MARGIN = 8.4, 18, 14
# From one text of a strip to the next: blocks can be higher than a row, and must not show above it.
STEP = 2 * ROW
PAUSE = 4.0  # seconds for which the last picture stays before the first one comes again

# The classes for the parameters of ANSI's SGR sequence that the demo writes.
CLASSES = {"1": "b", "2": "f", "31": "r", "32": "g", "36": "c"}

STYLE = """
text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre;fill:#1f2328}
.w{fill:#f6f8fa;stroke:#d0d7de}.b{font-weight:bold}.f{fill:#6e7781}.r{fill:#cf222e}.g{fill:#1a7f37}
.c{fill:#0969da}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.w{fill:#0d1117;stroke:#30363d}.f{fill:#8b949e}
.r{fill:#ff7b72}.g{fill:#3fb950}.c{fill:#58a6ff}}
@media(prefers-reduced-motion:reduce){g{animation:none!important}}
"""

# A row: pieces of text, each with the class of its style, or an empty one.
Row = tuple[tuple[str, str], ...]
Picture = list[Row]


class StyledWindow(terminal.Window):
    """A window that knows the style of each character."""

    def __init__(self, columns: int, rows: int):
        self._styles = [[""] * columns for _ in range(rows)]
        self._style = ""
        super().__init__(columns, rows)

    def picture(self) -> Picture:
        return [self._row_of(text, styles)
                for text, styles in zip(self.lines, self._styles, strict=True)]

    @staticmethod
    def _row_of(text: str, styles: list[str]) -> Row:
        pieces = itertools.groupby(zip(text, styles), key=lambda pair: pair[1])
        return tuple(("".join(character for character, _ in pairs), style)
                     for style, pairs in pieces)

    def _control(self, parameters: str, final: str):
        super()._control(parameters, final)
        if final == "m":
            self._style = CLASSES.get(parameters, "")

    def _character(self, character: str):
        super()._character(character)
        if character not in "\r\n":
            self._styles[self._row][self._column - 1] = self._style

    def _line_feed(self):
        if self._row + 1 == self.rows:
            self._styles = [*self._styles[1:], [""] * self.columns]
        super()._line_feed()


def thinned(moments: list[tuple[float, Picture]], interval: float) -> list[tuple[float, Picture]]:
    """The last picture of each interval, at the interval's beginning."""
    kept = {}
    for seconds, picture in moments:
        kept[seconds // interval * interval] = picture
    return list(kept.items())


def svg(moments: list[tuple[float, Picture]], title: str) -> str:
    """Draws the pictures, each from its time on, without the rows that are empty in all of them."""
    used = max((number + 1 for _, picture in moments for number, row in enumerate(picture) if row),
               default=1)
    columns = max(sum(len(text) for text, _ in row) for _, picture in moments for row in picture)
    duration = moments[-1][0] + PAUSE
    width, height = columns * CHARACTER + 2 * MARGIN, used * ROW + 2 * MARGIN
    keyframes, strips = [], []
    for number in range(used):
        rows = [(seconds / duration, picture[number]) for seconds, picture in moments]
        frames, strip = strip_of(number, rows, width)
        keyframes.append(frames)
        strips.append(strip)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'role="img"><title>{html.escape(title)}</title>\n'
            f'<style>{STYLE}g{{animation:{duration:g}s step-end infinite}}\n{"".join(keyframes)}'
            f'</style>\n<rect class="w" x=".5" y=".5" width="{width - 1:g}" '
            f'height="{height - 1:g}" rx="8"/>\n{"".join(strips)}</svg>\n')


def strip_of(number: int, rows: list[tuple[float, Row]], width: float) -> tuple[str, str]:
    """The keyframes and the strip of one row, from its texts and the part of the whole time at
    which each begins."""
    places: dict[Row, int] = {}
    frames = []
    for part, row in rows:
        place = places.setdefault(row, len(places))
        if not frames or frames[-1][1] != place:
            # The first picture is there from the beginning, whenever it was seen.
            frames.append((part if frames else 0, place))
    steps = "".join(f"{100 * part:.2f}%{{transform:translateY(-{place * STEP}px)}}"
                    for part, place in frames)
    texts = "".join(text_of(row, place) for row, place in places.items() if row)
    still = frames[-1][1] * STEP
    strip = (f'<svg x="{MARGIN}" y="{MARGIN + number * ROW}" width="{width - MARGIN:g}" '
             f'height="{ROW}"><g style="animation-name:r{number}" '
             f'transform="translate(0 -{still})">{texts}</g></svg>\n')
    return f"@keyframes r{number}{{{steps}}}\n", strip


def text_of(row: Row, place: int) -> str:
    """One text of a strip. Each piece has its place and its length, whatever the font."""
    pieces, column = [], 0
    for text, style in row:
        if text.strip():
            length = len(text) * CHARACTER
            kind = f' class="{style}"' if style else ""
            pieces.append(f'<tspan x="{column * CHARACTER:.4g}" textLength="{length:.4g}"{kind}>'
                          f"{html.escape(text, quote=False)}</tspan>")
        column += len(text)
    return f'<text y="{place * STEP + 13}">{"".join(pieces)}</text>'
