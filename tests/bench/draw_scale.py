# SPDX-License-Identifier: MIT
"""Draws what measure_scale.py has measured; drawing.py says how."""

import drawing

LINES = (("seconds", drawing.BLUE, "until it is over"),
         ("worst", drawing.ORANGE, "longest silence of a client"),
         ("cpu", drawing.GREEN, "CPU of the master"))


def draw(measured: dict, plt):
    figure, both = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
    for axes, action in zip(both, ("reload", "upgrade")):
        rows = measured[action]
        for key, colour, words in LINES:
            axes.plot([row["connections"] for row in rows], [row[key] for row in rows], "o-",
                      color=colour, label=words, markersize=4)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(action, fontsize=10)
        axes.set_xlabel("connections")
        drawing.strip(axes)
    both[0].set_ylabel("seconds")
    both[0].legend(fontsize=8, frameon=False)
    lost = sum(row["lost"] for action in ("reload", "upgrade") for row in measured[action])
    figure.suptitle(f"All workers are replaced under connections: {lost} lost", weight="bold")
    drawing.explain(figure, measured)


drawing.main(draw)
