#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A test peer: a small server of the wire format in handoff-wire(7), written without handoff.

It answers `ping` with its params, one connection at a thread, and can misbehave on request. Like
the first servers of this protocol it requires "params" in a request. Its first line on stdout is
the address that clients connect to. Standard library only.
"""

import argparse
import json
import os
import socket
import struct
import sys
import threading


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 is any")
    where.add_argument("--unix", metavar="PATH", help="a Unix socket")
    where.add_argument("--stdio", action="store_true",
                       help="serve the connection that is standard input, and print nothing")
    parser.add_argument("--two-writes", action="store_true",
                        help="length and body in two writes, with Nagle's algorithm on")
    parser.add_argument("--silent", action="store_true", help="never answer")
    parser.add_argument("--close-after", type=int, metavar="N",
                        help="end a connection after N replies")
    parser.add_argument("--delay", type=float, default=0, metavar="MS",
                        help="before each reply")
    parser.add_argument("--delay-first", type=float, default=0, metavar="MS",
                        help="before the first reply of each connection")
    parser.add_argument("--error", action="store_true", help="answer every request with an error")
    parser.add_argument("--wrong", action="store_true", help="answer with another result")
    parser.add_argument("--garbage", action="store_true", help="answer with what is no frame")
    parser.add_argument("--unasked", action="store_true", help="answer every request twice")
    parser.add_argument("--hang-up", action="store_true", help="close connections unanswered")
    parser.add_argument("--stop-after", type=int, metavar="N",
                        help="close the listener, and end, after N replies")
    return parser.parse_args()


def receive_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(min(size - len(data), 65536))
        if not more:
            raise EOFError
        data += more
    return data


def wait(milliseconds):
    if milliseconds > 0:
        threading.Event().wait(milliseconds / 1000)


class Server:
    def __init__(self, options):
        self.options = options
        self.replies = 0
        self.lock = threading.Lock()
        if options.stdio:
            return
        if options.unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(options.unix)
            self.address = options.unix
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", options.port))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.listen(128)

    def run(self):
        if self.options.stdio:
            self.serve(socket.socket(fileno=0))
            return
        print(self.address, flush=True)
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                self.serve_requests(connection)
            except (EOFError, OSError):
                pass

    def serve_requests(self, connection):
        options = self.options
        if options.hang_up:
            return
        wait(options.delay_first)
        count = 0
        while options.close_after is None or count < options.close_after:
            length, = struct.unpack("<I", receive_exactly(connection, 4))
            request = json.loads(receive_exactly(connection, length))
            if options.silent:
                continue
            wait(options.delay)
            for _ in range(2 if options.unasked else 1):
                self.reply(connection, request)
            count += 1
            self.count_reply()

    def reply(self, connection, request):
        if self.options.garbage:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        message = {"out": "pong", "result": request["params"]}
        if self.options.error or request["in"] != "ping":
            message = {"out": "error", "result": {"code": -32601, "message": "no such method"}}
        elif self.options.wrong:
            message["result"] = "something else"
        body = json.dumps(message).encode()
        length = struct.pack("<I", len(body))
        if self.options.two_writes:
            connection.sendall(length)
            connection.sendall(body)
        else:
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(length + body)

    def count_reply(self):
        with self.lock:
            self.replies += 1
            if self.replies == self.options.stop_after:
                self.listener.close()
                os._exit(0)


if __name__ == "__main__":
    try:
        Server(parse_arguments()).run()
    except KeyboardInterrupt:
        sys.exit(130)
