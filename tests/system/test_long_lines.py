# SPDX-License-Identifier: MIT
"""Long lines and long frames cost time in proportion to their length: what was read is searched once,
and what was written is not moved again and again."""

import os
import pathlib
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

MB = 1 << 20


def used_by(pid: int) -> float:
    """The seconds of processor time that a process has used."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class LongLines(handoff.TestCase):
    # Eight times the length takes eight times as long, and 64 times if the time grows with the
    # square. The small time is at least what can be measured.
    SMALL, LARGE, MOST_TIMES, LEAST_TIME = 15 * MB, 120 * MB, 24, 0.05

    def assert_in_proportion(self, seconds_for):
        small = max(self.LEAST_TIME, seconds_for(self.SMALL))
        large = seconds_for(self.LARGE)
        self.assertLess(large, self.MOST_TIMES * small, f"{small} s for the small one")

    def line(self, size: int) -> pathlib.Path:
        path = self.directory / str(size)
        path.write_bytes(b'"' + b"a" * (size - 2) + b'"\n')
        return path

    def call(self, server, method: str, size: int, *options: str):
        """rpc-call, with such a line in its stdin, which is a pipe."""
        with self.line(size).open("rb") as file:
            feeder = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            called = subprocess.run([handoff.tool("rpc-call"), *options, server.address, method, "-"],
                                    stdin=feeder.stdout, capture_output=True, check=False,
                                    timeout=handoff.PATIENCE * 2)
            feeder.stdout.close()
            feeder.wait()
        return called

    def serve(self, *options: str) -> handoff.Server:
        return self.start(handoff.Server(handoff.tool("rpc-worker"), "-l", str(self.directory / "s"),
                                         *options))

    def test_a_line_that_the_server_refuses(self):
        server = self.serve()

        def seconds_for(size: int) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            called = self.call(server, "echo", size)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.assertNotEqual(called.returncode, 0)
            return after.ru_utime - before.ru_utime

        self.assert_in_proportion(seconds_for)

    def test_a_line_that_is_echoed(self):
        server = self.serve("--max-frame", "128MiB")

        def seconds_for(size: int) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + used_by(server.pid)
            called = self.call(server, "echo", size, "--max-frame", "128MiB")
            after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + used_by(server.pid)
            self.assertEqual((called.returncode, len(called.stdout)), (0, size + 1))
            return after - before

        self.assert_in_proportion(seconds_for)

    def test_a_line_to_a_coprocess_and_back(self):
        server = self.serve("--max-frame", "128MiB", "-k", "copy=cat")

        def seconds_for(size: int) -> float:
            before = used_by(server.pid)
            called = self.call(server, "copy", size, "--max-frame", "128MiB")
            self.assertEqual((called.returncode, len(called.stdout)), (0, size + 1), called.stderr)
            return used_by(server.pid) - before

        self.assert_in_proportion(seconds_for)


if __name__ == "__main__":
    handoff.run_tests()
