# SPDX-License-Identifier: MIT
"""An upgrade of a master with so many listeners that no variable could name them."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402


class ManyListeners(handoff.TestCase):
    def call(self, address: str, *words: str):
        call = subprocess.run([handoff.tool("rpc-call"), "-t", str(handoff.PATIENCE), address, *words],
                              cwd=self.directory, capture_output=True, text=True, check=False)
        self.assertEqual((call.returncode, call.stderr), (0, ""))

    def test_all_of_them_are_handed_over(self):
        self.need_descriptors(8000)
        count = 1200
        long = "x" * 90
        names = [f"./{long}{i}" for i in range(count)]
        listen = [word for name in names for word in ("-l", name)]
        control = str(self.directory / "c")
        # Quiet, for a pipe need not have room for a line with all their names.
        server = self.start(handoff.master("-q", *listen, "-c", control, "-p", "connection",
                                           workers=1, ready=False, cwd=self.directory))
        self.call(names[-1], "--wait", "ping")
        self.call(control, "upgrade")
        for name in (names[0], names[count // 2], names[-1]):
            self.call(name, "ping")
        self.call(control, "stop")
        self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
        handoff.wait_for(lambda: not list(self.directory.iterdir()), "the sockets to be removed")


if __name__ == "__main__":
    handoff.run_tests()
