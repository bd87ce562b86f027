# SPDX-License-Identifier: MIT
"""Draws what measure_models.py has measured; drawing.py says how."""

import drawing

COLOURS = (drawing.BLUE, drawing.ORANGE, drawing.PINK)
MARKERS = ("o", "s", "D")
# Where the number stands: beside its point, below, above; so three of them never meet.
PLACES = (((-7, 0), "right", "center"), ((0, -8), "center", "top"), ((0, 8), "center", "bottom"))


def draw_model(axes, place: int, result: dict, quantiles: dict):
    times = [result[key] / 1e3 for key in quantiles.values()]
    axes.hlines(place, times[0], times[-1], color=drawing.LIGHT_GREY, linewidth=2, zorder=0)
    for name, time, colour, marker, (offset, across, along) in zip(quantiles, times, COLOURS,
                                                                   MARKERS, PLACES):
        axes.scatter(time, place, s=50, color=colour, marker=marker)
        number = f"{time:.0f}" if time >= 10 else f"{time:.1f}"
        axes.annotate(number if place > 0 else f"{name}: {number}", (time, place), offset,
                      textcoords="offset points", ha=across, va=along, fontsize=8)


def share_failed(result: dict) -> str:
    share = result["errors"] / (result["errors"] + result["replies"])
    return f"{share:.0%} failed" if result["errors"] else ""


def draw(measured: dict, plt):
    clients = measured["clients"]
    quantiles = measured["quantiles"]
    models = list(next(iter(clients.values())))
    figure, all_axes = plt.subplots(1, len(clients), figsize=(11, 1.6 + 0.6 * len(models)),
                                    sharex=True, sharey=True, layout="constrained")
    for axes, (words, results) in zip(all_axes, clients.items()):
        for place, model in enumerate(models):
            draw_model(axes, place, results[model], quantiles)
            axes.annotate(share_failed(results[model]), (0, place), (4, 0),
                          xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                          va="center", fontsize=8)
        axes.set_title(words, fontsize=10)
        axes.set_xscale("log")
        axes.margins(x=0.17)
        axes.set_ylim(len(models) - 0.5, -0.8)
        axes.set_xlabel("ms")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(axis="x", color="#EEEEEE", zorder=-1)
        axes.set_axisbelow(True)
        drawing.strip(axes)
    all_axes[0].set_yticks(range(len(models)), models)
    figure.suptitle(f"Calls of {measured['calls']}, at {100 * measured['share']:.0f} % load "
                    f"({measured['rate']:.0f}/s) on {measured['workers']} workers (-C 1)",
                    weight="bold")
    drawing.explain(figure, measured)


drawing.main(draw)
