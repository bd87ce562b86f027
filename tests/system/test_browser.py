# SPDX-License-Identifier: MIT
"""A page in a user's browser, which tries in every way that it has to call the methods of a server
on the same machine."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

# A browser takes its time to start on a loaded machine; no test waits for it when all is well.
PATIENCE = 4 * handoff.PATIENCE

# Each way has a path of its own, and posts calls that would leave its name.
PAGE = """<!DOCTYPE html><meta charset=utf-8><title>page</title>
<iframe name=target></iframe>
<script>
const server = "http://127.0.0.1:PORT/";
const calls = (name) => [name, name].map(
  (each) => JSON.stringify({in: "mark", params: each}) + "\\n").join("");
const seen = (promise) => promise.then((value) => "resolved: " + value, (error) => "" + error);
const either = (object, good, bad) => seen(new Promise((resolve, reject) => {
  object[good] = () => resolve(good);
  object[bad] = () => reject(bad);
}));
const fetched = (name, options) =>
  seen(fetch(server + name, options).then((response) => response.type + " " + response.status));

const form = () => {
  const element = document.createElement("form");
  Object.assign(element, {method: "post", enctype: "text/plain", target: "target",
                          action: server + "form"});
  const input = document.createElement("input");
  // The browser writes NAME=VALUE: a line of JSON that has a = in a string.
  Object.assign(input, {name: '{"in":"mark","ignored":"', value: '","params":"form"}'});
  element.append(input);
  document.body.append(element);
  element.submit();
  return "submitted";
};
const xhr = () => {
  const request = new XMLHttpRequest();
  const end = either(request, "onload", "onerror");
  request.open("POST", server + "xhr");
  request.send(calls("xhr"));
  return end;
};
const image = () => {
  const element = new Image();
  const end = either(element, "onload", "onerror");
  element.src = server + "image";
  return end;
};
const socket = () =>
  either(new WebSocket(server.replace("http", "ws") + "socket"), "onopen", "onerror");
const tls = () => seen(fetch(server.replace("http", "https") + "tls", {mode: "no-cors"}));

const attempts = {
  "get": () => fetched("get", {mode: "no-cors"}),
  "post": () => fetched("post", {mode: "no-cors", method: "POST", body: calls("post"),
                                 headers: {"Content-Type": "text/plain"}}),
  "blanks": () => fetched("blanks", {mode: "no-cors", method: "POST",
                                     body: "\\n\\n" + calls("blanks")}),
  "json": () => fetched("json", {method: "POST", body: calls("json"),
                                 headers: {"Content-Type": "application/json"}}),
  "beacon": () => "queued: " + navigator.sendBeacon(server + "beacon", calls("beacon")),
  "form": form, "xhr": xhr, "image": image, "socket": socket, "tls": tls,
};
(async () => {
  const results = {};
  for (const name in attempts) results[name] = await attempts[name]();
  await fetch("/results", {method: "POST", body: JSON.stringify(results)});
})();
</script>
"""

# TLS has no path.
PATHS = ("get", "post", "blanks", "json", "beacon", "form", "xhr", "image", "socket")


class Page:
    """Serves the page, and gets its results."""

    def __init__(self, page: str):
        self.results: dict = {}
        self.over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(page.encode() if self.path == "/" else b"")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.results = json.loads(body)
                self.answer(b"")
                outer.over.set()

            def answer(self, body: bytes):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class Relay:
    """Stands between the browser and the server, changes nothing, and keeps what both have said."""

    def __init__(self, address):
        self.address = address
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.exchanges: list[tuple[bytes, bytes]] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                browser, _ = self.listener.accept()
                threading.Thread(target=self._relay, args=(browser,), daemon=True).start()

    def _relay(self, browser):
        with browser, socket.create_connection(self.address) as server:
            with self._lock:
                self._sockets += [browser, server]
            asked = bytearray()
            asking = threading.Thread(target=self._copy, args=(browser, server, asked), daemon=True)
            asking.start()
            answered = bytearray()
            self._copy(server, browser, answered)
            asking.join()
            with self._lock:
                self.exchanges.append((bytes(asked), bytes(answered)))

    @staticmethod
    def _copy(source, target, copy: bytearray):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                copy += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def answers(self) -> dict:
        """What each path was answered, on each connection that has ended."""
        found: dict = {}
        with self._lock:
            for asked, answered in self.exchanges:
                request = re.match(rb"[A-Z]+ /(\w+) HTTP", asked)
                if request:
                    found.setdefault(request.group(1).decode(), []).append(answered)
                elif asked.startswith(b"\x16"):
                    found.setdefault("tls", []).append(answered)
        return found


class Browser:
    """Chromium with one page."""

    def __init__(self, directory: pathlib.Path, url: str):
        self.directory = str(directory)
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
             "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-breakpad", f"--user-data-dir={directory}", url],
            env={**os.environ, "HOME": self.directory}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        handoff.wait_for(self._is_gone, "all processes of the browser to end")

    def _is_gone(self) -> bool:
        pids = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.directory.encode() in path.read_bytes():
                    pids.append(int(path.parent.name))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not any(map(handoff.alive, pids))


class ThePageOfAStranger(handoff.TestCase):
    def test_runs_nothing_in_any_way_that_a_browser_has(self):
        if not shutil.which("chromium"):
            self.skipTest("no chromium")
        marks = self.directory / "marks"
        server = self.start(handoff.worker("-m", f"mark=tee -a {marks}"))
        relay = self.stack.enter_context(Relay(server.address))
        page = self.stack.enter_context(Page(PAGE.replace("PORT", str(relay.port))))
        browser = Browser(self.directory / "browser", page.url)
        with browser:
            self.assertTrue(page.over.wait(PATIENCE), "the page tells its results")
            handoff.wait_for(lambda: relay.answers().keys() >= {*PATHS, "tls"},
                             "each attempt to have come and to be over", PATIENCE)
        for name, answers in relay.answers().items():
            with self.subTest(name):
                for answer in answers:
                    if name == "tls":
                        self.assertIn(b"exceeds the limit", answer)
                    else:
                        self.assertRegex(answer, rb"\AHTTP/1\.1 400 Bad Request\r\n")
                        self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
                        self.assertNotIn(b'"out"', answer)
        self.assertFalse(marks.exists(), "something was run")
        for name in ("json", "xhr", "socket", "image", "tls"):
            self.assertNotIn("resolved", page.results[name], "no page reads a reply")
        with handoff.Connection(server.address) as client:
            self.assertEqual(client.result("mark", "client"), "client")
        self.assertEqual(marks.read_text(), '"client"')


if __name__ == "__main__":
    handoff.run_tests()
