# SPDX-License-Identifier: MIT
"""Draws what measure_latency.py has measured; drawing.py says how."""

import statistics

import drawing

QUANTILES = {"p50_us": drawing.BLUE, "p99_us": drawing.ORANGE}
PROGRAMS = {"load": drawing.GREY, "rpc-ping": drawing.ORANGE}


def draw_half_load(axes, pairs: dict):
    """For each server the raw epoll loop at the same rate, and it."""
    rows = [(who, results) for pair in pairs.values() for who, results in pair["results"].items()]
    for place, (_, results) in enumerate(rows):
        times = [statistics.median(result[key] for result in results) for key in QUANTILES]
        axes.hlines(place, *times, color=drawing.LIGHT_GREY, linewidth=2, zorder=0)
        for (key, colour), time in zip(QUANTILES.items(), times):
            axes.scatter(time, place, s=50, color=colour)
            name = "" if place else f"{key[:3]}: "
            axes.annotate(f"{name}{time:.0f}", (time, place), (0, 5), textcoords="offset points",
                          fontsize=8)
    drawing.name_rows(axes, [who for who, _ in rows])
    for place, pair in enumerate(pairs.values()):
        axes.annotate(f"{pair['rate']:,.0f}/s", (1, 2 * place + 0.5),
                      xycoords=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8)
        if place:
            axes.axhline(2 * place - 0.5, color="#EEEEEE")
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.set_xlabel("us, from when a request was due")
    axes.set_title("half of the greatest load, open loop", fontsize=10)


def draw_round_trip(axes, servers: dict):
    drawing.stack_bars(axes, {
        f"{name}\n{program}": [(statistics.median(result["p50_us"] for result in times[program]),
                                PROGRAMS[program])]
        for name, times in servers.items() for program in PROGRAMS}, "{:.1f}")
    axes.set_xlabel("us")
    axes.set_title("round trip, one request at a time", fontsize=10)


def draw(measured: dict, plt):
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    draw_half_load(left, measured["half_load"])
    draw_round_trip(right, measured["round_trip"])
    figure.suptitle(f"Times of replies, {measured['size']}-byte params", weight="bold")
    drawing.explain(figure, measured, "Medians of the rounds.")


drawing.main(draw)
