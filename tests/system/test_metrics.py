# SPDX-License-Identifier: MIT
"""The metrics of a master are valid, and say what its status says."""

import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
from control_case import ControlTest, MASTER, WORKER, held  # noqa: E402
from ledger_case import AT_ONCE, LEDGER_WORKER  # noqa: E402


class Metrics(ControlTest):
    NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
    LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
    SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?\}})? (\S+)")

    def parse(self, text: str) -> dict:
        """Prometheus' text format 0.0.4: the values by series. Fails on what is not strictly so."""
        self.assertTrue(text.endswith("\n"))
        values, types, helped = {}, {}, set()
        current = None
        finished = set()
        for line in text[:-1].split("\n"):
            if match := re.fullmatch(rf"# HELP ({self.NAME}) (\S.*)", line):
                name = match.group(1)
                self.assertNotIn(name, helped)
                helped.add(name)
                if current is not None:
                    finished.add(current)
                current = name
            elif match := re.fullmatch(rf"# TYPE ({self.NAME}) (counter|gauge|histogram)", line):
                self.assertEqual(match.group(1), current, "TYPE belongs to HELP")
                self.assertNotIn(current, types)
                types[current] = match.group(2)
                self.assertEqual(current.endswith("_total"), match.group(2) == "counter")
            else:
                match = self.SAMPLE.fullmatch(line)
                self.assertIsNotNone(match, f"no sample: {line!r}")
                name, labels, value = match.groups()
                self.assertIn(current, types, "TYPE stands before the samples")
                parts = ["_bucket", "_sum", "_count"] if types[current] == "histogram" else [""]
                self.assertIn(name, [current + part for part in parts],
                              "a metric's samples stand together")
                self.assertNotIn(name, finished)
                series = (name, labels or "")
                self.assertNotIn(series, values, "each series once")
                number = float(value)
                self.assertTrue(math.isfinite(number) and number >= 0, line)
                values[series] = number
        self.assertEqual(helped, set(types))
        return values

    def metrics(self) -> dict:
        return self.parse(self.ask("metrics"))

    def test_the_parser_is_strict(self):
        head = "# HELP a_total X.\n# TYPE a_total counter\n"
        self.assertEqual(self.parse(head + 'a_total{b="c"} 1\n'), {("a_total", 'b="c"'): 1.0})
        for bad in (head + "a_total 1", head + "a_total 1\na_total 1\n", "a_total 1\n",
                    head + "a_total -1\n", head + "a_total nan\n", head + 'a_total{b="c"d"} 1\n',
                    head + "\na_total 1\n", head + head, "# TYPE a gauge\na 1\n",
                    head + "a_total  1\n"):
            with self.subTest(bad), self.assertRaises((AssertionError, ValueError)):
                self.parse(bad)

    def test_the_metrics_say_what_the_status_says(self):
        server = self.launch()
        clients = [self.open(server) for _ in range(3)]
        for client in clients:
            client.result("ping")
        self.ask("reload")
        self.wait_until_settled(2)
        os.kill(self.worker(2)["pid"], signal.SIGKILL)
        self.wait_for_worker(2, restarts=1, state="ready")
        status, metrics = self.ask("status"), self.metrics()
        self.assertEqual(metrics["handoff_accepted_total", ""], 3)
        self.assertEqual(metrics["handoff_waiting", ""], 0)
        self.assertEqual(metrics["handoff_reloads_total", ""], 1)
        self.assertGreaterEqual(metrics["handoff_age_seconds", ""], status["age"])
        for each in status["workers"]:
            label = f'worker="{each["worker"]}"'
            for name, key in (("connections", "connections"), ("restarts_total", "restarts")):
                self.assertEqual(metrics[f"handoff_worker_{name}", label], each[key], name)
            self.assertEqual(metrics["handoff_worker_ready", label], 1)
        for key, value in (status["queue"] or {}).items():
            total = "" if key in ("waiting", "running") else "_total"
            self.assertEqual(metrics[f"handoff_queue_{key}{total}", ""], value, key)
        self.assertEqual(sum(metrics["handoff_worker_requests_total", f'worker="{number}"']
                             for number in (1, 2)), 3, "those of workers that have ended too")
        self.assertEqual(metrics["handoff_requests_total", ""], 3)
        self.assertEqual(metrics["handoff_calls", ""], 0)
        for how in ("moved", "answered"):
            self.assertEqual(metrics["handoff_connections_rescued_total", f'how="{how}"'],
                             status["rescued"][how], how)
        self.assertEqual(metrics["handoff_connections_lost_total", ""], status["lost"])
        for name in ("ping", "echo", "methods", "info", "(unknown)", "(other)"):
            self.assertEqual(metrics["handoff_method_requests_total", f'method="{name}"'],
                             3 if name == "ping" else 0, name)
        self.assertEqual(len(metrics), self.of_the_master() + 2 * 5 + 6)

    ERRORS, DURATIONS = 12, 32 + 2

    @classmethod
    def of_the_master(cls) -> int:
        return 9 + cls.ERRORS + cls.DURATIONS + (5 if handoff.PASS == "queue" else 0)

    def test_a_histogram_has_all_calls_and_errors_have_their_code(self):
        server = self.launch(command=[WORKER, "-m", "slow=sleep 0.02; echo 1", "-m", "bad=exit 3"])
        for _ in range(3):
            client = self.open(server)
            client.result("slow")
            client.call("bad")
        metrics = self.metrics()
        name = "handoff_call_duration_seconds"
        self.assertEqual(metrics[f"{name}_count", ""], 6)
        self.assertEqual(metrics[f"{name}_bucket", 'le="+Inf"'], 6)
        self.assertLessEqual(metrics[f"{name}_bucket", 'le="0.016384"'], 3)
        buckets = [value for (series, _), value in metrics.items() if series == f"{name}_bucket"]
        self.assertEqual(len(buckets), 32)
        self.assertEqual(buckets, sorted(buckets), "each has those before it too")
        self.assertGreaterEqual(metrics[f"{name}_sum", ""], 3 * 0.02)
        self.assertEqual(metrics["handoff_errors_total", 'code="-32001"'], 3)
        self.assertEqual(sum(value for (series, _), value in metrics.items()
                             if series == "handoff_errors_total"), 3)

    METHODS = ("-m", "slow=sleep 0.02; echo 1", "-m", "bad=exit 3")

    @staticmethod
    def by_method(metrics: dict, name: str, method: str, **labels) -> float:
        text = ",".join(f'{key}="{value}"' for key, value in {"method": method, **labels}.items())
        return metrics.get((f"handoff_method_{name}", text), 0)

    def test_each_method_has_its_requests_errors_and_durations(self):
        server = self.launch(command=[WORKER, *self.METHODS])
        for _ in range(3):
            client = self.open(server)
            client.result("slow")
            client.call("bad")
            client.result("ping")
        metrics = self.metrics()
        for method in ("slow", "bad", "ping"):
            self.assertEqual(self.by_method(metrics, "requests_total", method), 3, method)
        self.assertEqual(self.by_method(metrics, "errors_total", "bad", code=-32001), 3)
        self.assertEqual(sum(value for (series, _), value in metrics.items()
                             if series == "handoff_method_errors_total"), 3)
        self.assertEqual(self.by_method(metrics, "duration_seconds_count", "slow"), 3)
        self.assertEqual(self.by_method(metrics, "duration_seconds_count", "bad"), 3)
        self.assertGreaterEqual(self.by_method(metrics, "duration_seconds_sum", "slow"), 3 * 0.02)
        self.assertEqual(self.by_method(metrics, "duration_seconds_bucket", "slow", le="0.016384"),
                         0)
        self.assertEqual(self.by_method(metrics, "duration_seconds_bucket", "slow", le="+Inf"), 3)
        self.assertNotIn(("handoff_method_duration_seconds_count", 'method="ping"'), metrics)

    def test_names_that_clients_invent_are_unknown_or_those_of_a_pattern(self):
        other = self.start(handoff.worker("-l", "127.0.0.1:0"))
        port = other.address[1]
        server = self.launch(command=[WORKER, "-f", f"at.*=127.0.0.1:{port}"])
        with self.open(server) as client:
            for number in range(100):
                client.call(f"no.{number}")
                client.call(f"at.{number}")
        metrics = self.metrics()
        self.assertEqual(self.by_method(metrics, "requests_total", "(unknown)"), 100)
        self.assertEqual(self.by_method(metrics, "errors_total", "(unknown)", code=-32601), 100)
        self.assertEqual(self.by_method(metrics, "requests_total", "at.*"), 100)
        self.assertEqual(self.by_method(metrics, "errors_total", "at.*", code=-32601), 100)
        names = [series for series in metrics if series[0] == "handoff_method_requests_total"]
        self.assertEqual(len(names), 7)

    def test_what_is_counted_by_method_survives_a_reload_and_a_kill(self):
        server = self.launch(command=[WORKER, *self.METHODS])
        calls = 0

        def call():
            nonlocal calls
            calls += 1
            client = self.open(server)
            client.result("slow")
            client.call("bad")

        def check():
            metrics = self.metrics()
            self.assertEqual(self.by_method(metrics, "requests_total", "slow"), calls)
            self.assertEqual(self.by_method(metrics, "errors_total", "bad", code=-32001), calls)
            self.assertEqual(self.by_method(metrics, "duration_seconds_count", "slow"), calls)

        for _ in range(4):
            call()
        self.ask("reload")
        check()
        self.wait_until_settled(2)
        for number in (1, 2):
            call()
            os.kill(self.worker(number)["pid"], signal.SIGKILL)
            self.wait_for_worker(number, restarts=1, state="ready")
            check()
        call()
        check()

    def test_a_method_that_a_worker_has_found_later_is_counted_too(self):
        folder = self.directory / "methods"
        folder.mkdir()

        def add(name: str):
            (folder / name).write_text("#!/bin/sh\necho 1\n")
            (folder / name).chmod(0o700)

        add("one")
        for threads in ("1", "3"):
            (folder / "two").unlink(missing_ok=True)
            with self.subTest(threads=threads):
                server = self.launch(workers=1,
                                     command=[WORKER, "-v", "-d", folder, "--threads", threads])
                add("two")
                os.kill(self.worker(1)["pid"], signal.SIGHUP)
                server.wait_for_line("reloaded, 6 methods")
                clients = [self.open(server) for _ in range(3)]
                for client in clients:
                    handoff.wait_for(lambda: client.call("two")["out"] == "two", "the method")
                metrics = self.metrics()
                self.assertEqual(self.by_method(metrics, "duration_seconds_count", "two"), 3)
                server.stop()

    @handoff.only("connection", because="the liar is given no requests by the others")
    def test_a_worker_that_lies_about_methods_harms_only_its_own_figures(self):
        server = self.launch(*AT_ONCE, command=[*LEDGER_WORKER, "invent_methods", "--", WORKER])
        clients = [self.open(server) for _ in range(6)]
        for client in clients:
            client.send("ping")
        handoff.wait_for(lambda: sum(handoff.unread(client.socket) > 0 for client in clients) >= 5,
                         "the honest worker")
        for restarts in range(1, 5):
            metrics = self.metrics()
            names = {labels for series, labels in metrics
                     if series == "handoff_method_requests_total"}
            self.assertLessEqual(len(names), 128)
            self.assertGreater(self.by_method(metrics, "requests_total", "(other)"), 1e12)
            self.assertIn(self.by_method(metrics, "requests_total", "ping"), (5, 6))
            os.kill(self.worker(1)["pid"], signal.SIGKILL)
            self.wait_for_worker(1, restarts=restarts, state="ready")

    def test_counters_of_a_worker_do_not_fall_when_it_is_replaced(self):
        server = self.launch(workers=1)
        self.open(server).result("ping")
        before = self.metrics()
        self.ask("reload")
        self.wait_until_settled(1)
        os.kill(self.worker(1)["pid"], signal.SIGKILL)
        self.wait_for_worker(1, restarts=1, state="ready")
        after = self.metrics()
        for series, value in before.items():
            if series[0].endswith("_total"):
                self.assertGreaterEqual(after[series], value, series)
        self.assertEqual(after["handoff_worker_requests_total", 'worker="1"'], 1)

    def test_no_series_is_there_twice_while_a_worker_drains(self):
        gate = self.path("gate")
        os.mkfifo(gate)
        server = self.launch(workers=1, command=[WORKER, "-m", f"slow=cat {gate}"])
        client = self.open(server)
        client.send("slow")
        handoff.wait_for(lambda: self.worker(1)["requests"] == 1, "the call to begin")
        before = self.metrics()
        with open(gate, "w", encoding="ascii") as opened:
            self.ask("reload")
            self.assertEqual(len(self.ask("workers")), 2)
            during = self.metrics()
            opened.write("1")
        self.assertEqual(client.receive()["result"], 1)
        label = 'worker="1"'
        self.assertEqual(set(before), set(during))
        self.assertEqual(during["handoff_worker_ready", label], 1)
        self.assertEqual(during["handoff_worker_connections", label], held(1))
        self.assertEqual(during["handoff_worker_requests_total", label], 1)

    def test_rpc_call_prints_the_metrics(self):
        self.launch()
        done = subprocess.run([handoff.tool("rpc-call"), "--raw", self.control, "metrics"],
                              capture_output=True, text=True, timeout=handoff.PATIENCE, check=True)
        self.parse(done.stdout.rstrip("\n") + "\n")

    def test_prometheus_itself_finds_no_fault_in_the_metrics(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool, which is in the package prometheus")
        server = self.launch(command=[WORKER, *self.METHODS, "-m", "a\"b\\c=echo 1"])
        with self.open(server) as client:
            for method in ("slow", "bad", "ping", "none", 'a"b\\c'):
                client.call(method)
        text = self.ask("metrics")
        self.assertIn(r'method="a\"b\\c"', text)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        bad = subprocess.run(["promtool", "check", "metrics"], input=text + "x{ 1\n", text=True,
                             capture_output=True, timeout=handoff.PATIENCE)
        self.assertNotEqual(bad.returncode, 0)

    def test_the_metrics_are_valid_without_workers_too(self):
        self.start(handoff.Server(*MASTER, "-l", "127.0.0.1:0", "-j", self.path("join"),
                                  "-c", self.control, ready=False)).wait_for_line("ready")
        self.assertEqual(len(self.metrics()), self.of_the_master())


if __name__ == "__main__":
    handoff.run_tests()
