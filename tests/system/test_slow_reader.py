#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients whose stdout is read late, or not at all for a while: no result is lost, and no time is
measured wrongly. What a client has read is seen at the server's end of a Unix socket: the kernel
tells how much of what was sent is still unread."""

import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

CALLS = 8
LARGE = "x" * 500_000  # neither a pipe nor a socket has room for it


class SlowReader(handoff.TestCase):
    def listen(self, name="s"):
        listener = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.directory / name))
        listener.listen()
        return listener

    def accept(self, listener) -> handoff.Connection:
        listener.settimeout(handoff.PATIENCE)
        connection, _ = listener.accept()
        connection.settimeout(handoff.PATIENCE)
        return self.stack.enter_context(handoff.Connection(connection))

    def run_tool(self, name, *words, lines=None, **popen):
        process = subprocess.Popen([handoff.tool(name), *words], cwd=self.directory, text=True,
                                   stdin=subprocess.PIPE if lines is not None else subprocess.DEVNULL,
                                   **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen})
        self.stack.callback(self.end, process)
        if lines is not None:
            self.feed(process, lines)
        return process

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def feed(self, process, lines):
        def write():
            try:
                with process.stdin as stdin:
                    stdin.writelines(line + "\n" for line in lines)
            except BrokenPipeError:
                pass  # it ended before it had read all

        thread = threading.Thread(target=write)
        self.stack.callback(thread.join)
        thread.start()

    def finish(self, process):
        """What it wrote to stdout and stderr, and its status."""
        stdout, stderr = process.stdout.read(), process.stderr.read()
        return stdout, stderr, process.wait(handoff.PATIENCE)


class Calls(SlowReader):
    def request(self, client):
        header = client.read(4)
        return json.loads(client.read(struct.unpack("<I", header)[0]))

    def reply_to(self, client, request, result):
        if "jsonrpc" in request:
            reply = {"jsonrpc": "2.0", "result": result, "id": request["id"]}
        else:
            reply = {"out": request["in"], "result": result}
        client.send_body(json.dumps(reply, separators=(",", ":")).encode())

    def test_replies_are_read_while_stdout_is_not_read(self):
        """So the deadline of a call measures the server, and never the reader of stdout."""
        for options in ((), ("--jsonrpc",), ("--full",), ("--pipeline", "3")):
            with self.subTest(options):
                listener = self.listen(f"s{len(options)}{''.join(options)}")
                call = self.run_tool("rpc-call", *options, listener.getsockname(), "echo", "-",
                                     lines=["[]"] * CALLS)
                client = self.accept(listener)
                ahead = 3 if "--pipeline" in options else CALLS
                for _ in range(ahead):
                    self.reply_to(client, self.request(client), LARGE)
                handoff.wait_for(lambda: handoff.unread(client.socket, termios.TIOCOUTQ) == 0,
                                 "rpc-call to read all replies")
                self.assertGreater(handoff.wait_for(lambda: handoff.unread(call.stdout), "output"), 0)
                served = threading.Thread(
                    target=lambda: [self.reply_to(client, self.request(client), LARGE)
                                    for _ in range(CALLS - ahead)])
                served.start()
                stdout, stderr, status = self.finish(call)
                served.join()
                self.assertEqual((stderr, status), ("", 0))
                results = [json.loads(line) for line in stdout.splitlines()]
                if "--full" in options:
                    results = [reply["result"] for reply in results]
                self.assertEqual([len(result) for result in results], [len(LARGE)] * CALLS)

    def test_no_call_is_made_ahead_of_an_output_that_is_stuck(self):
        """All replies are kept until they can be written, so their number is limited."""
        listener = self.listen()
        call = self.run_tool("rpc-call", "--pipeline", "2", "./s", "echo", "-", lines=["1"] * 5)
        client = self.accept(listener)
        for _ in range(2):
            self.reply_to(client, self.request(client), LARGE)
        handoff.wait_for(lambda: handoff.unread(client.socket, termios.TIOCOUTQ) == 0, "the replies to be read")
        self.assertEqual(handoff.unread(client.socket), 0, "no third request while stdout is stuck")
        served = threading.Thread(
            target=lambda: [self.reply_to(client, self.request(client), 3) for _ in range(3)])
        served.start()
        stdout, stderr, status = self.finish(call)
        served.join()
        self.assertEqual((stdout.splitlines()[2:], stderr, status), (["3", "3", "3"], "", 0))

    def test_what_was_read_is_printed_before_a_malformed_reply_ends_it(self):
        listener = self.listen()
        call = self.run_tool("rpc-call", "./s", "echo", "-", lines=["1", "2", "3"])
        client = self.accept(listener)
        for _ in range(3):
            self.request(client)
        client.socket.sendall(handoff.frame(b'{"out":"echo","result":1}') +
                              handoff.frame(b'{"out":"echo","result":2}') + handoff.frame(b"{"))
        stdout, stderr, status = self.finish(call)
        self.assertEqual((stdout, status), ("1\n2\n", 4))
        self.assertEqual(len(stderr.splitlines()), 1, stderr)

    def test_what_was_read_is_printed_when_the_server_has_left_before_it_took_all(self):
        listener = self.listen()
        lines = [json.dumps(LARGE)] * CALLS  # more than the socket has room for: it is still sending
        call = self.run_tool("rpc-call", "./s", "echo", "-", lines=lines)
        client = self.accept(listener)
        listener.close()
        self.reply_to(client, self.request(client), LARGE)
        client.close()
        stdout, stderr, status = self.finish(call)
        self.assertEqual(len(stdout), len(LARGE) + 3)
        # If the second call was not begun by then, it finds no server on another connection.
        self.assertIn(status, (3, 4), stderr)
        self.assertEqual(len(stderr.splitlines()), 1, stderr)

    def test_early_replies_are_printed_when_the_one_ahead_of_them_never_comes(self):
        listener = self.listen()
        call = self.run_tool("rpc-call", "--jsonrpc", "./s", "echo", "-",
                             lines=["[1]", "[2]", "no JSON", "[4]", "[5]"])
        client = self.accept(listener)
        requests = [self.request(client) for _ in range(4)]
        self.reply_to(client, requests[1], 2)
        self.reply_to(client, requests[2], 4)
        client.close()
        stdout, stderr, status = self.finish(call)
        self.assertEqual((stdout, status), ("null\n2\nnull\n4\n", 4))
        self.assertRegex(stderr, r"(?s)line 3 of stdin: not JSON.*the server closed the connection")

    def test_a_stdout_that_does_not_block_gets_everything(self):
        """Another process that shares it may have set O_NONBLOCK."""
        for words, lines in ((("[]",), None), (("-",), ["[]"])):
            with self.subTest(words):
                listener = self.listen(f"s{words[0]}")
                read_end, write_end = os.pipe()
                reader = self.stack.enter_context(open(read_end, "rb"))
                os.set_blocking(write_end, False)
                call = self.run_tool("rpc-call", listener.getsockname(), "echo", *words, lines=lines,
                                     stdout=write_end)
                os.close(write_end)
                client = self.accept(listener)
                self.reply_to(client, self.request(client), LARGE)
                handoff.wait_for(lambda: handoff.unread(reader) > 0, "output")
                self.assertEqual(len(reader.read()), len(LARGE) + 3)
                self.assertEqual((call.stderr.read(), call.wait(handoff.PATIENCE)), ("", 0))


class Pings(SlowReader):
    def setUp(self):
        super().setUp()
        self.start(handoff.worker("-l", str(self.directory / "fast")))

    def ping(self, *words):
        read_end, write_end = os.pipe()
        self.reader = self.stack.enter_context(open(read_end, "rb"))
        self.writer = self.stack.enter_context(open(write_end, "wb"))
        return self.run_tool("rpc-ping", "-J", "-W", "10m", *words, stdout=self.writer)

    def wait_until_stdout_is_full(self):
        handoff.wait_for(lambda: not select.select([], [self.writer], [], 0)[1], "stdout to be full")

    def wait_until_no_probe_arrives(self, server):
        """A flood sends a hundred a second, so that so many looks without one are far more than a pause."""
        counts = []

        def is_quiet():
            counts.append(handoff.unread(server.socket))
            return len(counts) > 50 and len(set(counts[-50:])) == 1

        handoff.wait_for(is_quiet, "probing to pause")

    def read_to_end(self):
        self.writer.close()
        return [json.loads(line) for line in self.reader]

    def test_a_reply_is_read_in_time_while_stdout_is_full(self):
        """Otherwise its time would depend on the reader, or it would count as lost."""
        listener = self.listen()
        ping = self.ping("-f", "./fast", "./s")
        late = self.accept(listener)
        request = json.loads(late.read(struct.unpack("<I", late.read(4))[0]))
        self.wait_until_stdout_is_full()
        self.wait_until_no_probe_arrives(late)
        late.send_body(json.dumps({"out": "pong", "result": request["params"]}).encode())
        handoff.wait_for(lambda: handoff.unread(late.socket, termios.TIOCOUTQ) == 0,
                         "rpc-ping to read the reply")
        ping.send_signal(signal.SIGINT)
        lines = self.read_to_end()
        self.assertEqual((ping.stderr.read(), ping.wait(handoff.PATIENCE)), ("", 0))
        self.assertEqual([line["seq"] for line in lines
                          if line["type"] == "pong" and line["address"] == "./s"], [1])
        fast = [line for line in lines if line["address"] == "./fast"]
        summary = fast.pop()
        self.assertEqual([line["seq"] for line in fast], list(range(1, len(fast) + 1)))
        self.assertEqual((summary["type"], summary["received"]), ("summary", len(fast)))

    def test_probing_goes_on_when_stdout_takes_something_again(self):
        for pace in (["-f"], ["-A"], ["-i", "100us"], ["--rate", "10000"], ["-f", "--reconnect"]):
            with self.subTest(pace):
                ping = self.ping(*pace, "./fast")
                self.wait_until_stdout_is_full()
                for _ in range(4000):  # far more than are kept
                    self.assertEqual(json.loads(self.reader.readline())["type"], "pong")
                self.end(ping)

    def test_a_signal_ends_it_although_stdout_takes_nothing(self):
        ping = self.ping("-f", "./fast")
        self.wait_until_stdout_is_full()
        handoff.wait_for(lambda: ping.poll() is not None or ping.send_signal(signal.SIGINT),
                         "rpc-ping to end")
        self.assertEqual((ping.stderr.read(), ping.returncode), ("", 0))


class Receipts(SlowReader):
    def test_a_stdout_that_does_not_block_gets_each_descriptor_that_was_confirmed(self):
        read_end, write_end = os.pipe()
        reader = self.stack.enter_context(open(read_end))
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(write_end, False)
        receiver = self.run_tool("fdrecv", "--json", "./r", stdout=write_end)
        sender = self.run_tool("fdsend", "--wait", "--ack", "./r", *["0"] * 200)
        handoff.wait_for(lambda: not select.select([], [write_end], [], 0)[1], "stdout to be full")
        os.close(write_end)
        lines = [json.loads(line) for line in reader]
        self.assertEqual([line["type"] for line in lines], ["character device"] * 200)
        self.assertEqual((sender.stderr.read(), sender.wait(handoff.PATIENCE)), ("", 0))
        self.assertEqual((receiver.stderr.read(), receiver.wait(handoff.PATIENCE)), ("", 0))


if __name__ == "__main__":
    handoff.run_tests()
