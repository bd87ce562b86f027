# SPDX-License-Identifier: MIT
"""A process of clients that stay connected and call now and then, for measure_scale.py:

    idle_clients.py HOST PORT COUNT RATE

RATE calls a second, each on the next of COUNT connections that has none under way. Prints a line of
JSON when all are connected, and one for each line that it reads: what was lost, and how long the
one that waited longest has waited, both since the line before.
"""

import json
import os
import resource
import select
import socket
import struct
import sys
import time

BODY = b'{"in":"ping"}'
REQUEST = struct.pack("<I", len(BODY)) + BODY


class Clients:
    def __init__(self, address, count: int, rate: float):
        self.poll = select.epoll()
        self.sockets = {}
        for _ in range(count):
            client = socket.create_connection(address)
            client.setblocking(False)
            self.sockets[client.fileno()] = client
            self.poll.register(client.fileno(), select.EPOLLIN)
        self.turn = list(self.sockets)
        self.next = 0
        self.sent: dict[int, float] = {}  # of those that wait: when
        self.rate, self.began, self.done = rate, time.monotonic(), 0
        self.lost, self.worst, self.answered = 0, 0.0, 0

    def say(self):
        now = time.monotonic()
        worst = max([self.worst, *(now - then for then in self.sent.values())])
        print(json.dumps(dict(lost=self.lost, worst=worst, answered=self.answered,
                              open=len(self.sockets))), flush=True)
        self.lost, self.worst, self.answered = 0, 0.0, 0

    def call(self):
        due = int((time.monotonic() - self.began) * self.rate) - self.done
        self.done += due
        for _ in range(min(due, 1000)):
            number = self.turn[self.next]
            self.next = (self.next + 1) % len(self.turn)
            if number not in self.sockets or number in self.sent:
                continue
            try:
                self.sockets[number].send(REQUEST)
                self.sent[number] = time.monotonic()
            except OSError:
                self.lose(number)

    def lose(self, number: int):
        self.lost += 1
        self.sent.pop(number, None)
        self.poll.unregister(number)
        self.sockets.pop(number).close()

    def receive(self, number: int):
        try:
            data = self.sockets[number].recv(4096)
        except OSError:
            data = b""
        if not data:
            return self.lose(number)
        self.worst = max(self.worst, time.monotonic() - self.sent.pop(number))
        self.answered += 1

    def run(self):
        self.say()
        self.poll.register(0, select.EPOLLIN)
        while True:
            self.call()
            for number, _ in self.poll.poll(0.002):
                if number != 0:
                    self.receive(number)
                elif os.read(0, 100):
                    self.say()
                else:
                    return


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    host, port, count, rate = sys.argv[1:]
    Clients((host, int(port)), int(count), float(rate)).run()


if __name__ == "__main__":
    main()
