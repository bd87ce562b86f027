#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Methods in Python, all in one process: `rpc-worker -l :8080 -K 'text.*=./service.py'`."""
import json
import sys

METHODS = {"text.upper": str.upper, "text.join": lambda *words: "-".join(words)}

for line in sys.stdin:
    request = json.loads(line)
    try:
        reply = {"out": request["in"], "result": METHODS[request["in"]](*request["params"])}
    except Exception as error:
        reply = {"out": "error", "result": {"code": -32602, "message": repr(error)}}
    print(json.dumps({**reply, "id": request["id"]}), flush=True)
