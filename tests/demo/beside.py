# SPDX-License-Identifier: MIT
"""Reloads each server that the arguments name, under the load of tests/bench/measure_reload.py.

It prints a JSON object a line for each server: its name, and either what its clients have lost or
why that is not known. It is a program of its own, so that its threads do not disturb the clients of
the demo."""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench"))
import measure_reload  # noqa: E402

def outcome(name: str) -> dict:
    servers = measure_reload.servers()
    if name not in servers:
        return {"problem": "not installed"}
    try:
        lost, failed, _ = measure_reload.reload_under_load(servers[name], reloads=1)
    except (OSError, AssertionError, EOFError) as problem:
        return {"problem": f"not measured: {str(problem).splitlines()[0]}"}
    return {"clients": measure_reload.CLIENTS, "lost": lost, "failed": failed}


def main():
    for name in sys.argv[1:]:
        print(json.dumps({"name": name, **outcome(name)}), flush=True)


if __name__ == "__main__":
    main()
