# SPDX-License-Identifier: MIT
"""What a master tells a service manager such as systemd, and the listeners that it gets from one.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from control_case import ControlTest, MASTER, WORKER  # noqa: E402


class Notifications:
    """A service manager's socket: collects the messages, with the sender's pid."""

    def __init__(self, address: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(0.05)
        self.messages: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self):
        while not self._stop.is_set():
            try:
                data, ancillary, _, _ = self.socket.recvmsg(4096, 64)
            except TimeoutError:
                continue
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            self.messages.append((pid, data.decode()))

    def wait_for(self, pattern: str, after: int = 0) -> int:
        """The number of the first message from `after` on that matches."""
        def found():
            for number, (_, text) in enumerate(self.messages[after:], after):
                if re.search(pattern, text, re.MULTILINE):
                    return [number]
            return None
        return handoff.wait_for(found, f"{pattern} among {self.messages[after:]}")[0]

    def texts(self, after: int = 0) -> list[str]:
        return [text for _, text in self.messages[after:]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.socket.close()


class Systemd(ControlTest):
    def setUp(self):
        super().setUp()
        self.environment = {name: value for name, value in os.environ.items()
                            if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}

    def listen(self, address: str) -> Notifications:
        self.environment["NOTIFY_SOCKET"] = address
        return self.stack.enter_context(Notifications(address))

    def launch(self, *options, **more):
        return super().launch(*options, env=self.environment, **more)

    def test_a_service_tells_its_manager_of_its_whole_life(self):
        for address in (self.path("notify"), f"@handoff-notify-{os.getpid()}"):
            with self.subTest(address):
                manager = self.listen(address)
                server = self.launch()
                ready = manager.wait_for(r"^READY=1$")
                manager.wait_for(r"^STATUS=.*2 workers")
                before = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
                server.kill(signal.SIGHUP)
                reloading = manager.wait_for(r"^RELOADING=1$", ready)
                text = manager.texts()[reloading]
                when = int(re.search(r"^MONOTONIC_USEC=(\d+)$", text, re.MULTILINE).group(1))
                self.assertTrue(before <= when <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
                ready = manager.wait_for(r"^READY=1$", reloading)
                self.ask("scale", {"workers": 3})
                manager.wait_for(r"^STATUS=.*3 workers", ready)
                seen = len(manager.messages)
                self.assertEqual(server.stop(), 0)
                manager.wait_for(r"^STOPPING=1$", seen)
                self.assertEqual({pid for pid, _ in manager.messages}, {server.pid})
                self.assertEqual(sum("READY=1" in text for text in manager.texts()), 2)
                self.assertFalse(any("WATCHDOG" in text for text in manager.texts()))

    def test_a_service_is_not_ready_before_its_workers_are(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        manager = self.listen(self.path("notify"))
        self.launch(workers=1, ready=False,
                    command=["sh", "-c", f'read -r line <"{gate}"; exec "$0"', WORKER])
        handoff.wait_for(lambda: os.path.exists(self.control) and self.worker(1), "the master")
        self.assertEqual([text for text in manager.texts() if "READY=1" in text], [])
        with open(gate, "w", encoding="ascii") as opened:
            opened.write("go\n")
        manager.wait_for(r"^READY=1$")

    def test_a_reload_that_fails_ends_too(self):
        manager = self.listen(self.path("notify"))
        program = self.directory / "worker"
        program.symlink_to(WORKER)
        server = self.launch(command=[str(program)])
        program.unlink()
        server.kill(signal.SIGHUP)
        reloading = manager.wait_for(r"^RELOADING=1$")
        manager.wait_for(r"^READY=1$", reloading)
        server.wait_for_line("the old workers serve on")

    def test_a_stop_during_a_reload_is_the_last_word(self):
        gate, marker = self.path("gate"), self.directory / "marker"
        os.mkfifo(gate)
        manager = self.listen(self.path("notify"))
        server = self.launch(workers=1, command=[
            "sh", "-c", f'test -e "{marker}" && read -r line <"{gate}"; exec "$0"', WORKER])
        marker.touch()
        server.kill(signal.SIGHUP)
        manager.wait_for(r"^RELOADING=1$")
        seen = len(manager.messages)
        self.assertEqual(server.stop(), 0)
        manager.wait_for(r"^STOPPING=1$", seen)
        self.assertNotIn("READY=1", manager.texts(seen))

    def test_the_watchdog_is_fed(self):
        manager = self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "100000"
        self.launch(workers=1)
        for _ in range(2):
            seen = 0
            for _ in range(5):
                seen = manager.wait_for(r"^WATCHDOG=1$", seen) + 1
        asked = time.monotonic()
        seen = len(manager.messages)
        handoff.wait_for(lambda: manager.texts(seen).count("WATCHDOG=1") >= 10, "ten times")
        self.assertGreater(time.monotonic() - asked, 0.3, "not ever so often")

    def test_the_watchdog_of_another_process_is_not(self):
        manager = self.listen(self.path("notify"))
        self.environment.update(WATCHDOG_USEC="2000", WATCHDOG_PID="1")
        self.launch(workers=1)
        self.ask("scale", {"workers": 2})
        manager.wait_for(r"^STATUS=.*2 workers")
        self.assertFalse(any("WATCHDOG" in text for text in manager.texts()))

    def test_the_watchdog_that_names_this_process_is_fed(self):
        manager = self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "100000"
        script = ("import os, sys; os.environ['WATCHDOG_PID'] = str(os.getpid());"
                  "os.execv(sys.argv[1], sys.argv[1:])")
        self.start(handoff.Server(
            sys.executable, "-c", script, *MASTER, "-l", "127.0.0.1:0", "-n", "1",
            "--", WORKER, env=self.environment))
        first = manager.wait_for(r"^WATCHDOG=1$")
        manager.wait_for(r"^WATCHDOG=1$", first + 1)

    def test_a_watchdog_interval_that_is_none(self):
        manager = self.listen(self.path("notify"))
        for value in ("0", "-1", "abc", "", "99999999999999999999999"):
            with self.subTest(value):
                self.environment["WATCHDOG_USEC"] = value
                with self.launch(workers=1) as server:
                    self.assertEqual(server.stop(), 0)
        self.assertLessEqual(sum("WATCHDOG=1" in text for text in manager.texts()), 1)

    def test_the_successor_becomes_the_service(self):
        manager = self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "100000"
        script = ("import os, sys; os.environ['WATCHDOG_PID'] = str(os.getpid());"
                  "os.execv(sys.argv[1], sys.argv[1:])")
        server = self.start(handoff.Server(
            sys.executable, "-c", script, *MASTER, "-l", "127.0.0.1:0", "-n", "1",
            "-c", self.control, "--", WORKER, env=self.environment))
        seen = len(manager.messages)
        self.assertIsNone(self.ask("upgrade"))
        number = manager.wait_for(r"^MAINPID=\d+$", seen)
        sender, text = manager.messages[number]
        self.assertEqual(sender, server.pid, "only the old one may say so")
        new = int(text.split("=")[1])
        try:
            self.assertEqual(self.ask("info")["pid"], new)
            ready = manager.wait_for(r"^READY=1$", seen)
            self.assertLess(ready, number, "it says so once the new one is ready")
            self.assertEqual(server.process.wait(handoff.PATIENCE), 0)
            self.assertNotIn("STOPPING=1", manager.texts(), "the service goes on")
            seen = len(manager.messages)
            for _ in range(3):
                seen = manager.wait_for(r"^WATCHDOG=1$", seen) + 1
                self.assertEqual(manager.messages[seen - 1][0], new)
            os.kill(new, signal.SIGHUP)
            reloading = manager.wait_for(r"^RELOADING=1$", seen)
            manager.wait_for(r"^READY=1$", reloading)
        finally:
            os.kill(new, signal.SIGTERM)
        manager.wait_for(r"^STOPPING=1$", seen)
        handoff.wait_for(lambda: not handoff.alive(new), "the new one to end")

    def test_workers_hear_nothing_of_the_manager(self):
        self.listen(self.path("notify"))
        self.environment["WATCHDOG_USEC"] = "60000000"
        server = self.launch(workers=1)
        data = pathlib.Path(f"/proc/{server.worker_pids()[0]}/environ").read_bytes()
        names = {entry.split(b"=", 1)[0].decode() for entry in data.split(b"\0")}
        self.assertIn("HANDOFF_CHANNEL_FD", names)
        of_listeners = [] if handoff.PASS == "listener" else ["LISTEN_FDS", "LISTEN_PID"]
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "HANDOFF_SUCCESSION",
                     *of_listeners):
            self.assertNotIn(name, names)

    def test_a_manager_that_does_not_listen_is_no_reason_to_stop(self):
        for address in (self.path("nobody"), "@nobody-" + "x" * 30, "relative", "@", "x" * 500):
            with self.subTest(address):
                self.environment["NOTIFY_SOCKET"] = address
                with self.launch(workers=1) as server:
                    with server.connect() as client:
                        self.assertEqual(client.result("ping", 1), 1)
                    self.assertEqual(server.stop(), 0)

    def test_a_manager_that_never_reads_does_not_block(self):
        full = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        full.bind(self.path("full"))
        self.environment.update(NOTIFY_SOCKET=self.path("full"), WATCHDOG_USEC="2000")
        server = self.launch(workers=1)
        for number in range(1, handoff.count(2000, 300)):
            self.ask("scale", {"workers": 1 + number % 2})
        self.assertEqual(self.open(server).result("ping", 1), 1)
        self.assertEqual(server.stop(), 0)

    def test_a_service_serves_the_listeners_of_systemd(self):
        listener = self.path("listen")
        if shutil.which("systemd-socket-activate"):
            # Starts the program when the first client connects.
            words = ["systemd-socket-activate", "-l", listener]
        else:
            words = [sys.executable,
                     str(handoff.ROOT / "tests" / "support" / "socket_activate.py"), listener, "--"]
        server = self.start(handoff.Server(*words, *MASTER, "-n", "1", "--", WORKER,
                                           ready=False, env=self.environment))
        handoff.wait_for(lambda: os.path.exists(listener), "the socket")

        def connected():
            with contextlib.suppress(ConnectionError):
                return handoff.Connection(listener)
            return None
        client = self.stack.enter_context(handoff.wait_for(connected, "the socket to listen"))
        self.assertEqual(client.result("ping", 1), 1)
        line = server.wait_for_line(": ready, 1 worker, on ")
        self.assertTrue(line.endswith(f" on {listener}"), line)
        self.assertEqual(server.stop(), 0)
        self.assertTrue(os.path.exists(listener), "it is the manager's")


if __name__ == "__main__":
    handoff.run_tests()
