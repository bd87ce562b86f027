# SPDX-License-Identifier: MIT
"""What an idle connection that was used once costs a worker and the master."""

import pathlib
import re
import resource

from bench_support import handoff


def private_bytes(pid: int) -> int:
    """Memory that this process alone uses."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_\w+:\s+(\d+) kB", text)) * 1024


def measure(number: int = 9000):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with handoff.master(workers=2) as server:
        for _ in range(2):
            with server.connect() as client:
                client.result("ping")
        workers = server.worker_pids()
        before = [private_bytes(pid) for pid in [server.pid, *workers]]
        clients = [server.connect() for _ in range(number)]
        for client in clients:
            client.result("ping")
        after = [private_bytes(pid) for pid in [server.pid, *workers]]
        for client in clients:
            client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield f"{number} idle connections, master", f"{(after[0] - before[0]) / number:.0f} bytes each"
    yield (f"{number} idle connections, worker",
           f"{(sum(after[1:]) - sum(before[1:])) / number:.0f} bytes each")
