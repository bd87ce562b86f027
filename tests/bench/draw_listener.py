# SPDX-License-Identifier: MIT
"""Draws what measure_listener.py has measured; drawing.py says how."""

import statistics

import drawing


def draw_bars(axes, results: list[list[int]], colour: str):
    """For each worker the median of the rounds, and a line for its range."""
    for place, rounds in enumerate(zip(*results)):
        middle = statistics.median(rounds)
        axes.bar(place, middle, width=0.7, color=colour)
        axes.vlines(place, min(rounds), max(rounds), color="black", linewidth=1)
        axes.annotate(f"{middle:.0f}", (place, middle), (4, 3), textcoords="offset points",
                      weight="bold")


def draw(measured: dict, plt):
    ways = measured["ways"]
    figure, all_axes = plt.subplots(1, len(ways), figsize=(3.2 * len(ways), 3.8), sharey=True,
                                    layout="constrained")
    workers = range(measured["workers"])
    for axes, (name, results) in zip(all_axes, ways.items()):
        draw_bars(axes, results, drawing.ORANGE if "listener" in name else drawing.BLUE)
        axes.axhline(measured["clients"] / measured["workers"], color="grey", linestyle=":")
        axes.set_title(name.replace(", ", "\n"), fontsize=10)
        axes.set_xticks(workers, ["most", *[""] * (len(workers) - 2), "least"])
        axes.set_ylim(0, 1.1 * measured["clients"])
        drawing.strip(axes)
    all_axes[0].set_ylabel("connections of each worker")
    figure.suptitle(f"{measured['clients']} clients come one after another and stay: "
                    f"who has them? {measured['workers']} workers", weight="bold")
    note = "Bars are medians of the rounds, lines from the least to the greatest. Dotted: even."
    drawing.explain(figure, measured, note)


drawing.main(draw)
