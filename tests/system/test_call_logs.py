# SPDX-License-Identifier: MIT
"""What is in the log of calls, and of what methods have written to their stderr: with several threads
and workers, with a queue, and when nobody reads the log."""

import collections
import os
import pathlib
import re
import select
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handoff import tool  # noqa: E402

MS = r"\d+\.\d{3} ms"
CLIENTS = 8
CALLS = 25


def call_from_many(server: handoff.Server, method: str) -> list[str]:
    """Makes CALLS calls on each of CLIENTS connections; returns the clients' addresses."""
    clients = [server.connect() for _ in range(CLIENTS)]

    def call_often(client):
        for _ in range(CALLS):
            client.result(method, 1)

    threads = [threading.Thread(target=call_often, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    addresses = [client.socket.getsockname() for client in clients]
    for client in clients:
        client.close()
    return [f"{host}:{port}" for host, port, *_ in addresses]


class CallLogs(handoff.TestCase):
    def check_lines(self, server: handoff.Server, program: str, method: str, peers: list[str]):
        """Each call of each client has one whole line."""
        pattern = re.compile(rf"{program}: call {method} from (\S+): ok, {MS}")

        def lines() -> list[str]:
            return [line for line in server.lines if f" call {method} from " in line]

        handoff.wait_for(lambda: len(lines()) == CLIENTS * CALLS, "a line for each call")
        matches = [pattern.fullmatch(line) for line in lines()]
        self.assertTrue(all(matches), lines())
        self.assertEqual(collections.Counter(match.group(1) for match in matches),
                         {peer: CALLS for peer in peers})

    def test_each_call_of_several_threads_has_one_whole_line(self):
        server = self.start(handoff.worker("--threads", "3", "--log-calls", "-k",
                                           "co=while read -r line; do echo 1; done"))
        for method in ("echo", "co"):
            with self.subTest(method):
                self.check_lines(server, "rpc-worker", method, call_from_many(server, method))

    def test_each_call_of_several_workers_has_one_line_with_the_number_of_its_worker(self):
        server = self.start(handoff.master("-p", "connection", workers=2,
                                           command=[tool("rpc-worker"), "--log-calls"]))
        peers = call_from_many(server, "echo")
        self.check_lines(server, r"rpc-worker\[[12]\]", "echo", peers)
        for number in (1, 2):
            server.wait_for_line(rf"^rpc-worker\[{number}\]: call echo from ")

    def test_each_call_of_a_queue_has_a_line_of_the_worker_with_the_address_of_the_client(self):
        server = self.start(handoff.master(
            "-p", "queue", workers=2,
            command=[tool("rpc-worker"), "--log-calls", "--threads", "2", "-k",
                     "co=while read -r line; do echo 1; done"]))
        peers = call_from_many(server, "co")
        self.check_lines(server, r"rpc-worker\[[12]\]", "co", peers)

    def test_each_call_of_a_queue_has_a_line_of_the_master_on_any_of_its_threads(self):
        for threads in ("1", "3"):
            with self.subTest(threads):
                server = self.start(handoff.master("-p", "queue", "--log-calls", "--io-threads",
                                                   threads, workers=1))
                peers = call_from_many(server, "echo")
                self.check_lines(server, "rpc-master", "echo", peers)

    def test_a_call_whose_worker_dies_is_an_error_in_the_log_of_a_master_with_a_queue(self):
        server = self.start(handoff.master("-p", "queue", "-v", workers=1,
                                           command=[tool("rpc-worker"), "-m", "die=kill -9 $PPID"]))
        with server.connect() as client:
            self.assertEqual(client.call("die")["result"]["code"], -32004)
        server.wait_for_line(rf"^rpc-master: call die from 127\.0\.0\.1:\d+: error -32004, {MS}$")

    def test_a_log_that_nobody_reads_keeps_no_client_waiting(self):
        log, log_writer = os.pipe()
        self.addCleanup(os.close, log)
        path = str(self.directory / "s")
        process = subprocess.Popen(
            [tool("rpc-worker"), "-l", path, "--log-calls", "--threads", "2", "-k",
             "co=while read -r line; do echo text >&2; echo 1; done"],
            stderr=log_writer, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(log_writer)
        handoff.wait_for(lambda: os.path.exists(path), "the socket")
        clients = [handoff.Connection(path) for _ in range(2)]
        for client in clients:
            self.addCleanup(client.close)
        # More than any pipe holds, which is read by nobody.
        for _ in range(1000):
            for client in clients:
                client.result("echo")
                client.result("co")
        self.assertIsNone(process.poll())
        text = ""
        while not re.search(r"(?m)^rpc-worker: \d+ lines were dropped: ", text):
            self.assertTrue(select.select([log], [], [], handoff.PATIENCE)[0], "no count of lines")
            text += os.read(log, 65536).decode()
        self.assertTrue(text.startswith("rpc-worker: ready, on "), text[:100])

    def test_stderr_of_methods_on_several_threads_is_in_whole_lines(self):
        server = self.start(handoff.worker("--threads", "3", "-m", "loud=echo some text >&2; echo 1"))
        clients = [server.connect() for _ in range(6)]
        for client in clients:
            client.send("loud")
        for client in clients:
            self.assertEqual(client.receive()["result"], 1)
            client.close()
        handoff.wait_for(lambda: len(server.lines) == 1 + len(clients), "a line for each call")
        self.assertEqual(set(server.lines[1:]), {"rpc-worker: method loud: some text"})


if __name__ == "__main__":
    handoff.run_tests()
