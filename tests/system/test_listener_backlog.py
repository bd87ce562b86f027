# SPDX-License-Identifier: MIT
"""--pass listener: nobody who waits in a backlog is lost when a worker dies, leaves or is full."""

import contextlib
import os
import pathlib
import random
import resource
import select
import signal
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from channel_messages import LISTENER  # noqa: E402
from listener_case import EPOLLEXCLUSIVE, ListenerTest, QUICK, WORKER  # noqa: E402


class Backlog(ListenerTest):
    """Those who wait to be accepted are served, whatever becomes of the workers."""

    def test_clients_are_served_when_all_workers_but_one_are_killed(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake, workers=4)
                *victims, survivor = server.worker_pids()
                for pid in (*victims, survivor):
                    handoff.stop_process(pid)
                clients = self.asking(server, 50)
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                os.kill(survivor, signal.SIGCONT)
                self.assert_answered(clients)

    def test_clients_are_served_when_all_workers_but_one_are_killed_and_none_can_be_started(self):
        """Only the one that is left can serve them."""
        program = self.directory / "worker"
        program.symlink_to(WORKER)
        server = self.master(workers=4, command=[str(program)])
        program.unlink()
        *victims, survivor = server.worker_pids()
        for pid in (*victims, survivor):
            handoff.stop_process(pid)
        clients = self.asking(server, 50)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        handoff.wait_for(lambda: not any(map(handoff.alive, victims)), "them to die")
        os.kill(survivor, signal.SIGCONT)
        self.assert_answered(clients)
        for client in clients:
            self.assertEqual(client.result("info")["pid"], survivor)

    def test_clients_are_served_when_all_workers_are_killed(self):
        server = self.master(workers=3)
        victims = server.worker_pids()
        for pid in victims:
            handoff.stop_process(pid)
        clients = self.asking(server, 50)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.assert_answered(clients)

    def test_clients_are_served_when_all_workers_are_replaced_while_they_are_stopped(self):
        server = self.master("--drain-timeout", "300ms", workers=2)
        stopped = server.worker_pids()
        for pid in stopped:
            handoff.stop_process(pid)
        clients = self.asking(server, 50)
        server.kill(signal.SIGHUP)
        self.assert_answered(clients)
        handoff.wait_for(lambda: not any(map(handoff.alive, stopped)), "the old workers' end")

    def first_scripted_then_real(self):
        """The kernel wakes the one that came first, which is the scripted one."""
        server, path = self.open_door()
        scripted = self.join(path)
        (listener,) = scripted.take_listeners()
        woken = self.stack.enter_context(select.epoll())
        woken.register(listener, select.EPOLLIN | EPOLLEXCLUSIVE)
        self.joined(path)
        return server, scripted, woken

    def wake(self, server, woken) -> handoff.Connection:
        """A client whose connection has woken the scripted worker. The others may have been too:
        then it is served, and there is another try."""
        events = []
        thread = threading.Thread(target=lambda: events.extend(woken.poll(handoff.PATIENCE)))
        thread.start()
        wchan = pathlib.Path(f"/proc/self/task/{thread.native_id}/stat")
        handoff.wait_for(lambda: wchan.read_text().rsplit(")", 1)[1].split()[0] == "S",
                         "the scripted worker to wait")
        client = self.open(server)
        thread.join()
        self.assertTrue(events)
        client.send("ping", 0)
        return client

    def test_a_worker_that_was_woken_and_dies_leaves_its_client_to_another(self):
        server, scripted, woken = self.first_scripted_then_real()
        client = self.wake(server, woken)
        self.assertEqual(select.select([client.socket], [], [], 0.2)[0], [], "nobody else knows")
        woken.close()
        scripted.die()
        self.assert_answered([client])

    def test_a_worker_that_was_woken_and_says_so_leaves_its_client_to_another(self):
        server, scripted, woken = self.first_scripted_then_real()
        client = self.wake(server, woken)
        self.assertEqual(select.select([client.socket], [], [], 0.2)[0], [], "nobody else knows")
        woken.close()
        scripted.send(LISTENER)
        self.assert_answered([client])
        self.assertEqual(scripted.asked_to_look, 0)

    def test_a_worker_that_is_full_leaves_its_clients_to_others(self):
        for options in (["--wake", "one"], ["--wake", "all"]):
            with self.subTest(options):
                server = self.master(workers=3, command=[WORKER, "--credits", "1", *options])
                for _ in range(handoff.count(200, 10)):
                    clients = [self.open(server) for _ in range(3)]
                    pids = {client.result("info")["pid"] for client in clients}
                    self.assertEqual(pids, set(server.worker_pids()))
                    waiting = self.open(server)
                    waiting.send("ping", "waits")
                    self.assertEqual(select.select([waiting.socket], [], [], 0.01)[0], [])
                    clients[1].close()
                    self.assertEqual(waiting.receive()["result"], "waits")
                    for client in (clients[0], clients[2], waiting):
                        client.close()

    def test_clients_that_come_together_are_shared_by_those_that_have_room(self):
        server = self.master(workers=4, command=[WORKER, "--credits", "5"])
        for _ in range(handoff.count(200, 10)):
            clients = self.asking(server, 20)
            self.assert_answered(clients)
            pids = [client.result("info")["pid"] for client in clients]
            self.assertEqual([pids.count(pid) for pid in server.worker_pids()], [5] * 4)
            for client in clients:
                client.close()

    def test_a_worker_without_descriptors_leaves_its_clients_to_others(self):
        server = self.master(workers=2)
        for pid in server.worker_pids():
            handoff.wait_for(lambda: self.watches(pid), "the worker to listen")
        for full in server.worker_pids():
            _, hard = resource.prlimit(full, resource.RLIMIT_NOFILE)
            resource.prlimit(full, resource.RLIMIT_NOFILE, (3, hard))
            for _ in range(5):
                with server.connect() as client:
                    client.socket.settimeout(QUICK)
                    self.assertNotEqual(client.result("info")["pid"], full)
            resource.prlimit(full, resource.RLIMIT_NOFILE, (hard, hard))

    def test_clients_are_served_when_all_workers_were_out_of_descriptors_for_a_while(self):
        server = self.master(workers=2)
        limits = {}
        for pid in server.worker_pids():
            handoff.wait_for(lambda: self.watches(pid), "the worker to listen")
            _, limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[pid]))
        clients = self.asking(server, 10)
        server.wait_for_line(r"rpc-worker\[\d\]: cannot accept on .*: Too many open files; trying again")
        before = sum(map(handoff.cpu_seconds, limits))
        self.assertEqual(select.select([client.socket for client in clients], [], [], 1)[0], [])
        self.assertLess(sum(map(handoff.cpu_seconds, limits)) - before, 0.1)
        for pid, hard in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        self.assert_answered(clients)


