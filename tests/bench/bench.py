# SPDX-License-Identifier: MIT
"""Measures, side by side with others in one run, and prints a table: `make bench`, or

    python3 tests/bench/bench.py [BUILD [SUBJECT...]]

A subject is a module measure_SUBJECT.py, whose measure() yields rows of a name and a value. Its
table is also written to BUILD/bench/SUBJECT.txt, and that of the whole run to results.txt there.
What measure() returns, if anything, is SUBJECT.json there, which draw_SUBJECT.py draws as
SUBJECT.svg and .png.

Machines are noisy: what is compared runs in turns, and medians and ratios are what counts. A
warning, in the table and below the picture, tells when the machine had other things to do.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True

from disturbance import Disturbance, load_warning  # noqa: E402

HERE = pathlib.Path(__file__).parent
SUBJECTS = sorted(path.stem.removeprefix("measure_") for path in HERE.glob("measure_*.py"))


def parse(words: list[str]) -> tuple[pathlib.Path, list[str]]:
    build = pathlib.Path(words[0] if words else "build").resolve()
    unknown = set(words[1:]) - set(SUBJECTS)
    if unknown or not (build / "bench").is_dir():
        problem = f"no subject {', '.join(unknown)}" if unknown else f"{build} is no build"
        print(f"bench: {problem}\nUsage: bench.py [BUILD [SUBJECT...]], of: {' '.join(SUBJECTS)}",
              file=sys.stderr)
        sys.exit(2)
    return build, words[1:] or SUBJECTS


def say(line: str, *files):
    for file in (sys.stdout, *files):
        print(line, file=file, flush=True)


def draw(file: pathlib.Path, measured: dict):
    """Writes what was measured to the file, SUBJECT.json, and has draw_SUBJECT.py draw it, with
    Debian's Python, whichever runs us: Debian's matplotlib is for that one."""
    file.write_text(json.dumps(measured, indent=1))
    subprocess.run(["/usr/bin/python3", "-B", HERE / f"draw_{file.stem}.py", file], check=True)


def rows_of(subject: str, directory: pathlib.Path, before: str):
    """Those of its table. When all is measured, it is drawn, with `before` and what disturbed it as
    warnings, where there are any."""
    module = importlib.import_module(f"measure_{subject}")
    disturbance = Disturbance()
    measured = yield from module.measure()
    meanwhile = disturbance.warning()
    if meanwhile:
        yield meanwhile, ""
    if measured:
        warnings = [warning for warning in (before, meanwhile) if warning]
        draw(directory / f"{subject}.json", {"warnings": warnings, **measured})


def main():
    build, subjects = parse(sys.argv[1:])
    directory = build / "bench"
    # What is imported from here on finds the programs by it.
    os.environ["HANDOFF_BIN"] = str(build / "bin")
    before = load_warning()
    with (directory / "results.txt").open("w") as results:
        if before:
            say(before, results)
        for subject in subjects:
            with (directory / f"{subject}.txt").open("w") as table:
                if before:
                    print(before, file=table)
                say(f"== {subject}", results, table)
                for name, value in rows_of(subject, directory, before):
                    say(f"{name:62} {value:>18}".rstrip(), results, table)


main()
