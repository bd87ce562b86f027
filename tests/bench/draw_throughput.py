# SPDX-License-Identifier: MIT
"""Draws what measure_throughput.py has measured:

    /usr/bin/python3 tests/bench/draw_throughput.py BUILD/bench/throughput.json

writes throughput.svg and throughput.png beside it. Needs matplotlib (Debian: python3-matplotlib).
"""

import statistics

import drawing

COLOURS = {"raw": drawing.GREY, "rpc-": drawing.ORANGE, "--pa": drawing.BLUE}


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
        for place, name in enumerate(names):
            ratio = ratios.get(name)
            if ratio is None:
                continue
            axes.barh(place, ratio, height=0.7,
                      color=COLOURS.get(name[:4], drawing.LIGHT_GREY))
            axes.annotate(f"{ratio:.2f}", (ratio, place), (3, 0), textcoords="offset points",
                          va="center", fontsize=8,
                          bbox={"color": "white", "pad": 0.5})
        rate = statistics.median(result[measured["key"]] for result in servers[measured["raw"]])
        axes.set_title(f"{load}\n(1 is {rate:,.0f})", fontsize=9)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(0, 1.25 * max(1.0, *ratios.values()))
        drawing.strip(axes)
    all_axes[0].set_yticks(range(len(names)), names)
    all_axes[0].invert_yaxis()
    figure.suptitle("Requests per second of server CPU, as ratios to a raw epoll loop",
                    weight="bold")
    figure.supxlabel("\n".join(filter(None, ["Medians of the rounds. nginx and Node return a "
                                             "constant over HTTP.", measured["warning"]])),
                     fontsize=8)


drawing.main(draw)
