# SPDX-License-Identifier: MIT
"""The servers that are measured beside each other: one core for all processes of a server, another
one for the load."""

import contextlib
import functools
import pathlib

import peers
from bench_support import LOAD_CORE, PASSES, SERVER_CORE, address_text, handoff, on_core, pass_words
from bench_support import processes_of, raw_echo, run_load

# Of a method that all of them have.
METHOD, SIZE = "ping", 64
RAW, ARTICLE = "raw epoll loop", "the article's server"


class Target:
    """A running server. Its processes are `pid` and all that it has started."""

    def __init__(self, pid: int, address: str, http: bool = False):
        self.pid, self.address = pid, address
        self._words = ("--http", address) if http else ("--size", str(SIZE), address, METHOD)

    def pids(self) -> list[int]:
        return processes_of(self.pid)

    def cpu_seconds(self) -> float:
        """What all their threads have used, up to the last tick."""
        threads = (thread for pid in self.pids()
                   for thread in pathlib.Path(f"/proc/{pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def load(self, *options: str, seconds: float = 1, errors: bool = False) -> dict:
        """What the program `load` says of it, with the CPU time of its processes."""
        return run_load("--servers", ",".join(map(str, self.pids())), "-t", str(seconds), *options,
                        *self._words, core=LOAD_CORE, errors=errors)


class Targets(contextlib.ExitStack):
    """Starts servers, and ends them all."""

    def raw(self, *options: str) -> Target:
        return self._start(functools.partial(raw_echo, *options))

    def worker(self, *options: str) -> Target:
        """rpc-worker alone, which accepts for itself."""
        return self._start(functools.partial(handoff.worker, *options))

    def master(self, what: str, *options: str) -> Target:
        """rpc-master with one rpc-worker; the options are the worker's."""
        return self._start(functools.partial(
            handoff.master, *pass_words(what), workers=1,
            command=[handoff.tool("rpc-worker"), *options]))

    def masters(self) -> dict[str, Target]:
        """One with each --pass that there is."""
        return {f"--pass {what}": self.master(what) for what in PASSES}

    def ours(self) -> dict[str, Target]:
        return {"rpc-worker alone": self.worker(), **self.masters()}

    def others(self) -> dict[str, Target]:
        """The peers that are installed; those of HTTP answer with as many bytes."""
        found = {name: self._start(functools.partial(start, workers=1, body="x" * SIZE), http=True)
                 for name, start in peers.HTTP_PEERS.items()}
        return {**found, ARTICLE: self._start(peers.article)}

    def _start(self, start, http: bool = False) -> Target:
        with on_core(SERVER_CORE):
            server = self.enter_context(start())
        return Target(server.pid, address_text(server), http)
