# SPDX-License-Identifier: MIT
"""Draws what measure_system_calls.py has measured; drawing.py says how."""

import drawing

# The rest is grey.
KINDS = {"receive": (drawing.BLUE, ("recvfrom", "recvmsg")),
         "send": (drawing.ORANGE, ("sendto", "sendmsg")),
         "accept": (drawing.GREEN, ("accept4",)),
         "wait": (drawing.PINK, ("epoll_wait", "epoll_pwait2"))}


def parts_of(calls: dict[str, float]) -> list[tuple[float, str]]:
    known = [(sum(calls.get(name, 0) for name in names), colour)
             for colour, names in KINDS.values()]
    others = sum(share for name, share in calls.items()
                 if not any(name in names for _, names in KINDS.values()))
    return [*known, (others, drawing.LIGHT_GREY)]


def draw(measured: dict, plt):
    loads = measured["loads"]
    names = max(loads.values(), key=len)
    figure, all_axes = plt.subplots(1, len(loads), figsize=(13, 3.6), sharey=True,
                                    layout="constrained")
    for axes, (load, servers) in zip(all_axes, loads.items()):
        drawing.stack_bars(axes, {name: parts_of(servers[name]) if name in servers else []
                                  for name in names}, "{:.2f}")
        axes.set_title(load, fontsize=9)
    for words, (colour, _) in [*KINDS.items(), ("others", (drawing.LIGHT_GREY, ()))]:
        all_axes[0].barh(0, 0, color=colour, label=words)
    figure.legend(*all_axes[0].get_legend_handles_labels(), fontsize=8, frameon=False,
                  loc="upper right", ncols=5)
    figure.suptitle("System calls a request", weight="bold")
    drawing.explain(figure, measured, "Counted by strace. Scales differ.")


drawing.main(draw)
