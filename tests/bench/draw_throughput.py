# SPDX-License-Identifier: MIT
"""Draws what measure_throughput.py has measured; drawing.py says how."""

import statistics

import drawing

# By how the name of a server begins; the rest is light grey.
COLOURS = {"raw": drawing.GREY, "rpc-": drawing.ORANGE, "--pa": drawing.BLUE}


def colour_of(server: str) -> str:
    return next((colour for start, colour in COLOURS.items() if server.startswith(start)),
                drawing.LIGHT_GREY)


def ratios_of(servers: dict, raw: str, key: str) -> dict[str, float]:
    return {name: statistics.median(mine[key] / its[key] for mine, its in zip(given, servers[raw]))
            for name, given in servers.items()}


def draw(measured: dict, plt):
    loads = measured["loads"]
    names = max(loads.values(), key=len)
    figure, all_axes = plt.subplots(1, len(loads), figsize=(13, 5.6), sharey=True,
                                    layout="constrained")
    for axes, (load, servers) in zip(all_axes, loads.items()):
        ratios = ratios_of(servers, measured["raw"], measured["key"])
        drawing.stack_bars(axes, {name: [(ratios[name], colour_of(name))]
                                  if name in ratios else [] for name in names}, "{:.2f}")
        rate = statistics.median(result[measured["key"]] for result in servers[measured["raw"]])
        axes.set_title(f"{load}\n(1 is {rate:,.0f})", fontsize=9)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(0, 1.25 * max(1.0, *ratios.values()))
    figure.suptitle(f"Requests per second of server CPU, as ratios to a {measured['raw']}",
                    weight="bold")
    note = "Medians of the rounds. nginx and Node return a constant over HTTP."
    drawing.explain(figure, measured, note)


drawing.main(draw)
