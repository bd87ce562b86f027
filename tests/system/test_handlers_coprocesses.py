# SPDX-License-Identifier: MIT
"""Coprocesses: lines that are late, doubled, cut or no JSON, ends in the middle, and pools."""

import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import AMPLE, FAILED, HandlerCase, TIMED_OUT, in_threads, lines_of  # noqa: E402


class Coprocesses(HandlerCase):
    ECHO = 'while read -r line; do {} echo "$line"; done'

    def coprocess(self, command: str, *options: str) -> handoff.Server:
        return self.worker(*(options or AMPLE), "-k", f"x={command}")

    def test_one_that_ends_in_mid_request_is_an_error_and_the_next_call_gets_another(self):
        client = self.open(self.coprocess(self.ECHO.format(
            'case $line in 1) exit 1;; 2) kill -9 $$;; 3) printf 3; exit 0;; 4) exit;; esac;')))
        for number, data in ((1, {"status": 1}), (2, {"signal": 9}), (3, {"status": 0}),
                             (4, {"status": 0})):
            self.assertEqual(client.result("x", 7), 7)
            reply = client.call("x", number)
            self.assert_error(reply, FAILED, "^the coprocess ended: ")
            self.assertEqual(reply["result"]["data"], {**data, "stderr": ""})
        self.assertEqual(client.result("x", "fresh"), "fresh")
        self.assertEqual(len(self.handlers_left()), 1)

    def test_an_answer_after_the_deadline_is_nobodys(self):
        gate = self.make_gate()
        answer = f"{gate.words}; echo 666"
        client = self.open(self.coprocess(self.ECHO.format(
            f"case $line in 1) {answer};; 2) (setsid sh -c '{answer}' &); sleep 999;; "
            f"3) ({answer}) & continue;; esac;"), "--timeout", "600ms"))
        for number in (1, 2, 3):
            client.send("x", number)
            gate.wait_for_one()
            self.assert_error(client.receive(), TIMED_OUT)
            self.assert_nothing_left()
            for next_number in (4, 5):
                self.assertEqual(client.result("x", next_number), next_number)
        gate.open()
        self.assertEqual(client.result("x", 6), 6)
        self.assertTrue(gate.is_open())

    def test_answers_about_the_deadline_are_right_or_none(self):
        late = self.script("late", """
import json, sys, time
for line in sys.stdin:
    time.sleep(json.loads(line)[1])
    print(line, end="", flush=True)
""")
        server = self.coprocess(late, "--timeout", "80ms", "--pool", "4")
        outcomes = set()

        def client():
            with server.connect() as connection:
                for number in range(8):
                    params = [f"{threading.get_ident()} {number}", random.uniform(0.03, 0.09)]
                    reply = connection.call("x", params)
                    if reply["out"] == "error":
                        self.assert_error(reply, TIMED_OUT)
                    else:
                        self.assertEqual(reply["result"], params)
                    outcomes.add(reply["out"])

        in_threads([client] * 4)
        self.assertIn("error", outcomes)

    def test_two_lines_for_one_call_are_an_error(self):
        client = self.open(self.coprocess(self.ECHO.format(
            r"""case $line in 1) printf '1\n666\n'; continue;; 2) printf '2\n6'; continue;;
                3) printf '\n\n'; continue;; esac;""")))
        for _ in range(2):
            for number in (1, 2, 3):
                self.assert_error(client.call("x", number), FAILED, "more than one line")
                for next_number in (4, 5):
                    self.assertEqual(client.result("x", next_number), next_number)
            self.assert_error(client.call("x", 1), FAILED, "more than one line")

    def test_a_second_line_that_follows_at_once_spoils_the_first_call(self):
        server = self.coprocess(self.ECHO.format("echo 1;"))
        client = self.open(server)
        reply = client.call("x", 2)
        if reply["out"] != "error":  # a machine so busy that the second came much later
            self.assertEqual(reply["result"], 1)

    def test_a_line_between_two_calls_is_nobodys(self):
        gate, written = self.make_gate("gate"), self.make_gate("written")
        client = self.open(self.coprocess(self.ECHO.format(
            f"case $line in 1) echo 1; {gate.words}; echo 666; {written.words};; esac;")))
        for _ in range(3):
            self.assertEqual(client.result("x", 1), 1)
            gate.wait_for_one()
            gate.open()
            written.wait_for_one()
            self.assertEqual(client.result("x", 2), 2)

    def test_a_line_that_is_no_json_is_an_error_and_the_coprocess_is_replaced(self):
        client = self.open(self.coprocess(
            "echo started >&2; n=0; while read -r line; do n=$((n + 1)); "
            'case $line in 0) echo garbage;; 1) echo;; *) echo $n;; esac; done'))
        self.assertEqual([client.result("x", 5), client.result("x", 5)], [1, 2])
        for bad in (0, 1):
            self.assert_error(client.call("x", bad), FAILED, "the coprocess's line is not JSON")
            self.assertEqual([client.result("x", 5), client.result("x", 5)], [1, 2])

    def test_a_line_in_pieces_is_one_answer_and_a_part_is_none(self):
        gate = self.make_gate()
        client = self.open(self.coprocess(self.ECHO.format(
            f"""case $line in 1) for piece in '[' 12 '3, "' x '"'; do printf '%s' "$piece";
                {gate.words}; done; echo ']'; continue;; esac;""")))
        client.send("x", 1)
        for _ in range(5):
            gate.wait_for_one()
            gate.open()
        self.assertEqual(client.receive()["result"], [123, "x"])
        client = self.open(self.coprocess(self.ECHO.format(
            """case $line in 2) printf '"par'; sleep 999;; esac;"""), "--timeout", "400ms"))
        self.assert_error(client.call("x", 2), TIMED_OUT, "no whole line")
        self.assertEqual(client.result("x", 3), 3)
        self.assertEqual(len(self.handlers_left()), 2)

    def test_a_line_over_the_limit_is_an_error(self):
        line = "printf '\"'; head -c {} /dev/zero | tr '\\0' 7; echo '\"'"
        client = self.open(self.coprocess(self.ECHO.format(
            f"case $line in 1) {line.format(1900)}; continue;; 2) {line.format(1999)}; continue;; "
            f"3) {line.format(100000)}; continue;; esac;"), *AMPLE, "--max-frame", "2000"))
        for number in (2, 3):
            self.assertEqual(client.result("x", 1), "7" * 1900)
            self.assert_error(client.call("x", number), FAILED, "exceeds the limit of 2000 bytes")
        self.assertEqual(client.result("x", 4), 4)

    def test_one_that_has_ended_between_two_calls_is_replaced_without_a_word(self):
        client = self.open(self.coprocess("read -r line; echo $$"))
        pids = set()
        for _ in range(10):
            pid = client.result("x")
            pids.add(pid)
            handoff.wait_for(lambda: not handoff.alive(pid), "the coprocess to end")
        self.assertEqual(len(pids), 10)

    def test_one_that_was_killed_between_two_calls_is_replaced_without_a_word(self):
        client = self.open(self.coprocess(self.ECHO.format("line=$$;")))
        for _ in range(10):
            pid = client.result("x")
            self.assertEqual(client.result("x"), pid)
            os.kill(pid, signal.SIGKILL)
            handoff.wait_for(lambda: not handoff.alive(pid), "the coprocess to end")

    def test_one_that_buffers_its_output_is_told_of_stdbuf(self):
        server = self.worker("--timeout", "400ms", "-k", "buffers=grep .",
                             "-k", "flushes=stdbuf -oL grep .")
        client = self.open(server)
        self.assert_error(client.call("buffers", 1), TIMED_OUT, "`stdbuf -oL`")
        handoff.wait_for(lambda: client.call("flushes", 2).get("result") == 2, "its answer")
        self.assertEqual(client.result("flushes", 3), 3)

    def test_one_that_closes_its_output_and_lives_on_is_an_error(self):
        client = self.open(self.coprocess(self.ECHO.format(
            "case $line in 1) exec >&-; sleep 999;; 2) exec >&- 2>&- <&-; sleep 998;; esac;")))
        for number in (1, 2):
            self.assertEqual(client.result("x", 5), 5)
            self.assert_error(client.call("x", number), FAILED, "closed its output")
            self.assert_nothing_left()
        self.assertEqual(client.result("x", 5), 5)

    def test_one_that_closes_its_output_between_two_calls_is_replaced_without_a_word(self):
        gate, closed = self.make_gate("gate"), self.make_gate("closed")
        client = self.open(self.coprocess(
            f'read -r line; echo "$line"; {gate.words}; exec >&-; {closed.words}'))
        for number in range(3):
            self.assertEqual(client.result("x", number), number)
            gate.open()
            closed.wait_for_one()

    def test_one_that_ignores_its_stdin_is_ended_at_its_deadline(self):
        server = self.coprocess("sleep 999", "--timeout", "400ms")
        client, other = self.open(server), self.open(server)
        for params in (1, "x" * 900000):
            client.send("x", params)
            self.assertEqual(other.result("ping", 1), 1)
            self.assert_error(client.receive(), TIMED_OUT, "wrote nothing in time")
            self.assert_nothing_left()

    def test_one_that_reads_slowly_gets_all_and_may_answer_before(self):
        gate = self.make_gate()
        client = self.open(self.coprocess(
            f"{gate.words}; head -n 1 | wc -c; head -c 1 >&2; {gate.words}; echo 5; sleep 999"))
        # The second answer comes before its question was read, so the third has a fresh one.
        for params, result in (("y" * 900000, 900003), ("y" * 900000, 5), ([], 3)):
            client.send("x", params)
            gate.wait_for_one()
            gate.open()
            self.assertEqual(client.receive()["result"], result)

    def test_params_are_one_line_whatever_their_white_space(self):
        client = self.open(self.coprocess("cat"))
        for params, line in ((b'{\n "a b":\r\n\t[1 ,\n"\\n"]\n}', {"a b": [1, "\n"]}),
                             (b"\n\n1", 1), (b'"\\u000a \\r\\n"', "\n \r\n"), (b"[ ]", [])):
            client.send_body(b'{"in":"x","params":' + params + b"}")
            self.assertEqual(client.receive()["result"], line)
        client.send_body(b'{"in":"x"}')
        self.assertEqual(client.receive()["result"], None)

    def test_a_carriage_return_before_the_newline_is_no_part_of_the_answer(self):
        client = self.open(self.coprocess(r"""while read -r line; do printf '"a"\r\n'; done"""))
        self.assertEqual([client.result("x"), client.result("x")], ["a", "a"])

    def test_three_of_a_pool_run_at_a_time_and_the_fourth_call_waits(self):
        gate, began = self.make_gate(), self.directory / "began"
        server = self.coprocess(self.ECHO.format(f'echo "$line $$" >>{began}; {gate.words};'),
                                *AMPLE, "--pool", "3")
        client = self.open(server)
        for number in range(4):
            client.send("x", number, id=number)
        handoff.wait_for(lambda: len(lines_of(began)) == 3, "three calls to begin")
        self.assertEqual(client.call("ping", id=9)["id"], 9)
        self.assertEqual(len(handoff.children(server.pid)), 3)
        self.assertEqual(len(lines_of(began)), 3)
        gate.open()
        replies = [client.receive()]
        handoff.wait_for(lambda: len(lines_of(began)) == 4, "the fourth call to begin")
        self.assertEqual(lines_of(began)[3].split()[0], "3")
        for _ in range(3):
            gate.open()
            replies.append(client.receive())
        self.assertEqual(sorted(reply["result"] for reply in replies), [0, 1, 2, 3])
        for reply in replies:
            self.assertEqual(reply["result"], reply["id"])
        self.assertEqual(len({line.split()[1] for line in lines_of(began)}), 3)

    def test_each_of_2000_calls_at_a_time_gets_the_reply_to_its_own_params(self):
        server = self.worker(*AMPLE, "-C", "2000", "-k", "x=exec cat", "--pool", "4")
        clients = [self.open(server) for _ in range(20)]
        for client_number, client in enumerate(clients):
            requests = [{"in": "x", "params": [client_number, number, "x" * number]}
                        for number in range(100)]
            if client_number % 2:
                requests = [{**request, "id": id} for id, request in enumerate(requests)]
            client.socket.sendall(b"".join(
                handoff.frame(json.dumps(request).encode()) for request in requests))
        for client_number, client in enumerate(clients):
            replies = [client.receive() for _ in range(100)]
            self.assertEqual({reply["out"] for reply in replies}, {"x"})
            if client_number % 2:
                replies.sort(key=lambda reply: reply["id"])
            self.assertEqual([reply["result"] for reply in replies],
                             [[client_number, number, "x" * number] for number in range(100)])
        self.assertEqual(len(self.handlers_left()), 4)

    def test_with_one_that_dies_at_random_each_reply_is_the_right_one_or_an_error(self):
        dies = self.script("dies", """
import os, random, sys
for line in sys.stdin.buffer:
    chance = random.random()
    if chance < 0.02: os._exit(1)
    if chance < 0.04: os.kill(os.getpid(), 9)
    if chance < 0.06: line = line[:-4]
    while line:
        line = line[os.write(1, line[:1 + int(chance * 100)]):]
    if chance < 0.10: os._exit(0)
""")
        server = self.coprocess(dies, *AMPLE, "--pool", "4")
        outcomes = []
        done = threading.Event()

        def client():
            with server.connect() as connection:
                for number in range(handoff.count(1000, 25)):
                    params = f"{threading.get_ident()} {number} " + "y" * random.randrange(50)
                    reply = connection.call("x", params)
                    if reply["out"] == "error":
                        self.assert_error(reply, FAILED)
                    else:
                        self.assertEqual(reply["result"], params)
                    outcomes.append(reply["out"])

        def killer():
            enough = 0
            while not done.wait(0.002):
                if len(outcomes) >= enough:
                    enough = len(outcomes) + 20
                    for pid in handoff.children(server.pid)[:1]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            in_threads([client] * 16)
        finally:
            done.set()
            thread.join()
        self.assertEqual(set(outcomes), {"x", "error"})
        self.assertGreater(outcomes.count("x"), len(outcomes) / 3)
        self.assertEqual(self.open(server).result("ping", 1), 1)


if __name__ == "__main__":
    handoff.run_tests()
