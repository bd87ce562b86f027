# SPDX-License-Identifier: MIT
"""--pass queue: the master serves the clients, and gives their requests to workers through shared
memory. What clients see of it: all dialects, the order, limits."""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from queue_case import (  # noqa: E402
    HANDLER_FAILED, MIB, QUICK, QueueTest, TIMED_OUT, WORKER, answers, clients_of)


class Serving(QueueTest):
    def test_clients_can_not_tell_it_from_a_worker_alone(self):
        methods = ["-m", "sum=jq -c add", "-m", "fails=echo oops >&2; exit 3",
                   "-m", 'about=printf \'"%s %s"\' "$RPC_METHOD" "${RPC_ID-none}"']
        frames = [b'{"in":"ping","params":[1,{"a":null}]}', b'{"in":"echo"}', b'{"in":"none"}',
                  b'{"in":"ping","params":"x","id":"one"}', b'{"in":"sum","params":[1,2.5],"id":7}',
                  b'{"in":"fails"}', b'{"in":"about","id":"\\u00e9"}', b'{"in":1}', b'{', b'[]',
                  b'{"jsonrpc":"2.0","method":"sum","params":[4],"id":null}', b'{"in":"about"}',
                  b'{"jsonrpc":"2.0","method":"ping","params":[1]}', b"nothing",
                  b'{"jsonrpc":"2.0","method":"none","id":1}',
                  b'[{"jsonrpc":"2.0","method":"ping","id":1},3]',
                  b'[{"jsonrpc":"2.0","method":"ping"}]', b'{"in":"ping","params":"last"}']
        alone = self.start(handoff.worker(*methods))
        server = self.launch(command=[WORKER, *methods])
        for body in frames:
            with self.subTest(body):
                for sent in (handoff.frame(body), body + b"\n"):
                    replies = answers(server.address, sent), answers(alone.address, sent)
                    if body.startswith(b"[{") and replies[0]:  # in any order
                        replies = [sorted(map(str, json.loads(reply[reply.index(b"["):])))
                                   for reply in replies]
                    self.assertEqual(*replies)

    def test_a_handler_knows_its_client(self):
        server = self.launch(command=[WORKER, "-m", 'peer=printf \'"%s"\' "$RPC_PEER"'])
        client = self.open(server)
        host, port = client.socket.getsockname()
        self.assertEqual(client.result("peer"), f"{host}:{port}")

    def test_a_reply_of_many_lines_is_one_line_to_those_who_want_lines(self):
        server = self.launch(command=[WORKER, "-m", 'pretty=printf \'{\\n "a": [1,\\n2]\\n}\\n\''])
        self.assertEqual(answers(server.address, b'{"in":"pretty"}\n').count(b"\n"), 1)

    def test_replies_without_ids_keep_the_order_whichever_worker_is_quicker(self):
        gate = self.gate()
        server = self.launch(command=[WORKER, "-C", "1", "-m", "slow=" + self.waiting_at(gate)])
        client, other = self.clients(server, 2)
        client.send("slow")
        self.wait_for_queue(running=1)
        for number in range(100):
            client.send("ping", number)
        for number in range(100):
            self.assertEqual(other.result("ping", number), number)
        client.send("ping", "overtakes", id="x")
        self.assertEqual(client.receive(), {"out": "pong", "result": "overtakes", "id": "x"})
        self.assert_unanswered([client])
        self.open_gate(gate)
        self.assertEqual(client.receive(), {"out": "slow", "result": "opened"})
        for number in range(100):
            self.assertEqual(client.receive(), {"out": "pong", "result": number})

    def test_the_oldest_goes_to_the_next_worker_that_is_free(self):
        gate = self.gate()
        log = self.path("log")
        server = self.launch(workers=1, command=[
            WORKER, "-C", "1", "-m", "slow=" + self.waiting_at(gate),
            "-m", f"log=cat >>{log}; echo >>{log}"])
        blocking, *clients = self.clients(server, 21)
        blocking.send("slow")
        self.wait_for_queue(running=1)
        for number, client in enumerate(clients):
            client.send("log", number)
            self.wait_for_queue(running=1, waiting=number + 1)
        self.open_gate(gate)
        for client in clients:
            client.receive()
        lines = pathlib.Path(log).read_text().split()
        self.assertEqual(lines, [str(number) for number in range(20)])

    def test_a_worker_that_is_slow_gets_what_it_can_do_and_others_take_the_rest(self):
        gate = self.gate()
        server = self.launch(workers=3,
                             command=[WORKER, "-C", "1", "-m", "slow=" + self.waiting_at(gate)])
        blocking = self.open(server)
        blocking.send("slow")
        self.wait_for_queue(running=1)
        with clients_of(server.address, calls=800, ahead=8) as load:
            load.join()
        self.assertEqual(load.problems, [])
        self.assert_unanswered([blocking], 0)
        self.open_gate(gate)
        self.assertEqual(blocking.receive()["result"], "opened")

    def test_no_worker_has_more_calls_than_it_said(self):
        gate = self.gate()
        server = self.launch(workers=2,
                             command=[WORKER, "-C", "3", "-m", "slow=" + self.waiting_at(gate)])
        clients = self.clients(server, 10)
        for client in clients:
            client.send("slow")
        self.wait_for_queue(running=6, waiting=4)
        for pid in server.worker_pids():
            handoff.wait_for(lambda: len(handoff.children(pid)) == 3, "three commands", QUICK)
        self.assert_unanswered(clients)
        self.open_gate(gate)
        self.assertEqual([client.receive()["result"] for client in clients], ["opened"] * 10)

    def test_long_requests_run_at_a_time_as_short_ones_do(self):
        """A worker that has read what it has can be given more at once, also by a master that
        sleeps."""
        gate = self.gate()
        started = self.path("started.")
        server = self.launch(workers=1, command=[
            WORKER, "-C", "8", "-m",
            f"slow=cat >/dev/null; : >{started}$$; {self.waiting_at(gate)}"])
        (pid,) = server.worker_pids()
        handoff.stop_process(pid)
        clients = self.clients(server, 6)
        for client in clients:
            client.send("slow", "x" * 900_000)
        handoff.wait_for(lambda: sum(self.queue()[what] for what in ("waiting", "running")) == 6,
                         "six requests to be in the queue", QUICK)
        os.kill(pid, signal.SIGCONT)
        # Without asking the master, which would wake it.
        handoff.wait_for(lambda: len(list(self.directory.glob("started.*"))) == 6,
                         "six long requests to run", QUICK)
        self.open_gate(gate)
        self.assertEqual([client.receive()["result"] for client in clients], ["opened"] * 6)

    def test_bodies_may_be_as_long_as_a_frame(self):
        for size, options in ((MIB, []), (8 * MIB, ["--max-frame", "8MiB"])):
            with self.subTest(size):
                self.control = self.path(f"control-{size}")
                server = self.launch(*options, command=[WORKER, *options])
                client = self.open(server)
                body = b'{"in":"echo","params":"%s"}'
                text = b"x" * (size - len(body % b""))
                for _ in range(5):
                    client.send_body(body % text)
                    # What is not in the request is in the reply.
                    reply = client.receive()
                    self.assert_error(reply, HANDLER_FAILED)
                    shorter = text[:-10]
                    client.send_body(body % shorter)
                    self.assertTrue(client.receive() ==
                                    {"out": "echo", "result": shorter.decode()})
                many = self.clients(server, 6)
                for number, other in enumerate(many):
                    other.send_body(body % (b"%d" % number + shorter[1:]))
                for number, other in enumerate(many):
                    self.assertTrue(other.receive()["result"].startswith(f"{number}xx"))

    def test_a_reply_that_is_too_long_is_an_error_and_the_connection_lives_on(self):
        make = "head -c {} /dev/zero | tr '\\0' x | sed 's/.*/\"&\"/'"
        server = self.launch("--max-frame", "100000", command=[
            WORKER, "-m", "big=" + make.format(99_995), "-m", "bigger=" + make.format(300_000),
            "-m", "fits=" + make.format(99_000)])
        client = self.open(server)
        for _ in range(3):
            self.assert_error(client.call("big"), HANDLER_FAILED)
            self.assert_error(client.call("bigger"), HANDLER_FAILED)
            self.assertEqual(client.result("fits"), "x" * 99_000)
            self.assertEqual(client.result("ping", 1), 1)
        self.wait_for_queue(waiting=0, running=0)

    def test_a_call_that_takes_too_long_is_an_error_and_its_place_is_free_again(self):
        server = self.launch("--timeout", "300ms", "--queue-limit", "4",
                             command=[WORKER, "-m", "hangs=sleep 1000"])
        clients = self.clients(server, 4)
        for _ in range(2):
            for client in clients:
                client.send("hangs")
            for client in clients:
                self.assert_error(client.receive(), TIMED_OUT)
        self.wait_for_queue(waiting=0, running=0, late=0)

    def test_what_waits_for_a_worker_too_long_is_an_error(self):
        server = self.launch("--timeout", "300ms", workers=1, command=[WORKER, "-C", "1"])
        (pid,) = server.worker_pids()
        handoff.stop_process(pid)
        clients = self.clients(server, 5)
        for client in clients:
            client.send("ping")
        for client in clients:
            self.assert_error(client.receive(), TIMED_OUT)
        os.kill(pid, signal.SIGCONT)
        self.wait_for_queue(running=0, late=1)
        self.assertEqual(clients[0].result("ping", 1), 1)
        self.assertEqual(self.queue()["late"], 1)

    def test_a_client_that_goes_leaves_nothing_behind(self):
        server = self.launch("--queue-limit", "4", command=[
            WORKER, "-m", f"slow=read n; {self.waiting_at(self.path('gate$n'))}"])
        for number in range(3):
            gate = self.gate(f"gate{number}")
            clients = self.clients(server, 4)
            for client in clients:
                client.send("slow", number)
            self.wait_for_queue(running=4)
            for client in clients:
                client.close()
            self.open_gate(gate)
            self.wait_for_queue(waiting=0, running=0)
        self.assert_whole(server, 4)

    def test_options_of_the_queue_are_refused_without_it(self):
        for options in (["--idempotent", "ping"], ["--queue-limit", "5"], ["--timeout", "1s"],
                        ["--max-frame", "1000"]):
            for model in ("connection", "listener"):
                with self.subTest(options + [model]):
                    done = subprocess.run(
                        [handoff.tool("rpc-master"), "--pass", model, "-l", "127.0.0.1:0",
                         *options, "--", WORKER], capture_output=True, text=True,
                        timeout=handoff.PATIENCE)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertRegex(done.stderr, f"^rpc-master: {options[0]}.*queue.*\n$")

    def test_options_that_do_not_go_with_it_are_refused(self):
        for options in (["--handshake", "none"], ["--balance", "least"], ["--queue-limit", "0"]):
            with self.subTest(options):
                done = subprocess.run(
                    [handoff.tool("rpc-master"), "--pass", "queue", "-l", "127.0.0.1:0", *options,
                     "--", WORKER], capture_output=True, text=True, timeout=handoff.PATIENCE)
                self.assertEqual(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    handoff.run_tests()
