# SPDX-License-Identifier: MIT
"""What the pictures share. draw_SUBJECT.py draws what measure_SUBJECT.py has measured:

    /usr/bin/python3 tests/bench/draw_SUBJECT.py BUILD/bench/SUBJECT.json

writes SUBJECT.svg and SUBJECT.png beside it. Needs matplotlib for Debian's Python
(python3-matplotlib).
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Of Okabe and Ito: they differ for every eye, and in grey.
ORANGE, BLUE, GREEN, PINK = "#E69F00", "#0072B2", "#009E73", "#CC79A7"
GREY, LIGHT_GREY = "#555555", "#BBBBBB"


def strip(axes):
    axes.spines[["top", "right"]].set_visible(False)


def name_rows(axes, names):
    """The first is on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    strip(axes)


def stack_bars(axes, rows: dict[str, list[tuple[float, str]]], form: str):
    """A horizontal bar for each row, of lengths and their colours, with their sum at its end. What
    has no length, or less, is left out."""
    for place, parts in enumerate(rows.values()):
        end = 0.0
        for length, colour in parts:
            # A bar of no length would be where the axes end, whatever their margins.
            if length > 0:
                axes.barh(place, length, left=end, height=0.7, color=colour)
                end += length
        if parts:
            axes.annotate(form.format(end), (end, place), (3, 0), textcoords="offset points",
                          va="center", fontsize=8, bbox={"color": "white", "pad": 0.5})
    axes.margins(x=0.15)
    name_rows(axes, list(rows))


def explain(figure, measured: dict, note: str = ""):
    """Below the picture: how to read it, and what spoiled the numbers."""
    figure.supxlabel("\n".join(filter(None, [note, *measured["warnings"]])), fontsize=8)


def main(draw):
    """Draws the file that the command line names, as .svg and .png beside it."""
    if len(sys.argv) != 2:
        print(f"Usage: {pathlib.Path(sys.argv[0]).name} BUILD/bench/SUBJECT.json", file=sys.stderr)
        sys.exit(2)
    source = pathlib.Path(sys.argv[1])
    # Text stays text, and the same numbers give the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "handoff"})
    draw(json.loads(source.read_text()), plt)
    plt.savefig(source.with_suffix(".svg"), metadata={"Date": None})
    plt.savefig(source.with_suffix(".png"), dpi=150)
