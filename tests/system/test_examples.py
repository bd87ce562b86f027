# SPDX-License-Identifier: MIT
"""The workers and clients of tests/examples, as their first lines say to run them."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

EXAMPLES = handoff.ROOT / "tests" / "examples"


def say(address, line: str) -> str:
    """What a server answers to one line."""
    with socket.create_connection(address, handoff.PATIENCE) as client:
        client.sendall(line.encode() + b"\n")
        client.shutdown(socket.SHUT_WR)
        return client.makefile().read().rstrip("\n")


class Examples(handoff.TestCase):
    def test_a_worker_in_python_serves_what_a_plain_master_passes(self):
        server = self.start(handoff.master("--handshake", "none",
                                           command=[str(EXAMPLES / "plain_worker.py")]))
        self.assertEqual([say(server.address, "hello") for _ in range(4)], ["HELLO"] * 4)

    def test_a_worker_in_shell_serves_what_a_plain_master_passes(self):
        path = {**os.environ, "PATH": f"{handoff.BIN}:{os.environ.get('PATH', os.defpath)}"}
        server = self.start(handoff.master("--handshake", "none", env=path,
                                           command=[str(EXAMPLES / "shell_worker")]))
        self.assertEqual([say(server.address, "hello") for _ in range(4)],
                         ["127.0.0.1: hello"] * 4)

    def test_a_full_worker_in_python_hands_its_connections_on_between_two_requests(self):
        control = str(self.directory / "control")
        server = self.start(handoff.master("-c", control,
                                           command=[str(EXAMPLES / "full_worker.py")]))
        with socket.create_connection(server.address, handoff.PATIENCE) as client:
            lines = client.makefile()
            client.sendall(b'{"in":"upper","params":"one"}\n{"in":"up')
            self.assertEqual(json.loads(lines.readline())["result"], "ONE")
            before = set(server.worker_pids())
            self.rpc_call(control, "reload")
            handoff.wait_for(lambda: before.isdisjoint(server.worker_pids()), "the old to leave")
            client.sendall(b'per","params":"two"}\n')
            self.assertEqual(json.loads(lines.readline())["result"], "TWO")
        status = json.loads(self.rpc_call(control, "status"))
        self.assertEqual((status["lost"], status["reloads"]), (0, 1))

    def test_a_full_worker_in_python_speaks_frames_and_reports_errors(self):
        server = self.start(handoff.master(command=[str(EXAMPLES / "full_worker.py")]))
        with handoff.Connection(server.address) as client:
            self.assertEqual(client.result("ping", [1]), [1])
            self.assertEqual(client.result("upper", "x" * 100000), "X" * 100000)
            self.assertEqual(client.call("nope")["result"]["code"], -32601)

    def clients(self):
        """The command of each client whose language is there."""
        for name, words in {"client.py": [sys.executable], "client.mjs": ["node"],
                            "client.rb": ["ruby"], "client.pl": ["perl"], "client.sh": ["sh"],
                            "client.go": ["go"]}.items():
            with self.subTest(name):
                if shutil.which(words[0]) is None:
                    self.skipTest(f"{words[0]} is not installed")
                if words == ["go"]:
                    yield [self.build_go(EXAMPLES / name)]
                else:
                    yield [*words, str(EXAMPLES / name)]

    def build_go(self, source: pathlib.Path) -> str:
        program = str(self.directory / source.stem)
        environment = {**os.environ, "GOCACHE": str(self.directory / "go"), "GO111MODULE": "off"}
        subprocess.run(["go", "build", "-o", program, str(source)], env=environment,
                       timeout=10 * handoff.PATIENCE, check=True)
        return program

    def test_clients_in_other_languages_print_results_and_fail_at_errors(self):
        path = str(self.directory / "socket")
        self.start(handoff.master("-l", path, command=[str(EXAMPLES / "full_worker.py")]))
        for command in self.clients():
            for method, params, expected in (("upper", '"one\\ntwo"', "ONE\nTWO"),
                                             ("ping", '{"a": [1, "b"]}', {"a": [1, "b"]})):
                done = subprocess.run([*command, path, method, params], text=True,
                                      capture_output=True, timeout=handoff.PATIENCE, check=True)
                self.assertEqual(json.loads(done.stdout), expected)
            done = subprocess.run([*command, path, "nope", "1"], text=True, check=False,
                                  capture_output=True, timeout=handoff.PATIENCE)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stdout, "")
            self.assertIn("no such method", done.stderr)

    def rpc_call(self, *words: str) -> str:
        return subprocess.run([handoff.tool("rpc-call"), *words], text=True, capture_output=True,
                              timeout=handoff.PATIENCE, check=True).stdout


if __name__ == "__main__":
    handoff.run_tests()
