#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker in Python: `rpc-master --handshake none -- ./plain_worker.py`.

The master passes a byte with a descriptor for each connection; the worker does as it likes with it.
"""
import os
import socket

channel = socket.socket(fileno=int(os.environ["HANDOFF_CHANNEL_FD"]))
while fds := socket.recv_fds(channel, 1, 1)[1]:
    with socket.socket(fileno=fds[0]) as client, client.makefile("rw") as lines:
        for line in lines:
            lines.write(line.upper())
            lines.flush()
