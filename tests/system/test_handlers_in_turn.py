# SPDX-License-Identifier: MIT
"""Handlers of which a worker runs one at a time: the calls wait their turn, each with its
deadline."""

import fcntl
import json
import pathlib
import select
import struct
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import AMPLE, HandlerCase, KINDS, TIMED_OUT, lines_of  # noqa: E402


def is_asleep(pid: int) -> bool:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rsplit(")", 1)[1].split()[0] == "S"


class OneAtATime(HandlerCase):
    def setUp(self):
        super().setUp()
        self.gate, self.log = self.make_gate(), self.directory / "log"
        self.path = str(self.directory / "socket")

    def one(self, *options: str) -> handoff.Server:
        gated = f"echo begins >>{self.log}; {self.gate.words}; echo ends >>{self.log}; echo 1"
        noted = f"echo noted >>{self.log}; echo 2"
        return self.worker("-l", self.path, "-C", "1", *self.all_kinds(
            {"gated": gated, "noted": noted}), *options)

    def assert_left(self, server: handoff.Server, *clients: handoff.Connection):
        """What was sent stays in the sockets, also when the worker has looked."""
        def unread(client):
            return struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, b"\0" * 4))[0]
        handoff.wait_for(lambda: is_asleep(server.pid), "the worker to wait")
        self.assertTrue(all(map(unread, clients)))

    def has_reply(self, client: handoff.Connection) -> bool:
        return bool(select.select([client.socket], [], [], 0)[0])

    def test_a_second_call_waits_until_the_first_has_ended(self):
        server = self.one(*AMPLE)
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.log.unlink(missing_ok=True)
                first, *others = [self.open(server) for _ in range(5)]
                first.send(f"{kind}.gated")
                self.gate.wait_for_one()
                for other, name in zip(others, ("ping", *(f"{kind}.noted" for kind in KINDS))):
                    other.send(name, 2)
                    self.assert_left(server, other)
                first.send("ping", 3)
                self.assert_left(server, first)
                self.assertFalse(any(map(self.has_reply, (first, *others))))
                self.assertEqual(lines_of(self.log), ["begins"])
                self.gate.open()
                self.assertEqual([first.receive()["result"], first.receive()["result"]], [1, 3])
                self.assertEqual([other.receive()["result"] for other in others], [2, 2, 2, 2])
                self.assertEqual(lines_of(self.log), ["begins", "ends"] + ["noted"] * 3)

    def test_however_many_wait_none_is_told_that_the_worker_is_busy(self):
        server = self.one(*AMPLE)
        first, last, *clients = [self.open(server) for _ in range(10)]
        first.send("command.gated")
        self.gate.wait_for_one()
        for client in clients:
            client.socket.sendall(b"".join(handoff.frame(
                json.dumps({"in": "ping", "params": number}).encode()) for number in range(128)))
        self.assert_left(server, *clients)
        last.send("ping", 4)
        self.assert_left(server, last)
        self.assertFalse(any(map(self.has_reply, (last, *clients))))
        self.assertEqual(lines_of(self.log), ["begins"])
        self.gate.open()
        self.assertEqual(first.receive()["result"], 1)
        for client in clients:
            self.assertEqual([client.receive()["result"] for _ in range(128)], list(range(128)))
        self.assertEqual(last.receive()["result"], 4)
        self.assertEqual(lines_of(self.log), ["begins", "ends"])

    def test_the_time_of_a_call_begins_when_it_is_read(self):
        server = self.one("--timeout", "200ms")
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.log.unlink(missing_ok=True)
                client = self.open(server)
                client.socket.sendall(handoff.frame(json.dumps(
                    {"in": f"{kind}.gated"}).encode()) * 3)
                for _ in range(3):
                    self.assert_error(client.receive(), TIMED_OUT)
                self.assertEqual(lines_of(self.log), ["begins"] * 3)
                self.assert_nothing_left()
                self.assertEqual(client.result("ping", 1), 1)

    def test_a_call_of_a_batch_whose_deadline_passes_while_it_waits_is_not_run(self):
        server = self.one("--timeout", "400ms")
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.log.unlink(missing_ok=True)
                client = self.open(server)
                client.send_body(json.dumps(
                    [{"jsonrpc": "2.0", "method": f"{kind}.gated", "id": id_}
                     for id_ in range(20)]).encode())
                self.assertEqual([reply["error"]["code"] for reply in client.receive()],
                                 [TIMED_OUT] * 20)
                # The next in turn may just have begun when its own deadline came.
                self.assertLessEqual(len(lines_of(self.log)), 2)
                self.assert_nothing_left()
                self.assertEqual(client.result("ping", 1), 1)

    def test_calls_whose_coprocess_is_not_free_in_time_are_errors(self):
        server = self.worker("--timeout", "400ms", "-k", f"x={self.gate.words}; echo 1")
        client = self.open(server)
        for number in range(5):
            client.send("x", id=number)
        for _ in range(5):
            self.assert_error(client.receive(), TIMED_OUT)
        self.assertEqual(client.result("ping", 1), 1)
        self.assert_nothing_left()


if __name__ == "__main__":
    handoff.run_tests()
