# SPDX-License-Identifier: MIT
"""Servers of others that are measured beside ours, where they are installed (`make bench-deps`)."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from bench_support import handoff

ARTICLE_SERVER = pathlib.Path(handoff.__file__).with_name("article_server.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """A running server of somebody else: its process and address, and how it reloads."""

    def __init__(self, process: subprocess.Popen, port: int, reload=None):
        self.pid = process.pid
        self.address = ("127.0.0.1", port)
        self.reload = reload


@contextlib.contextmanager
def nginx(workers: int, body: str = "pong"):
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "nginx.conf")
        config.write_text(f"daemon off; pid {directory}/pid; error_log /dev/null;\n"
                          f"worker_processes {workers}; events {{ worker_connections 4096; }}\n"
                          "http { access_log off; keepalive_requests 100000000;\n"
                          # Else nginx makes directories that only root may make.
                          + "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in
                                    ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")) +
                          f"server {{ listen 127.0.0.1:{port};\n"
                          f"location / {{ return 200 {body}; }} }} }}")
        with subprocess.Popen(["nginx", "-p", directory, "-c", config],
                              stderr=subprocess.DEVNULL) as process:
            handoff.wait_for(lambda: len(handoff.children(process.pid)) == workers, "nginx")

            def reload():
                before = set(handoff.children(process.pid))
                process.send_signal(signal.SIGHUP)
                handoff.wait_for(
                    lambda: len(set(handoff.children(process.pid)) - before) >= workers,
                    "the new workers of nginx")
            try:
                yield Peer(process, port, reload)
            finally:
                process.terminate()


@contextlib.contextmanager
def node_cluster(workers: int, body: str = "pong"):
    port = free_port()
    script = pathlib.Path(__file__).with_name("peers") / "cluster.js"
    with subprocess.Popen(["node", script, str(port), str(workers), body], stdout=subprocess.PIPE,
                          text=True) as process:
        process.stdout.readline()

        def reload():
            process.send_signal(signal.SIGHUP)
            process.stdout.readline()
        try:
            yield Peer(process, port, reload)
        finally:
            for pid in handoff.children(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.kill()


@contextlib.contextmanager
def gunicorn(workers: int):
    """With the kind of workers that keeps connections open."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "pong.py").write_text(
            "def app(environment, start):\n"
            "    start('200 OK', [('Content-Length', '4')])\n"
            "    return [b'pong']\n")
        with subprocess.Popen(["gunicorn", "-k", "gthread", "--threads", "4", "-w", str(workers),
                               "--keep-alive", "600", "-b", f"127.0.0.1:{port}", "pong:app"],
                              cwd=directory, stderr=subprocess.DEVNULL) as process:
            handoff.wait_for(lambda: len(handoff.children(process.pid)) == workers, "gunicorn")
            try:
                yield Peer(process, port)
            finally:
                process.terminate()


@contextlib.contextmanager
def haproxy(workers: int):
    """As a server of its own, with a process for the workers, which are its threads, and one that
    watches over it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "haproxy.cfg")
        config.write_text(f"global\n nbthread {workers}\n"
                          "defaults\n mode http\n timeout client 10m\n timeout connect 1s\n"
                          " timeout server 1m\n timeout http-keep-alive 10m\n"
                          f"frontend pong\n bind 127.0.0.1:{port}\n"
                          " http-request return status 200 content-type text/plain string pong\n")
        with subprocess.Popen(["haproxy", "-W", "-f", config], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            handoff.wait_for(lambda: handoff.children(process.pid), "haproxy")
            try:
                yield Peer(process, port)
            finally:
                process.terminate()


@contextlib.contextmanager
def article():
    """The first servers of the protocol: Python, a thread for each connection."""
    with subprocess.Popen([sys.executable, ARTICLE_SERVER], stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            yield Peer(process, int(process.stdout.readline().rsplit(":", 1)[1]))
        finally:
            process.kill()


HTTP_PEERS = {name: peer for name, peer, program in (("nginx", nginx, "nginx"),
                                                    ("node cluster", node_cluster, "node"))
              if shutil.which(program)}

# Those that say nothing of reloads, with the programs that they need; not all are installed.
KILLED_PEERS = {"nginx": (nginx, "nginx"), "gunicorn": (gunicorn, "gunicorn"),
                "node cluster": (node_cluster, "node"), "haproxy": (haproxy, "haproxy")}
