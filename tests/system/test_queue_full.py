# SPDX-License-Identifier: MIT
"""--pass queue: a queue that is full bounds the memory, and one that is empty wakes nobody."""

import contextlib
import os
import pathlib
import re
import select
import signal
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from queue_case import BUSY, MIB, QUICK, QueueTest, WORKER, clients_of  # noqa: E402


class Full(QueueTest):
    """Of a queue in which there are as many requests as may be."""

    def setUp(self):
        super().setUp()
        self.server = self.launch("--queue-limit", "8", "--timeout", "0", command=[WORKER])
        self.open(self.server).result("ping")
        self.pids = self.server.worker_pids()
        for pid in self.pids:
            handoff.stop_process(pid)
        self.addCleanup(self.let_them_go_on)

    def let_them_go_on(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def test_reading_pauses_and_memory_is_bounded(self):
        before = handoff.resident_bytes(self.server.pid)
        clients = self.clients(self.server, 4)
        sent = {client: 0 for client in clients}
        rest = {client: memoryview(b"") for client in clients}
        by_socket = {client.socket: client for client in clients}
        for client in clients:
            client.socket.setblocking(False)
        # The kernel's buffers are full when none has taken anything for a second.
        while writable := select.select([], list(by_socket), [], 1)[1]:
            for client in map(by_socket.get, writable):
                if not rest[client]:
                    body = b'{"in":"ping","params":"%d-%s"}' % (sent[client], b"x" * 500_000)
                    rest[client] = memoryview(handoff.frame(body))
                    sent[client] += 1
                with contextlib.suppress(BlockingIOError):
                    rest[client] = rest[client][client.socket.send(rest[client]):]
            self.assertLess(sum(sent.values()), 400, "it reads on")
        # 8 in the queue, one that waits on each connection, and one that was not read to its end.
        if not handoff.SANITIZED:
            self.assertLess(handoff.resident_bytes(self.server.pid) - before, 40 * MIB)
        self.let_them_go_on()
        for client in clients:
            client.socket.settimeout(handoff.PATIENCE)
            sender = threading.Thread(target=client.socket.sendall, args=(rest[client],))
            sender.start()
            for number in range(sent[client]):
                reply = client.receive()
                self.assertEqual(reply["out"], "pong", reply)
                self.assertTrue(reply["result"].startswith(f"{number}-xx"))
            sender.join()
        self.assertEqual(self.queue()["late"], 0)

    def test_who_sends_more_at_once_than_may_wait_is_only_read_more_slowly(self):
        client = self.open(self.server)
        client.socket.sendall(b"".join(
            handoff.frame(b'{"in":"ping","params":%d}' % number) for number in range(30)))
        # One waits, besides those in the queue; what is behind it is not read.
        handoff.wait_for(lambda: self.queue()["waiting"] + self.queue()["running"] == 8,
                         "8 calls to be in the queue", QUICK)
        self.assert_unanswered([client])
        self.let_them_go_on()
        for number in range(30):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def test_beyond_twice_the_limit_the_answer_is_busy_at_once(self):
        clients = self.clients(self.server, 30)
        for number, client in enumerate(clients):
            client.send("ping", number)
        busy = []

        def are_told():
            busy.extend(select.select([client.socket for client in clients
                                       if client.socket not in busy], [], [], 0)[0])
            return len(busy) == 14
        handoff.wait_for(are_told, "14 to be told", QUICK)
        waiting = [client for client in clients if client.socket not in busy]
        self.assert_unanswered(waiting)
        for client in clients:
            if client not in waiting:
                self.assert_error(client.receive(), BUSY)
        self.let_them_go_on()
        for number, client in enumerate(clients):
            if client in waiting:
                self.assertEqual(client.receive(), {"out": "pong", "result": number})
        for client in clients:
            self.assertEqual(client.result("ping", "usable"), "usable")
        self.assert_whole(self.server, 8)


class Watching(QueueTest):
    """From outside, in /proc."""

    @staticmethod
    def maps(pid: int) -> dict[str, list[str]]:
        """The protections of the memories, by name."""
        found: dict[str, list[str]] = {}
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            if match := re.search(r" (....) .*/memfd:(handoff-\w+)", line):
                found.setdefault(match.group(2), []).append(match.group(1))
        return found

    @staticmethod
    def links(pid: int) -> list[str]:
        folder = f"/proc/{pid}/fd"
        return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]

    def test_workers_map_the_memory_as_they_may_and_hold_no_socket_of_a_client(self):
        server = self.launch("-l", "127.0.0.1:0", "-l", self.path("unix"), workers=3)
        clients = self.clients(server, 5)
        for client in clients:
            client.result("ping")
        workers = server.worker_pids()
        self.assertEqual(len(workers), 3)
        for pid in workers:
            self.assertEqual(self.maps(pid), {"handoff-requests": ["r--s"],
                                              "handoff-replies": ["rw-s"],
                                              "handoff-ledger": ["rw-s"]})
            sockets = [link for link in self.links(pid) if link.startswith("socket:")]
            self.assertEqual(len(sockets), 1, "its channel alone")
        # One ledger has what the master counts itself.
        self.assertEqual(self.maps(server.pid), {"handoff-requests": ["rw-s"] * 3,
                                                 "handoff-replies": ["r--s"] * 3,
                                                 "handoff-ledger": ["rw-s"] * 4})
        inodes = [pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in workers]
        files = [re.findall(r" (\d+) +/memfd:handoff", text) for text in inodes]
        self.assertEqual(len({number for three in files for number in three}), 9, "nobody shares")

    def test_a_command_gets_none_of_it(self):
        server = self.launch(command=[WORKER, "--text", "-m", "fds=ls -l /proc/$$/fd/"])
        listing = self.open(server).result("fds")
        self.assertNotIn("handoff-r", listing)
        self.assertNotIn("socket", listing)

    @staticmethod
    def switches(pids) -> list[int]:
        total = []
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                text = (task / "status").read_text()
                total.append(int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text).group(1)))
        return total

    def test_when_nothing_happens_nobody_runs(self):
        server = self.launch(workers=3, command=[WORKER, "-C", "4"])
        with clients_of(server.address, calls=400) as load:
            load.join()
        self.assertEqual(load.problems, [])
        client = self.open(server)
        self.assertEqual(client.result("ping", 1), 1)
        pids = [server.pid, *server.worker_pids()]
        last = []

        def are_quiet():
            last.append(self.switches(pids))
            return len(last) > 20 and last[-1] == last[-20]
        handoff.wait_for(are_quiet, "all to sleep", QUICK)
        before = self.switches(pids), list(map(handoff.cpu_seconds, pids))
        self.assert_unanswered([client], 2)
        self.assertEqual((self.switches(pids), list(map(handoff.cpu_seconds, pids))), before)
        self.assertEqual(client.result("ping", 2), 2)


if __name__ == "__main__":
    handoff.run_tests()
