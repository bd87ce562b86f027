# SPDX-License-Identifier: MIT
"""Draws what measure_concurrency.py has measured; drawing.py says how."""

import statistics

import drawing

COLOURS = (drawing.ORANGE, drawing.BLUE)
# What is drawn: the label, where it is in a result, its scale, and how it is written.
QUANTITIES = (("requests/s", "requests_per_second", 1, "{:,.0f}"),
              ("99th percentile, ms", "p99_us", 1e-3, "{:.1f}"))


def draw_bars(axes, values: dict[str, list[float]], form: str):
    """A bar for the median of each list, with its value above, and a line for its range."""
    for place, (given, colour) in enumerate(zip(values.values(), COLOURS)):
        middle = statistics.median(given)
        axes.bar(place, middle, width=0.6, color=colour)
        axes.vlines(place, min(given), max(given), color="black", linewidth=1)
        axes.annotate(form.format(middle), (place, middle), (4, 3), textcoords="offset points",
                      weight="bold")
    axes.set_xticks(range(len(values)), values)
    axes.set_ylim(0, 1.15 * max(map(max, values.values())))
    axes.margins(x=0.2)
    drawing.strip(axes)
    axes.yaxis.set_major_formatter("{x:,.0f}")


def draw(measured: dict, plt):
    handlers = measured["handlers"]
    figure, rows = plt.subplots(len(QUANTITIES), len(handlers), figsize=(8, 6.6),
                                layout="constrained")
    for row, (label, key, scale, form) in zip(rows, QUANTITIES):
        for axes, results in zip(row, handlers.values()):
            draw_bars(axes, {f"-C {number}": [result[key] * scale for result in rounds]
                             for number, rounds in results.items()}, form)
        row[0].set_ylabel(label)
    for axes, (words, results) in zip(rows[0], handlers.items()):
        one, many = (statistics.median(result["requests_per_second"] for result in rounds)
                     for rounds in results.values())
        times = many / one
        axes.set_title(f"handler {words}: × {times:.{0 if times >= 10 else 1}f}", fontsize=11)
    numbers = " or ".join(next(iter(handlers.values())))
    figure.suptitle(f"One worker process, {measured['clients']} clients, at most {numbers} calls "
                    "at a time (-C)", weight="bold")
    note = "Bars are medians of the rounds, lines from the least to the greatest. Scales differ."
    drawing.explain(figure, measured, note)


drawing.main(draw)
