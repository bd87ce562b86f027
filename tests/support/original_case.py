# SPDX-License-Identifier: MIT
"""What the tests share in which the process that was started stays when other masters serve in its
place."""

import os
import pathlib
import signal

import handoff
from upgrade_case import UpgradeTest

WORKER = handoff.tool("rpc-worker")


def is_stopped(pid: int) -> bool:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rsplit(")", 1)[1].split()[0] == "T"


class OriginalTest(UpgradeTest):
    def upgrade_all(self, server, times: int) -> int:
        """So many upgrades by signals to the process that was started. Gives the pid that serves."""
        for _ in range(times):
            seen = len(server.lines)
            server.kill(signal.SIGUSR2)
            pid = self.wait_for_successor(server, seen)
            self.assert_replaced(server, server.pid)
            handoff.wait_for(lambda: handoff.children(server.pid) == [pid],
                             "the master before to be reaped")
        return pid

    def wait_until_known(self, server, times: int):
        """An original process with one that serves has heard of a successor that starts."""
        if times:
            handoff.wait_for(lambda: self.open_files(server.pid).count("anon_inode:[pidfd]") == 2,
                             "the notice of the successor")

    def wait_for_end(self, pid: int):
        handoff.wait_for(lambda: not handoff.alive(pid), f"process {pid} to end")

    def slow_command(self) -> tuple[str, ...]:
        """Workers with a method that waits for the fifo `slow`."""
        os.mkfifo(self.path("slow"))
        return (WORKER, "-m", f"slow=cat {self.path('slow')}")

    def begin_slow_call(self, client) -> None:
        client.send("slow")
        self.slow = open(self.path("slow"), "w", encoding="ascii")  # once a worker reads it
        self.stack.callback(self.slow.close)

    def end_slow_call(self):
        self.slow.write("1")
        self.slow.close()
