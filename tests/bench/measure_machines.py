# SPDX-License-Identifier: MIT
"""Three machines behind HAProxy, which are restarted one after the other: what do clients notice,
here and with servers of others in the same place? And what does HAProxy add to a round trip?

The machines are network namespaces, which needs root. 24 clients keep their session and 24 make one
for each call; each looks for the end of its session before it sends, and calls nothing twice. The
longest silence is that of one client. Peers that are not installed are left out.
"""

import contextlib
import json
import shutil
import signal
import statistics

from bench_support import handoff, in_turns
from machine_clients import Article, Http, MachineLoad
from machines import BALANCER, CONFIGURATION, FRONT, PORT, STATUS_PORT
from machines import Balancer, MachinesTest, why_not

ROUNDS = 3
PINGS = 3000
# A change of the configuration: without the header that tells the address of a client.
SEND_PROXY = ("    default-server send-proxy-v2\n", "")


class Machines(MachinesTest):
    def runTest(self):
        pass


@contextlib.contextmanager
def machines():
    case = Machines()
    case.setUp()
    try:
        yield case
    finally:
        case.doCleanups()


class Handoff:
    """What it takes to start a server at an address, and to have it end."""

    protocol, stop_signal = Article, signal.SIGTERM

    def __init__(self, lame_duck: str):
        self._lame_duck = lame_duck

    def words(self, _, address: str) -> list[str]:
        return [handoff.tool("rpc-master"), "-q", "-l", address, "--public", "-n", "2",
                "--lame-duck", self._lame_duck, "--proxy-from", BALANCER, "--status",
                f"{address.rsplit(':')[0]}:{STATUS_PORT}", "--", handoff.tool("rpc-worker"), "-q"]

    def configuration(self) -> str:
        return CONFIGURATION.read_text()


class Peer(Handoff):
    """A server of HTTP, which is checked at its own port and gets no header."""

    protocol = Http

    def __init__(self):
        pass

    def configuration(self) -> str:
        text = super().configuration()
        for ours, theirs in (("GET /ready", "GET /"), (f"port {STATUS_PORT} ", ""),
                             SEND_PROXY):
            assert ours in text
            text = text.replace(ours, theirs)
        return text


class Nginx(Peer):
    stop_signal = signal.SIGQUIT  # the graceful one

    def words(self, directory, address: str) -> list[str]:
        config = directory / "nginx.conf"
        paths = "".join(f"{kind}_temp_path {directory}/{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config.write_text(f"daemon off; pid {directory}/pid; error_log /dev/null;\n"
                          "worker_processes 2; events { worker_connections 4096; }\n"
                          "http { access_log off; keepalive_requests 100000000;\n"
                          f"keepalive_timeout 1h; {paths} server {{ listen {address};\n"
                          "location / { return 200 pong; } } }")
        return ["nginx", "-p", str(directory), "-c", str(config)]


class Gunicorn(Peer):
    def words(self, directory, address: str) -> list[str]:
        (directory / "pong.py").write_text(
            "def app(environment, start):\n"
            "    start('200 OK', [('Content-Length', '4')])\n"
            "    return [b'pong']\n")
        return ["gunicorn", "-k", "gthread", "--threads", "32", "-w", "2", "--keep-alive", "600",
                "--chdir", str(directory), "-b", address, "pong:app"]


def kinds() -> dict:
    found = {"handoff --lame-duck 2s": Handoff("2s"), "handoff without it": Handoff("0")}
    if shutil.which("nginx"):
        found["nginx"] = Nginx()
    if shutil.which("gunicorn"):
        found["gunicorn"] = Gunicorn()
    return found


def restart_all(kind: Handoff, rounds: int) -> MachineLoad:
    with machines() as case:
        def start(backend) -> handoff.Server:
            directory = case.directory / backend.name
            directory.mkdir(exist_ok=True)
            return case.start(backend.machine.start(
                *kind.words(directory, f"{backend.machine.address}:{PORT}"), ready=False))

        servers = {backend: start(backend) for backend in case.backends}
        case.balancer = Balancer(case, case.bridge, kind.configuration())
        case.wait_until_up()
        with MachineLoad(case.client, FRONT, protocol=kind.protocol) as load:
            for _ in range(rounds):
                for backend in case.backends:
                    load.go_on()
                    servers[backend].stop(kind.stop_signal)
                    servers[backend] = start(backend)
                    case.balancer.wait_until(backend.name, "UP")
            load.go_on()
        return load


def ping(case: Machines, address: str, *options: str) -> float:
    """The median round trip, in milliseconds."""
    done = case.client.run(handoff.tool("rpc-ping"), "-q", "-J", "-f", "-c", str(PINGS), *options,
                           address)
    return json.loads(done.stdout.splitlines()[-1])["rtt_ms"]["p50"]


def added_latency(*options: str) -> float:
    """How many times as long a round trip takes through HAProxy as past it."""
    with machines() as case:
        case.serve()
        addresses = {"past": f"{case.backends[0].machine.address}:{PORT}",
                     "through": f"{FRONT[0]}:{FRONT[1]}"}
        rtt = in_turns(5, {name: lambda address=address: ping(case, address, *options)
                           for name, address in addresses.items()})
        return statistics.median(through / past
                                 for through, past in zip(rtt["through"], rtt["past"]))


def measure():
    if reason := why_not():
        yield f"left out: {reason}", ""
        return
    for name, kind in kinds().items():
        load = restart_all(kind, ROUNDS)
        what = f"{3 * ROUNDS} restarts, {name}"
        yield f"{what}: calls", f"{load.calls}"
        yield f"{what}: failed", f"{sum(load.failures.values())}"
        yield f"{what}: sessions ended", f"{load.ended_sessions}"
        yield f"{what}: longest silence", f"{load.longest_silence * 1000:.0f} ms"
    for what, options in (("a call", ()), ("a connection and a call", ("--reconnect",))):
        yield f"{what}: time through HAProxy, of that past it", f"x {added_latency(*options):.2f}"
