# SPDX-License-Identifier: MIT
"""A worker without a handshake: receives one byte and one descriptor for each connection, serves it
until its client leaves, then receives the next. `pid` is answered besides `ping`."""

import json
import os
import socket
import struct


def serve(connection: socket.socket):
    while header := connection.recv(4, socket.MSG_WAITALL):
        body = connection.recv(struct.unpack("<I", header)[0], socket.MSG_WAITALL)
        request = json.loads(body)
        if request["in"] == "ping":
            reply = {"out": "pong", "result": request["params"]}
        else:
            reply = {"out": request["in"], "result": os.getpid()}
        text = json.dumps(reply).encode()
        connection.sendall(struct.pack("<I", len(text)) + text)


channel = socket.socket(fileno=int(os.environ["HANDOFF_CHANNEL_FD"]))
while True:
    data, descriptors, flags, address = socket.recv_fds(channel, 1, 1)
    if not data:
        break
    if not descriptors:
        continue  # of the address of a client behind a proxy
    with socket.socket(fileno=descriptors[0]) as client:
        serve(client)
