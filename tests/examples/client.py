#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client in Python: `./client.py ./rpc.sock METHOD [JSON]`."""
import json
import socket
import sys

path, method, params = (*sys.argv[1:], "null")[:3]
with socket.socket(socket.AF_UNIX) as server:
    server.connect(path)
    server.sendall(json.dumps({"in": method, "params": json.loads(params)}).encode() + b"\n")
    reply = json.loads(server.makefile().readline())
if reply["out"] == "error":
    sys.exit(f"{method} failed: {reply['result']['message']}")
print(json.dumps(reply["result"]))
