#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server that misbehaves as it is told.

usage: scripted_server.py [--late] [--greeting JSON] ADDRESS ACTION...

ADDRESS is 127.0.0.1:PORT or a path. Each request, on whatever connection, takes the next action;
the last one is repeated:

    reply:JSON   a frame with this body, be it JSON or not
    bytes:HEX    these bytes
    close        ends the connection
    reset        ends it with a reset (TCP)
    silent       nothing

The action `deaf`, alone, accepts nobody, and lets one connection more fill the backlog. With
--late the address is bound at once and listened on only after USR1. With --greeting each connection
begins with a frame that has this body. What has happened is said on stderr: "bound, on ADDRESS",
then "ready, on ADDRESS", and "greeted" for each greeting.
"""
import signal
import socket
import struct
import sys
import threading


def say(text):
    print(text, file=sys.stderr, flush=True)


def bind(address):
    if address.startswith(("/", "./")):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        return listener, address
    host, port = address.rsplit(":", 1)
    listener = socket.socket()
    listener.bind((host, int(port)))
    return listener, "%s:%d" % listener.getsockname()


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            return None
        data += more
    return data


class Script:
    def __init__(self, actions):
        self.actions = actions
        self.lock = threading.Lock()

    def next(self):
        with self.lock:
            return self.actions.pop(0) if len(self.actions) > 1 else self.actions[0]


def serve(connection, script, greeting):
    if greeting:
        connection.sendall(struct.pack("<I", len(greeting)) + greeting)
        say("greeted")
    while True:
        header = read_exactly(connection, 4)
        if header is None or read_exactly(connection, struct.unpack("<I", header)[0]) is None:
            break
        verb, _, rest = script.next().partition(":")
        if verb == "reply":
            body = rest.encode()
            connection.sendall(struct.pack("<I", len(body)) + body)
        elif verb == "bytes":
            connection.sendall(bytes.fromhex(rest))
        elif verb == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            break
        elif verb == "close":
            break
    connection.close()


def main():
    words = sys.argv[1:]
    late = words[0] == "--late"
    if late:
        words.pop(0)
    greeting = b""
    if words[0] == "--greeting":
        greeting = words[1].encode()
        del words[:2]
    address, *actions = words
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    listener, name = bind(address)
    say("bound, on " + name)
    if late:
        signal.sigwait({signal.SIGUSR1})
    if actions == ["deaf"]:
        listener.listen(0)
        filler = socket.socket(listener.family)
        filler.connect(listener.getsockname())
        say("ready, on " + name)
        signal.pause()
    listener.listen()
    say("ready, on " + name)
    script = Script(actions)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, script, greeting), daemon=True).start()


main()
