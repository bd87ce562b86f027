# SPDX-License-Identifier: MIT
"""Draws what measure_idle_connections.py has measured; drawing.py says how."""

import drawing

COLOURS = (drawing.BLUE, drawing.ORANGE)


def draw(measured: dict, plt):
    servers = measured["servers"]
    figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
    drawing.stack_bars(axes, {name: list(zip(parts, COLOURS)) for name, parts in servers.items()},
                       "{:.0f}")
    for colour, words in zip(COLOURS, ("the process, or the master", "its workers")):
        axes.barh(0, 0, color=colour, label=words)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    axes.set_xlabel("bytes of process memory")
    figure.suptitle(f"An idle connection that was used once, of {measured['number']:,}",
                    weight="bold")
    drawing.explain(figure, measured)


drawing.main(draw)
