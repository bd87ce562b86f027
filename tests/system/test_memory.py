#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that read nothing: what they make a server hold is bounded, in each model, and those who
read are served meanwhile."""

import json
import os
import pathlib
import re
import select
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

MIB = 1024 * 1024
MODELS = ("alone", "connection", "listener", "queue")

# Of a connection, with the first 16 replies, which nobody knows to be long; and what each process
# keeps besides: copies, buffers, and what malloc(3) does not give back.
BUDGET = (8 + 16) * MIB
SLACK = 64 * MIB


def most_resident(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024


class Memory(handoff.TestCase):
    def setUp(self):
        super().setUp()
        self.log = self.directory / "log"
        self.log.touch()
        large = self.directory / "large"
        large.write_text(json.dumps("x" * 1_000_000))
        self.big = f"big=echo >>{self.log}; cat {large}"

    def serve(self, model, *options, methods=(), worker=()):
        """`options` are for the process that clients are connected to, `worker` for rpc-worker."""
        words = [*worker, *(word for method in (self.big, *methods) for word in ("-m", method))]
        address = str(self.directory / model)
        if model == "alone":
            server = handoff.worker("-l", address, *options, *words)
        else:
            to_master = options if model == "queue" else ()
            to_worker = () if model == "queue" else options
            server = handoff.master("-l", address, "-p", model, *to_master, workers=1,
                                    command=[handoff.tool("rpc-worker"), *to_worker, *words])
        self.start(server)
        self.pids = [server.pid] + ([] if model == "alone" else server.worker_pids())
        self.before = self.resident()
        self.log.write_text("")
        return server

    def resident(self) -> int:
        return sum(map(most_resident, self.pids))

    def silent(self, server, *bodies) -> handoff.Connection:
        """A client that has sent all of these, or what is taken of them, and reads nothing."""
        client = self.open(server)
        client.socket.setblocking(False)
        try:
            client.socket.send(b"".join(map(handoff.frame, bodies)))
        except BlockingIOError:
            pass
        return client

    def calls(self) -> int:
        return self.log.stat().st_size

    def wait_until_nothing_begins(self):
        """Calls take milliseconds here, and this many looks a quarter of a second at least."""
        seen = []

        def is_quiet():
            seen.append((self.calls(), len(handoff.children(self.pids[-1]))))
            return seen[-1][0] > 0 and len(seen) > 50 and set(seen[-50:]) == {(seen[-1][0], 0)}

        handoff.wait_for(is_quiet, "no call to begin any more")

    def assert_bounded(self, clients: int):
        if handoff.SANITIZED:
            return  # a sanitizer keeps what was freed
        held = self.resident() - self.before
        self.assertLess(held, clients * BUDGET + len(self.pids) * SLACK, f"{held / MIB:.0f} MiB")

    def test_one_client_that_reads_nothing_makes_a_server_hold_little(self):
        ordered = [b'{"in":"big"}'] * 128
        with_ids = [b'{"in":"big","id":%d}' % number for number in range(128)]
        batch = [b"[" + b",".join([b'{"jsonrpc":"2.0","method":"big","id":1}'] * 200) + b"]"]
        for model in MODELS:
            for kind, bodies in (("ordered", ordered), ("ids", with_ids), ("batch", batch)):
                with self.subTest(model=model, kind=kind):
                    server = self.serve(model)
                    client = self.silent(server, *bodies)
                    self.wait_until_nothing_begins()
                    self.assert_bounded(1)
                    reader = self.open(server)
                    self.assertEqual(len(reader.result("big")), 1_000_000)
                    client.close()
                    server.stop()

    def test_three_slow_readers_share_the_limit_and_get_all_when_they_read(self):
        for model in MODELS:
            with self.subTest(model=model):
                server = self.serve(model, "--max-memory", "16MiB")
                clients = [self.silent(server, *[b'{"in":"big"}'] * 40) for _ in range(3)]
                self.wait_until_nothing_begins()
                self.assertLess(self.calls(), 3 * 40)
                self.assert_bounded(3)
                for client in clients:
                    client.socket.settimeout(handoff.PATIENCE)
                    for _ in range(40):
                        self.assertEqual(len(client.receive()["result"]), 1_000_000)
                self.assertEqual(self.calls(), 3 * 40)
                server.stop()

    def test_calls_of_one_at_a_time_stop_too_when_their_client_does_not_read(self):
        for model in MODELS:
            with self.subTest(model=model):
                server = self.serve(model, worker=["-C", "1"])
                client = self.silent(server, *[b'{"in":"big","id":1}'] * 100)
                self.wait_until_nothing_begins()
                self.assertLess(self.calls(), 30)
                client.socket.settimeout(handoff.PATIENCE)
                for _ in range(100):
                    self.assertEqual(len(client.receive()["result"]), 1_000_000)
                server.stop()

    def test_calls_that_wait_for_each_other_all_begin(self):
        """However long their replies may be: none comes before the last call has begun."""
        gate = self.directory / "gate"
        os.mkfifo(gate)
        for model in ("alone", "queue"):
            with self.subTest(model=model):
                server = self.serve(model, methods=[f"gated=echo >>{self.log}; read line <{gate}; echo 1"])
                client = self.silent(server, *[b'{"in":"gated"}'] * 40)
                handoff.wait_for(lambda: self.calls() == 40, "all calls to begin")
                with gate.open("r+b", buffering=0) as lines:
                    lines.write(b"\n" * 40)
                    client.socket.settimeout(handoff.PATIENCE)
                    for _ in range(40):
                        self.assertEqual(client.receive()["result"], 1)
                server.stop()

    def test_who_takes_nothing_is_closed_after_the_write_timeout_and_the_others_live(self):
        for model in MODELS:
            with self.subTest(model=model):
                server = self.serve(model, "--max-memory", "2MiB", "--write-timeout", "500ms")
                reader = self.open(server)
                self.assertEqual(reader.result("ping", 1), 1)
                silent = self.silent(server, *[b'{"in":"big"}'] * 40)
                ends = select.poll()
                ends.register(silent.socket, 0)
                handoff.wait_for(lambda: ends.poll(0), "the silent client to be closed")
                self.assertEqual(len(reader.result("big")), 1_000_000)
                server.stop()


if __name__ == "__main__":
    handoff.run_tests()
