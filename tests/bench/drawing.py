# SPDX-License-Identifier: MIT
"""What the pictures share. Runs with Debian's Python: needs matplotlib (python3-matplotlib)."""

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


def main(draw):
    """Draws the file that the command line names, as .svg and .png beside it."""
    source = pathlib.Path(sys.argv[1])
    # Text stays text, and the same numbers give the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "handoff"})
    draw(json.loads(source.read_text()), plt)
    plt.savefig(source.with_suffix(".svg"), metadata={"Date": None})
    plt.savefig(source.with_suffix(".png"), dpi=150)
