#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Paths and words that are no UTF-8. A path is any bytes, and works; what JSON must carry is refused,
and never changed."""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import handoff

NAME = b"caf\xe9"


class Words(handoff.TestCase):
    def refuses(self, *words: bytes | str) -> str:
        done = subprocess.run([handoff.tool(words[0]), *words[1:]], cwd=self.directory,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (2, b""), done)
        return done.stderr.decode()

    def test_a_word_of_a_call_that_is_no_utf8_is_refused(self):
        for words, object_ in ((["echo", b"file=" + NAME], r"params file=caf\xe9"),
                               (["echo", NAME + b"=1"], r"params caf\xe9=1"),
                               ([NAME], r"METHOD caf\xe9")):
            with self.subTest(object_):
                self.assertEqual(
                    self.refuses("rpc-call", ":1", *words),
                    f"rpc-call: {object_}: write it in UTF-8, for JSON has nothing else\n")
        self.assertIn(r"invalid UTF-8 at column 5", self.refuses("rpc-call", ":1", "echo",
                                                                b'"' + NAME + b'"'))

    def test_the_name_of_a_method_that_is_no_utf8_is_refused(self):
        for option in "--method", "--coprocess", "--forward":
            with self.subTest(option):
                stderr = self.refuses("rpc-worker", "--stdio", option, NAME + b"=:1")
                self.assertTrue(stderr.startswith(f"rpc-worker: {option} "), stderr)
                self.assertIn("write it in UTF-8", stderr)
        self.assertIn("--idempotent", self.refuses("rpc-master", "-p", "queue", "--idempotent",
                                                   NAME, "--", "true"))

    def test_a_command_may_have_any_bytes(self):
        script = b"#!/bin/sh\necho '\"ran\"'\n"
        path = os.fsencode(self.directory) + b"/" + NAME
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o755)) as file:
            file.write(script)
        server = self.start(handoff.worker("-m", b"run=./" + NAME, cwd=self.directory))
        self.assertEqual(self.open(server).result("run"), "ran")


class Paths(handoff.TestCase):
    """The sockets of a master, one of them with such a name."""

    def call(self, path: bytes, *words: str):
        done = subprocess.run([handoff.tool("rpc-call"), "--wait", "-t20s", path, *words],
                              cwd=self.directory, capture_output=True, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return json.loads(done.stdout)

    def serve(self, *options: bytes | str):
        server = self.start(handoff.Server(
            handoff.tool("rpc-master"), "-n", "1", *options, "--", handoff.tool("rpc-worker"),
            ready=False, cwd=self.directory))
        server.wait_for_line(": ready, ")
        return server

    def test_a_listener_with_such_a_name_is_served_shown_and_handed_on(self):
        path = b"./" + NAME
        server = self.serve("-l", path, "-c", "./c", "-j", path + b".join")
        self.assertIsNone(self.call(path, "ping"))
        self.assertEqual(self.call(b"./c", "status")["listeners"], ["./caf\ufffd"])
        server.wait_for_line(r"on \./caf\\xe9")
        self.assertIsNone(self.call(b"./c", "upgrade"))
        self.assertIsNone(self.call(path, "ping"))
        self.assertEqual(self.call(b"./c", "status")["listeners"], ["./caf\ufffd"])
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(os.fsencode(self.directory) + b"/" + NAME))

    def test_a_control_socket_with_such_a_name_answers(self):
        path = b"./" + NAME
        server = self.serve("-l", "127.0.0.1:0", "-c", path)
        self.assertEqual(self.call(path, "status")["pid"], server.pid)


if __name__ == "__main__":
    handoff.run_tests()
