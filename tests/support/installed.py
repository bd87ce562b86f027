# SPDX-License-Identifier: MIT
"""The build that is tested, installed to a scratch prefix."""

import os
import pathlib
import re
import subprocess
import tempfile

import handoff

BUILD = handoff.BIN.parent


def environment(**more) -> dict[str, str]:
    """The environment of the tests, with a PATH, and without the DESTDIR of a `make install`."""
    found = {"PATH": "/usr/local/bin:/usr/bin:/bin", **os.environ}
    found.pop("DESTDIR", None)
    return {**found, **more}


def run(*words, env=None, cwd=None) -> subprocess.CompletedProcess:
    """Runs a program that has to end well, and gives what it said."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, cwd=cwd,
                          env=environment() if env is None else env)
    if done.returncode:
        raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def public_headers() -> list[str]:
    """The list in lib/CMakeLists.txt."""
    cmake = (handoff.ROOT / "lib/CMakeLists.txt").read_text()
    return re.search(r"^set\(handoff_public_headers\s([^)]*)\)", cmake, re.M)[1].split()


def install(prefix, **more):
    run("cmake", "--install", BUILD, "--strip", "--prefix", prefix, env=environment(**more))


def uninstall(prefix, **more):
    run("cmake", "-D", f"BUILD={BUILD}", "-D", f"PREFIX={prefix}",
        "-P", handoff.ROOT / "tools/install/uninstall.cmake", env=environment(**more))


class TestCase(handoff.TestCase):
    """Tests of one installation, in a prefix that has a space in its name."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="handoff-")
        cls.addClassCleanup(directory.cleanup)
        cls.prefix = pathlib.Path(directory.name) / "a prefix"
        install(cls.prefix)
        cls.addClassCleanup(uninstall, cls.prefix)
        cls.libdir = next(cls.prefix.rglob("libhandoff.so")).parent
        cls.pkgconfig = cls.libdir / "pkgconfig"