class Racing(ListenerTest):
    """Clients that come at the very moment when a worker goes."""

    def test_kills_strand_nobody(self):
        server = self.master("--backoff", "5ms:20ms", workers=3)
        chance = random.Random(1)
        lost = 0
        for number in range(handoff.count(1000, 60)):
            clients = []
            victim = chance.choice(handoff.wait_for(server.worker_pids, "a worker"))
            for place in range(6):
                if place == number % 6:
                    with contextlib.suppress(ProcessLookupError):  # of an earlier round
                        os.kill(victim, signal.SIGKILL)
                client = self.open(server)
                clients.append(client)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send("ping", number)
            for client in clients:
                # Those that the killed one had accepted end; nobody waits for ever.
                client.socket.settimeout(QUICK)
                with client, contextlib.suppress(ConnectionResetError):
                    reply = client.receive()
                    if reply is not None:
                        self.assertEqual(reply["result"], number)
                        continue
                lost += 1
            handoff.wait_for(lambda: len(server.worker_pids()) == 3, "another in its place")
        print(f"kills: {lost} connections ended with their workers", file=sys.stderr)

    def test_reloads_strand_nobody(self):
        for handshake in ("full", "none"):
            with self.subTest(handshake):
                server = self.master("--handshake", handshake)
                for number in range(handoff.count(500, 30)):
                    clients = []
                    for place in range(6):
                        if place == number % 6:
                            server.kill(signal.SIGHUP)
                        clients.append(self.open(server))
                        with contextlib.suppress(ConnectionError):
                            clients[-1].send("ping", place)
                    if handshake == "full":
                        self.assert_answered(clients)
                    else:
                        self.assert_not_stranded(clients)
                    for client in clients:
                        client.close()
                handoff.wait_for(lambda: len(server.worker_pids()) == 2, "the old ones to leave")
                self.assertEqual(server.stop(), 0)

    def assert_not_stranded(self, clients):
        """Without messages, one that was accepted and had not asked yet may be closed."""
        for client in clients:
            client.socket.settimeout(QUICK)
            with contextlib.suppress(ConnectionResetError):
                self.assertIn((client.receive() or {"out": None})["out"], ("pong", None))

    def test_workers_that_are_terminated_strand_nobody(self):
        server = self.master()
        terminated: set[int] = set()  # a second one would end them at once
        for _ in range(handoff.count(500, 30)):
            pid = handoff.wait_for(
                lambda: next(iter(set(server.worker_pids()) - terminated), None), "a worker")
            handoff.wait_for(lambda: self.watches(pid), "it to accept")
            terminated.add(pid)
            clients = self.asking(server, 3)
            os.kill(pid, signal.SIGTERM)
            more = self.asking(server, 3)
            self.assert_answered(clients)
            self.assert_answered(more)
            for client in clients + more:
                client.close()

    def test_workers_that_join_and_leave_strand_nobody(self):
        server, path = self.open_door()
        staying = self.joined(path)
        self.assertEqual(self.open(server).result("info")["pid"], staying.pid)
        for _ in range(handoff.count(200, 10)):
            leaving = self.joined(path)
            client = self.open_with_others_stopped(server, leaving.pid, [staying.pid])
            clients = self.asking(server, 3)
            leaving.kill(signal.SIGTERM)
            more = self.asking(server, 3)
            self.assert_answered(clients)
            self.assert_answered(more)
            self.assertEqual(leaving.process.wait(handoff.PATIENCE), 0)
            self.assertEqual(client.result("info")["pid"], staying.pid, "it has moved")
            for one in [client, *clients, *more]:
                one.close()


if __name__ == "__main__":
    handoff.run_tests()
