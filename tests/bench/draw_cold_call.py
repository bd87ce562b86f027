# SPDX-License-Identifier: MIT
"""Draws what measure_cold_call.py has measured; drawing.py says how."""

import statistics

import drawing

COLOURS = {"rpc-call": drawing.ORANGE, "nc": drawing.GREY}


def draw(measured: dict, plt):
    times = {name: [value * 1e3 for value in values] for name, values in measured["times"].items()}
    figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
    drawing.stack_bars(axes, {
        name: [(statistics.median(values), COLOURS.get(name, drawing.LIGHT_GREY))]
        for name, values in times.items()}, "{:.2f}")
    for place, values in enumerate(times.values()):
        first, *_, last = statistics.quantiles(values, n=20)
        axes.hlines(place + 0.2, first, last, color="black", linewidth=1)
    axes.set_xlabel("ms")
    figure.suptitle("A whole process for one call", weight="bold")
    drawing.explain(figure, measured, "Medians, and lines from the 5th to the 95th percentile.")


drawing.main(draw)
