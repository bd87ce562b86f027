# SPDX-License-Identifier: MIT
"""Measures, side by side with others in one run, and prints a table: `make bench`, or

    python3 tests/bench/bench.py [BUILD [SUBJECT...]]

A subject is a module measure_SUBJECT.py, whose measure() gives rows of a name and a value. Its
table is also written to BUILD/bench/SUBJECT.txt, and that of the whole run to results.txt there.
What is drawn is there as SUBJECT.svg and .png.

Machines are noisy: what is compared runs in turns, and medians and ratios are what counts. A
warning tells when the machine had other things to do.
"""

import importlib
import os
import pathlib
import sys

sys.dont_write_bytecode = True

from disturbance import Disturbance  # noqa: E402

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


def main():
    build, subjects = parse(sys.argv[1:])
    # What is imported from here on finds the programs by it.
    os.environ["HANDOFF_BIN"] = str(build / "bin")
    warning = importlib.import_module("bench_support").LOAD_WARNING
    with (build / "bench" / "results.txt").open("w") as results:
        if warning:
            say(warning, results)
        for subject in subjects:
            module = importlib.import_module(f"measure_{subject}")
            with (build / "bench" / f"{subject}.txt").open("w") as table:
                if warning:
                    print(warning, file=table)
                say(f"== {subject}", results, table)
                disturbance = Disturbance()
                for name, value in module.measure():
                    say(f"{name:62} {value:>18}".rstrip(), results, table)
                if disturbance.warning():
                    say(disturbance.warning(), results, table)


main()
