# SPDX-License-Identifier: MIT
"""Whether others used the machine before or while something was measured."""

import contextlib
import ctypes
import os
import pathlib
import resource

PR_SET_CHILD_SUBREAPER = 36


def load_warning(limit: float = 0.5) -> str:
    """Before anything runs; empty when the machine was idle."""
    load = os.getloadavg()[0]
    if load <= limit:
        return ""
    return (f"warning: a load average of {load:.2f} at the start: other programs run, or ran just "
            "before, and spoil the numbers")


class Disturbance:
    """From its beginning on: the time that the hypervisor has taken from us (steal), and the CPU
    time that neither we nor what we have started has used, as shares of one core."""

    MOST_STEAL = 0.01
    MOST_OTHERS = 0.05

    def __init__(self):
        # The workers of a master that was killed become our children, and are counted as such.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._begin = self._now()

    def warning(self) -> str:
        """Empty when there was none that matters."""
        elapsed, busy, stolen, own = (now - then for now, then in zip(self._now(), self._begin))
        steal, others = stolen / elapsed, (busy - own) / elapsed
        if steal <= self.MOST_STEAL and others <= self.MOST_OTHERS:
            return ""
        return (f"warning: meanwhile other programs used {max(0, others):.0%} of a core, and the "
                f"hypervisor took {steal:.0%}")

    @staticmethod
    def _now() -> tuple[float, ...]:
        """Seconds: of the clock, of all CPUs in use, stolen, and our own with that of children that
        have ended."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = (
            int(field) / os.sysconf("SC_CLK_TCK") for field in fields[:8])
        uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        own = sum(use.ru_utime + use.ru_stime for use in uses)
        uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
        return uptime, user + nice + system + irq + softirq, steal, own
