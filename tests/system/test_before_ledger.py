# SPDX-License-Identifier: MIT
"""Programs of this version together with those of the last one that had no ledger: nobody is lost
when one follows the other.

It builds that version in a directory of its own, which takes minutes: only under `make stress`. Or
HANDOFF_BEFORE_LEDGER names a directory that has its bin/ and lib/.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import survivors  # noqa: E402
from survivors import Busy, Idle  # noqa: E402

COMMIT = "0fd20c9"
GIVEN = os.environ.get("HANDOFF_BEFORE_LEDGER")


def has_commit() -> bool:
    return subprocess.run(["git", "-C", handoff.ROOT, "cat-file", "-e", COMMIT],
                          capture_output=True).returncode == 0


def build_in(directory: pathlib.Path) -> pathlib.Path:
    """That version's build folder."""
    source, build = directory / "source", directory / "build"
    source.mkdir()
    archive = subprocess.run(["git", "-C", handoff.ROOT, "archive", COMMIT], check=True,
                             stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
    subprocess.run(["cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=None"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build, "--target", "tools"], check=True,
                   stdout=subprocess.DEVNULL)
    return build


@unittest.skipUnless(GIVEN or handoff.STRESS and has_commit(),
                     "only under make stress, from a clone")
@handoff.only("connection", because="this is about connections that the master passes")
class BeforeTheLedger(handoff.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.new = handoff.BIN.parent
        if GIVEN:
            cls.old = pathlib.Path(GIVEN)
            return
        scratch = tempfile.TemporaryDirectory(prefix="handoff-before-")
        cls.addClassCleanup(scratch.cleanup)
        cls.old = build_in(pathlib.Path(scratch.name))

    def setUp(self):
        super().setUp()
        self.need_descriptors(2000)
        self.place = self.directory / "place"
        self.control = str(self.directory / "control")

    def install(self, version: pathlib.Path):
        """At the place that the servers are started from. Running programs keep their files."""
        for folder in ("bin", "lib"):
            (self.place / folder).mkdir(parents=True, exist_ok=True)
            for file in (version / folder).glob("rpc-*" if folder == "bin" else "libhandoff.so*"):
                copy = self.place / folder / ".new"
                shutil.copy2(file, copy, follow_symlinks=False)
                os.replace(copy, self.place / folder / file.name)

    def serve(self, master: pathlib.Path, worker: pathlib.Path) -> handoff.Server:
        return self.start(handoff.Server(
            str(master / "bin/rpc-master"), "-l", "127.0.0.1:0", "-n", "3", "-c", self.control,
            "--backoff", "1ms:20ms", "--", str(worker / "bin/rpc-worker"), *survivors.SLOW))

    def ask(self) -> dict:
        """Of a master that hands over nothing."""
        with contextlib.suppress(OSError, AssertionError):
            with handoff.Connection(self.control) as client:
                return client.result("status")
        return {}

    def upgrade(self, server: handoff.Server):
        old = self.ask()["pid"]
        server.kill(signal.SIGUSR2)
        self.wait_for_others({old})

    def wait_for_others(self, old: set[int]):
        """Until neither the master nor a worker is one of these, and all workers are ready."""
        def are_new():
            status = self.ask()
            workers = status.get("workers", [])
            pids = {status.get("pid"), *(worker["pid"] for worker in workers)}
            return (not old & pids and len(workers) == 3 and status["state"] == "ready" and
                    all(worker["state"] == "ready" for worker in workers))
        handoff.wait_for(are_new, "the new processes")

    def kill_one(self, idle: Idle) -> int:
        """A worker that has nothing to do. How many of the clients have noticed."""
        victim = survivors.ready_workers(self.control)[0]
        handoff.wait_for(lambda: handoff.sleeps(victim), "the worker to have nothing to do")
        os.kill(victim, signal.SIGKILL)
        handoff.wait_for(lambda: not handoff.alive(victim), "it to be dead")
        lost = 0
        for client in idle.clients:
            try:
                client.send("ping")
                lost += client.receive() is None
            except ConnectionError:
                lost += 1
        return lost

    def test_an_upgrade_from_it_loses_nobody_and_from_then_on_kills_do_not_either(self):
        self.install(self.old)
        server = self.serve(self.place, self.place)
        idle = Idle(self, server.address, 300)
        self.install(self.new)
        with Busy(server.address, 4) as busy:
            idle.send_some(8)
            self.upgrade(server)
            idle.check()
        self.assertEqual((busy.lost(), busy.problems), (0, []))
        self.assertEqual(self.kill_one(idle), 0)

    def test_an_upgrade_back_to_it_loses_nobody(self):
        self.install(self.new)
        server = self.serve(self.place, self.place)
        idle = Idle(self, server.address, 300)
        self.install(self.old)
        with Busy(server.address, 4) as busy:
            idle.send_some(8)
            self.upgrade(server)
            idle.check()
        self.assertEqual((busy.lost(), busy.problems), (0, []))

    def test_its_master_reloads_to_workers_of_this_version_and_back(self):
        self.install(self.old)
        server = self.serve(self.old, self.place)
        idle = Idle(self, server.address, 300)
        for version in (self.new, self.old):
            self.install(version)
            before = set(survivors.ready_workers(self.control))
            server.kill(signal.SIGHUP)
            self.wait_for_others(before)
            idle.check()

    def test_its_workers_serve_under_a_master_of_this_version_and_their_death_is_as_it_was(self):
        self.install(self.old)
        server = self.serve(self.new, self.place)
        idle = Idle(self, server.address, 300)
        self.assertIn(self.kill_one(idle), range(50, 200))
        idle.clients = [client for client in idle.clients if self.lives(client)]
        self.install(self.new)
        before = set(survivors.ready_workers(self.control))
        server.kill(signal.SIGHUP)
        self.wait_for_others(before)
        idle.check()
        self.assertEqual(self.kill_one(idle), 0)

    @staticmethod
    def lives(client) -> bool:
        with contextlib.suppress(ConnectionError):
            return client.call("ping") is not None
        return False


if __name__ == "__main__":
    handoff.run_tests()
