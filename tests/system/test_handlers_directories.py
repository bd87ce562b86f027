# SPDX-License-Identifier: MIT
"""A directory of handlers: its executable files are the methods, and HUP lists it again."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from handler_case import (  # noqa: E402
    AMPLE, HandlerCase, INTERNAL_ERROR, METHOD_NOT_FOUND, in_threads)


class Directories(HandlerCase):
    BUILT_IN = ["echo", "info", "methods", "ping"]

    def reload(self, server: handoff.Server, pattern: str = "reloaded"):
        seen = len(server.lines)
        server.kill(signal.SIGHUP)
        return server.wait_for_line(pattern, after=seen)

    def shell(self, name: str, body: str):
        self.write(self.methods / name, f"#!/bin/sh\n{body}\n")

    def test_the_methods_are_the_executable_files(self):
        cat = shutil.which("cat")
        for name in ("script", "with space", "a;b", "caf\u00e9", "-x", "x" * 255):
            self.shell(name, "cat")
        (self.methods / "link").symlink_to(cat)
        shutil.copy(cat, self.methods / "copy")
        self.write(self.methods / "no shebang", "echo 1\n")
        names = sorted(name.name for name in self.methods.iterdir())
        # And these are none.
        for name in (".hidden", "*", "all.*"):
            self.shell(name, "cat")
        self.write(self.methods / "plain", "#!/bin/sh\ncat\n", mode=0o644)
        (self.methods / "sub").mkdir()
        self.shell("sub/inner", "cat")
        (self.methods / "dangling").symlink_to("nowhere")
        (self.methods / "loop").symlink_to("loop")
        (self.methods / "folder").symlink_to("sub")
        os.mkfifo(self.methods / "fifo", 0o777)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.methods / "socket"))
        (self.methods / "socket").chmod(0o777)
        client = self.open(self.worker(*AMPLE, "-d", str(self.methods)))
        self.assertEqual(sorted(client.result("methods")), sorted(names + self.BUILT_IN))
        for name in names:
            if name == "no shebang":
                self.assert_error(client.call(name), INTERNAL_ERROR, "Exec format error")
            else:
                self.assertEqual(client.result(name, [name]), [name])
        for path in self.methods.iterdir():
            if path.name not in names:
                self.assert_error(client.call(path.name), METHOD_NOT_FOUND)

    def test_a_name_that_is_no_utf8_harms_nobody(self):
        self.shell("good", "echo 1")
        with open(os.fsencode(self.methods) + b"/\xff\xfe", "w", opener=lambda path, flags: os.open(
                path, flags, 0o755)) as file:
            file.write("#!/bin/sh\necho 1\n")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        reply = client.call("methods")
        self.assertIsNotNone(reply, server.lines)
        self.assertIn("good", reply["result"])
        self.assertEqual(client.result("good"), 1)

    def test_a_method_reaches_the_files_beside_it(self):
        self.write(self.methods / "lib.sh", "value='\"of the library\"'\n", mode=0o644)
        self.shell("library", '. "${0%/*}/lib.sh"; echo "$value"')
        self.shell("helper", 'exec "${0%/*}/sub/inner"')
        self.shell("moves", 'cd "${0%/*}" && cat lib.sh | wc -l')
        (self.methods / "sub").mkdir()
        self.shell("sub/inner", "cat")
        client = self.open(self.worker(*AMPLE, "-d", os.path.relpath(self.methods)))
        self.assertEqual(client.result("library"), "of the library")
        self.assertEqual(client.result("helper", [5]), [5])
        self.assertEqual(client.result("moves"), 1)

    def test_what_is_named_goes_before_a_file_and_that_before_what_is_built_in(self):
        other = self.directory / "other"
        other.mkdir()
        for name in ("command", "coprocess", "twice", "ping", "info"):
            self.shell(name, "echo '\"file\"'")
        for name in ("twice", "second"):
            self.write(other / name, "#!/bin/sh\necho '\"second\"'\n")
        server = self.worker(*AMPLE, "-d", str(self.methods), "-d", str(other),
                             "-m", "command=echo '\"command\"'", "-m", "info=echo '\"command\"'",
                             "-k", "coprocess=while read -r line; do echo '\"coprocess\"'; done")
        client = self.open(server)
        for _ in range(2):
            results = {name: client.result(name, "params") for name in (
                "command", "coprocess", "twice", "second", "ping", "info", "echo")}
            self.assertEqual(results, {
                "command": "command", "coprocess": "coprocess", "twice": "file",
                "second": "second", "ping": "file", "info": "command", "echo": "params"})
            self.reload(server)

    def test_hup_lists_again_and_disturbs_no_call(self):
        gate = self.make_gate()
        cat = shutil.which("cat")
        (self.methods / "steady").symlink_to(cat)
        self.write(self.methods / "lib.sh", "value=5\n", mode=0o644)
        server = self.worker(*AMPLE, "-d", str(self.methods), "-m", "command=cat", "-k", "kept=cat")
        waiting, client = self.open(server), self.open(server)
        stop = threading.Event()
        served = []

        def load(name):
            with server.connect() as connection:
                number = 0
                while not stop.is_set():
                    number += 1
                    self.assertEqual(connection.result(name, [name, number]), [name, number])
                served.append(number)

        def change():
            try:
                for number in range(handoff.count(100, 4)):
                    self.assert_error(client.call("some"), METHOD_NOT_FOUND)
                    self.shell("some", f"echo {number}")
                    self.shell("gated", f'{gate.words}; . "${{0%/*}}/lib.sh"; echo $value')
                    self.reload(server)
                    self.assertIn("some", client.result("methods"))
                    self.assertEqual(client.result("some"), number)
                    waiting.send("gated")
                    gate.wait_for_one()
                    self.shell("some", f"echo {number + 1000}")
                    (self.methods / "gated").unlink()
                    self.reload(server)
                    self.assertEqual(client.result("some"), number + 1000)
                    self.assert_error(client.call("gated"), METHOD_NOT_FOUND)
                    (self.methods / "some").unlink()
                    self.reload(server)
                    gate.open()
                    self.assertEqual(waiting.receive()["result"], 5)
            finally:
                stop.set()

        in_threads([change, *(lambda name=name: load(name) for name in (
            "steady", "steady", "kept", "command", "ping"))])
        self.assertEqual(len(served), 5)

    def test_hup_closes_what_the_listing_before_had_open(self):
        self.shell("one", "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        self.assertEqual(client.result("ping", 1), 1)
        before = handoff.descriptor_count(server.pid)
        for _ in range(20):
            self.reload(server)
            self.assertEqual(client.result("one"), 1)
        handoff.wait_for(lambda: handoff.descriptor_count(server.pid) == before,
                         f"{before} descriptors")

    def test_hup_follows_the_path_to_another_directory(self):
        self.shell("one", "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        self.methods.rename(self.directory / "before")
        self.assertEqual(client.result("one"), 1)
        self.methods.mkdir()
        self.shell("two", "echo 2")
        self.reload(server, "reloaded, 5 methods")
        self.assert_error(client.call("one"), METHOD_NOT_FOUND)
        self.assertEqual(client.result("two"), 2)

    def test_a_file_that_is_gone_without_hup_is_an_error_of_the_call(self):
        for name in ("gone", "folder", "plain", "bad"):
            self.shell(name, "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods))
        client = self.open(server)
        for name in ("gone", "folder"):
            (self.methods / name).unlink()
        (self.methods / "folder").mkdir()
        (self.methods / "plain").chmod(0o644)
        self.write(self.methods / "bad", "#!/no/such/interpreter\n")
        for name in ("gone", "folder", "plain", "bad"):
            self.assert_error(client.call(name), INTERNAL_ERROR, f"cannot run {name}: ")
        self.assertEqual(client.result("ping", 1), 1)

    def test_a_directory_that_is_not_there_is_a_failure_at_the_start(self):
        plain = self.directory / "plain"
        plain.write_text("")
        for path, why in ((self.directory / "none", "No such file or directory"),
                          (plain, "Not a directory")):
            ended = subprocess.run(
                [handoff.tool("rpc-worker"), "-l", str(self.directory / "socket"), "-d", str(path)],
                capture_output=True, text=True, timeout=handoff.PATIENCE)
            self.assertEqual((ended.returncode, ended.stdout, ended.stderr),
                             (125, "", f"rpc-worker: cannot open {path}: {why}\n"))
        self.assertFalse((self.directory / "socket").exists())

    def test_a_directory_that_is_gone_at_hup_leaves_the_methods_as_they_were(self):
        self.shell("one", "echo 1")
        server = self.worker(*AMPLE, "-d", str(self.methods), "-k", "kept=cat")
        client = self.open(server)
        self.assertEqual(client.result("kept", 1), 1)
        away = self.directory / "away"
        self.methods.rename(away)
        line = self.reload(server, "the methods stay")
        self.assertEqual(line, f"rpc-worker: cannot open {self.methods}: No such file or directory; "
                         "the methods stay as they were")
        self.assertEqual((client.result("one"), client.result("kept", 2)), (1, 2))
        self.assertIn("one", client.result("methods"))
        away.rename(self.methods)
        self.shell("two", "echo 2")
        self.reload(server)
        self.assertEqual(client.result("two"), 2)


if __name__ == "__main__":
    handoff.run_tests()
