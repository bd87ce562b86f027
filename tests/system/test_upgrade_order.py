# SPDX-License-Identifier: MIT
"""Upgrades, reloads and stops that are asked for at the same time, in any order."""

import contextlib
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from upgrade_case import UpgradeTest, WORKER, clients_of, setUpModule  # noqa: E402,F401


class Several(UpgradeTest):
    """Signals that come together."""

    def test_usr2_twice_is_one_upgrade(self):
        server = self.launch()
        self.put_gate()
        with clients_of(server.address) as load:
            load.go_on()
            server.kill(signal.SIGUSR2)
            self.wait_at_gate()
            server.kill(signal.SIGUSR2)
            with handoff.Connection(self.control) as client:
                reply = client.call("upgrade")
                self.assertEqual((reply["out"], reply["result"]["message"]),
                                 ("error", "an upgrade is under way"))
            self.assertEqual(len(handoff.children(server.pid)), 3)
            self.open_gate()
            pid = self.wait_for_successor(server)
            self.assert_replaced(server, server.pid)
            load.go_on()
            self.assertEqual(self.ask("status")["state"], "ready")
        self.assertEqual(load.problems, [])
        self.assertEqual(sum("upgraded" in line for line in server.lines), 1)
        self.assertEqual(self.stop(server, pid), 0)
        self.assert_nobody_left(server)

    def test_usr2_to_the_old_and_the_new_master_at_once_replaces_both(self):
        server = self.launch()
        with clients_of(server.address) as load:
            load.go_on()
            first = self.upgrade(server, server.pid)
            seen = len(server.lines)
            # The first one that comes starts an upgrade, whichever that is, and the other may come
            # when that is over: the successor gets it then.
            server.kill(signal.SIGUSR2)
            os.kill(first, signal.SIGUSR2)
            self.wait_for_successor(server, seen)
            for pid in (server.pid, first):
                self.assert_replaced(server, pid)
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(self.stop(server, server.pid), 0)
        self.assert_nobody_left(server)

    def test_hup_during_an_upgrade_costs_no_client_anything(self):
        server = self.launch()
        self.put_gate()
        with clients_of(server.address) as load:
            load.go_on()
            server.kill(signal.SIGUSR2)
            self.wait_at_gate()
            for _ in range(5):
                server.kill(signal.SIGHUP)
            load.go_on()
            self.open_gate()
            pid = self.wait_for_successor(server)
            os.kill(pid, signal.SIGHUP)
            self.assert_replaced(server, server.pid)
            server.wait_for_line("reloaded, 2 workers")
            load.go_on()
        self.assertEqual(load.problems, [])
        handoff.wait_for(lambda: len(handoff.children(pid)) == 2, "the old workers to leave")
        self.assertEqual(self.stop(server, pid), 0)
        self.assert_nobody_left(server)

    def test_hup_during_an_upgrade_that_fails_is_a_reload_after_it(self):
        server = self.launch()
        before = set(server.worker_pids())
        self.put_gate()
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGHUP)
        server.wait_for_line("the reload is put off")
        server.kill(signal.SIGUSR2)
        server.wait_for_line("upgrading already")
        os.kill(successor, signal.SIGKILL)
        server.wait_for_line("this master serves on")
        server.wait_for_line("reloaded, 2 workers")
        handoff.wait_for(lambda: not before & set(server.worker_pids()), "the old workers to leave")
        self.assertEqual(self.stop(server, server.pid), 0)

    def test_an_upgrade_during_a_reload(self):
        server = self.launch()
        with clients_of(server.address) as load:
            load.go_on()
            server.kill(signal.SIGHUP)
            server.wait_for_line("reloading")
            pid = self.upgrade(server, server.pid)
            self.assert_replaced(server, server.pid)
            load.go_on()
        self.assertEqual(load.problems, [])
        self.assertEqual(self.stop(server, pid), 0)
        self.assert_nobody_left(server)

    def test_term_while_the_new_master_starts_ends_both(self):
        listener = self.path("listen")
        server = self.launch("-l", listener, "--pidfile", str(self.pidfile))
        client = self.open(server)
        client.result("ping")
        self.put_gate()
        server.kill(signal.SIGUSR2)
        successor = self.wait_at_gate()
        server.kill(signal.SIGTERM)
        self.assertEqual(self.status_of(server, server.pid), 0)
        self.assertIsNone(client.receive())
        if handoff.alive(successor):
            self.open_gate_if_read()
        self.assert_nobody_left(server)
        for name in (listener, self.control, str(self.pidfile)):
            self.assertFalse(os.path.lexists(name), name)

    def open_gate_if_read(self):
        with contextlib.suppress(OSError):
            gate = os.open(self.path("gate"), os.O_WRONLY | os.O_NONBLOCK)
            os.write(gate, b"go\n")
            os.close(gate)

    def test_term_at_any_moment_of_an_upgrade_ends_all(self):
        for moment in ("at once", "upgrading", "ready", "takes over"):
            with self.subTest(moment):
                server = self.launch("--pidfile", str(self.pidfile))
                seen = len(server.lines)
                client = self.open(server)
                client.result("ping")
                server.kill(signal.SIGUSR2)
                if moment != "at once":
                    server.wait_for_line(moment, seen)
                server.kill(signal.SIGTERM)  # when it had handed over already, the new one gets it
                self.assertEqual(self.status_of(server, server.pid), 0)
                self.assertIsNone(client.receive())
                self.assert_nobody_left(server)
                self.assertFalse(self.pidfile.exists())

    def test_term_to_the_new_master_while_the_old_one_drains_ends_both(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(50)]
        for client in clients:
            client.result("ping")
        pid = self.upgrade(server, server.pid)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.status_of(server, pid), 0)
        server.process.wait(handoff.PATIENCE)
        for client in clients:
            self.assertIsNone(client.receive())
        self.assert_nobody_left(server)

    def test_an_upgrade_repairs_a_master_that_never_got_ready(self):
        marker = self.directory / "repaired"
        server = self.launch(
            "--backoff", "60s:60s", "--pidfile", str(self.pidfile), workers=1, ready=False,
            command=["sh", "-c", f'test -e "{marker}" && exec "$0"; exit 3', WORKER])
        server.wait_for_line("again in 60s")
        marker.touch()
        pid = self.upgrade(server, server.pid)
        self.assert_replaced(server, server.pid)
        self.assertEqual(sum(": ready, " in line for line in server.lines), 1)
        self.assertEqual(self.pidfile.read_text(), f"{pid}\n")
        server.addresses = [handoff.parse_address(self.ask("status")["listeners"][0])]
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(self.stop(server, pid), 0)


if __name__ == "__main__":
    handoff.run_tests()
