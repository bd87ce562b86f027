# SPDX-License-Identifier: MIT
"""Several machines in one test: network namespaces that a bridge connects, with HAProxy in front of
three servers.

A namespace has no name: it is there as long as this process holds a descriptor of it, or a process
runs in it. Every process that a test starts in one is killed when this process ends, however that
happens, and another one removes the files. So a test leaves nothing behind, even if it is killed.
The addresses are those of the documentation (RFC 5737), which no real network uses, and there is no
way out of the bridge.
"""

import contextlib
import csv
import ctypes
import os
import shutil
import socket
import subprocess
import unittest

import handoff

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
CONFIGURATION = handoff.ROOT / "tests" / "examples" / "haproxy.cfg"

# As tests/examples/haproxy.cfg has them.
ADDRESSES = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
BALANCER, CLIENT, PORT, STATUS_PORT = "192.0.2.1", "192.0.2.101", 8080, 9090
# Those of the three servers, as one word for clients that need no balancer.
ALL = ",".join(f"{address}:{PORT}" for address in ADDRESSES)
# What clients call.
FRONT = (BALANCER, PORT)


def _check(outcome: int):
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _own_network() -> int:
    """A descriptor of the network namespace of this thread."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Network:
    """A network namespace of its own, whose only interface is `lo`."""

    def __init__(self):
        before = _own_network()
        try:
            _check(LIBC.unshare(CLONE_NEWNET))
            self.descriptor = _own_network()
            _check(LIBC.setns(before, CLONE_NEWNET))
        finally:
            os.close(before)
        self.ip("link", "set", "lo", "up")

    def enter(self):
        """This thread makes its sockets there from now on."""
        _check(LIBC.setns(self.descriptor, CLONE_NEWNET))

    @contextlib.contextmanager
    def inside(self):
        """Meanwhile this thread makes its sockets, and starts its processes, there."""
        before = _own_network()
        try:
            self.enter()
            yield
        finally:
            _check(LIBC.setns(before, CLONE_NEWNET))
            os.close(before)

    def connect(self, address, timeout: float = handoff.PATIENCE) -> handoff.Connection:
        with self.inside():
            return handoff.Connection(address, timeout)

    def start(self, *words: str, **server) -> handoff.Server:
        with self.inside():
            return handoff.Server("setpriv", "--pdeathsig", "KILL", *words, **server)

    def run(self, *words: str, **popen) -> subprocess.CompletedProcess:
        with self.inside():
            return subprocess.run(words, text=True, capture_output=True,
                                  **{"timeout": handoff.PATIENCE, **popen})

    def ip(self, *words: str, **popen):
        """Runs ip(8), which must succeed."""
        done = self.run("ip", *words, **popen)
        if done.returncode != 0:
            raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def close(self):
        os.close(self.descriptor)


class Machine(Network):
    """A network with one address, whose cable to the bridge can be pulled out."""

    def __init__(self, bridge: Network, address: str):
        super().__init__()
        self.address = address
        self._bridge = bridge
        self._cable = "to-" + address.rsplit(".", 1)[1]
        bridge.ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns",
                  f"/proc/self/fd/{self.descriptor}", pass_fds=[self.descriptor])
        bridge.ip("link", "set", self._cable, "master", "br0", "up")
        self.ip("address", "add", f"{address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")

    def pull_cable(self):
        self._bridge.ip("link", "set", self._cable, "down")

    def plug_cable(self):
        self._bridge.ip("link", "set", self._cable, "up")

    def drop(self, rule: str = ""):
        """Drops the packets that arrive and match the rule of nft(8), until there is another."""
        verdict = f"{rule} drop\n" if rule else ""
        done = self.run("nft", "-f", "-", input=f"""
            table inet test
            delete table inet test
            table inet test {{
                chain input {{
                    type filter hook input priority 0
                    {verdict}
                }}
            }}""")
        if done.returncode != 0:
            raise OSError(f"nft: {done.stderr.strip()}")


class Backend:
    """A machine with an rpc-master, which can be started again and again."""

    def __init__(self, case: "MachinesTest", name: str, machine: Machine):
        self.name, self.machine = name, machine
        self.control = str(case.directory / f"{name}.control")
        self.server: handoff.Server | None = None
        self._case = case

    def start(self, *options: str, command=()):
        address = f"{self.machine.address}:{PORT}"
        command = command or [handoff.tool("rpc-worker"), "-q"]
        self.server = self._case.start(self.machine.start(
            handoff.tool("rpc-master"), "-l", address, "--public", "-n", "2", "-c", self.control,
            "--proxy-from", BALANCER, "--status", f"{self.machine.address}:{STATUS_PORT}",
            *options, "--", *command))

    def ask(self, method: str):
        with handoff.Connection(self.control) as client:
            return client.result(method)

    def kill(self):
        """The machine loses all its processes at once."""
        pids = [self.server.pid, *handoff.freeze_descendants(self.server.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.server.stop()


class Balancer:
    """HAProxy, with the configuration that handoff(7) shows."""

    def __init__(self, case: "MachinesTest", network: Network, configuration: str):
        self.socket = str(case.directory / "haproxy.sock")
        file = case.directory / "haproxy.cfg"
        file.write_text(configuration.replace("/run/haproxy/admin.sock", self.socket))
        case.start(network.start("haproxy", "-db", "-f", str(file), ready=False))
        handoff.wait_for(lambda: os.path.exists(self.socket), "HAProxy to start")

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.socket)
            client.sendall(command.encode() + b"\n")
            return client.makefile().read()

    def rows(self) -> dict[str, dict[str, str]]:
        """Its statistics of each server, by name."""
        lines = self.ask("show stat").removeprefix("# ").splitlines()
        return {row["svname"]: row for row in csv.DictReader(lines)}

    def states(self) -> list[str]:
        """UP, DOWN, NOLB of a machine that gets no new sessions, or one of these on its way to
        another."""
        rows = self.rows()
        return [rows[f"m{number}"]["status"] for number in (1, 2, 3)]

    def wait_until(self, name: str, *states: str):
        handoff.wait_for(lambda: self.rows()[name]["status"] in states,
                         f"HAProxy to have {name} {' or '.join(states)}")


def why_not() -> str:
    """Why there can be no machines here; empty if there can."""
    for program in ("ip", "setpriv", "haproxy"):
        if not shutil.which(program):
            return f"no {program}"
    try:
        bridge = Network()
    except OSError as problem:
        return f"network namespaces of one's own are not permitted: {problem.strerror}"
    try:
        bridge.ip("link", "add", "br0", "type", "bridge")
        Machine(bridge, CLIENT).close()
    except OSError as problem:
        return f"no bridge can be made here: {problem}"
    finally:
        bridge.close()
    return ""


class MachinesTest(handoff.TestCase):
    """Three machines with a server each, `m1` to `m3`; a balancer, and a client."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if reason := why_not():
            raise unittest.SkipTest(reason)

    def setUp(self):
        super().setUp()
        self.balancer: Balancer | None = None
        self._have_files_removed()
        self.bridge = self._keep(Network())
        self.bridge.ip("link", "add", "br0", "type", "bridge")
        self.bridge.ip("address", "add", f"{BALANCER}/24", "dev", "br0")
        self.bridge.ip("link", "set", "br0", "up")
        self.client = self._keep(Machine(self.bridge, CLIENT))
        self.backends = [Backend(self, f"m{number}", self._keep(Machine(self.bridge, address)))
                         for number, address in enumerate(ADDRESSES, 1)]

    def _have_files_removed(self):
        """Even if this process is killed: the end of its input tells another one."""
        remover = subprocess.Popen(["setsid", "sh", "-c", 'read -r _; rm -rf "$0"', self.directory],
                                   stdin=subprocess.PIPE)
        self.stack.enter_context(remover)

    def _keep(self, network):
        self.stack.callback(network.close)
        return network

    def serve_alone(self, *options: str, command=()):
        """Starts the three servers."""
        for backend in self.backends:
            backend.start(*options, command=command)

    def serve(self, *options: str, command=()):
        """Starts the three servers, and HAProxy in front of them."""
        self.serve_alone(*options, command=command)
        self.balancer = Balancer(self, self.bridge, CONFIGURATION.read_text())
        self.wait_until_up()

    def wait_until_up(self):
        if self.balancer:
            handoff.wait_for(lambda: self.balancer.states() == ["UP"] * 3, "all machines to be up")

    def restart(self, backend: Backend, *options: str, command=()):
        """As handoff(7) says: stop the server, start it, and wait until HAProxy has it, if there is
        a HAProxy."""
        self.assertEqual(backend.server.stop(), 0, backend.server.lines)
        self.start_again(backend, *options, command=command)

    def start_again(self, backend: Backend, *options: str, command=()):
        backend.start(*options, command=command)
        if self.balancer:
            self.balancer.wait_until(backend.name, "UP")

    def machine_of(self, client: handoff.Connection) -> Backend:
        """Where the calls of a client are answered."""
        pid = client.result("info")["pid"]
        return next(backend for backend in self.backends
                    if pid in handoff.descendants(backend.server.pid))

    def need_nft(self):
        if not shutil.which("nft"):
            self.skipTest("no nft")
        try:
            self.client.drop("numgen random mod 10 < 3")
            self.client.drop()
        except OSError as problem:
            self.skipTest(f"no packets can be dropped here: {problem}")
