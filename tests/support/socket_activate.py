#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a command with listening sockets from descriptor 3 on, as a service manager does
(sd_listen_fds(3)).

usage: socket_activate.py PATH... -- COMMAND [ARG...]
"""
import os
import socket
import sys

words = sys.argv[1:]
dashes = words.index("--")
listeners = []
for path in words[:dashes]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listeners.append(listener)
# Out of the way first, then to their places.
copies = [os.dup2(listener.fileno(), 100 + i) for i, listener in enumerate(listeners)]
for number, copy in enumerate(copies, start=3):
    os.dup2(copy, number)
    os.set_inheritable(number, True)
    os.close(copy)
os.environ["LISTEN_FDS"] = str(len(listeners))
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(words[dashes + 1], words[dashes + 1 :])
