# SPDX-License-Identifier: MIT
"""Projects outside the tree that use the library: installed, through pkg-config and CMake, and as a
part of their own build."""

import os
import pathlib
import re
import shlex
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import installed  # noqa: E402
from installed import run  # noqa: E402

WORKER = handoff.ROOT / "tests/examples/native_worker.cpp"


def configure(source, build, *options):
    return run("cmake", "-S", source, "-B", build, "-G", "Ninja", *options)


@unittest.skipIf(handoff.SANITIZED, "the library was built by another compiler")
@unittest.skipUnless(shutil.which("g++"), "no g++")
class OverTheInstalledLibrary(installed.TestCase):
    def is_a_worker(self, program: pathlib.Path):
        """The native worker serves a method of its own, over the installed library."""
        libraries = {**os.environ, "LD_LIBRARY_PATH": str(self.libdir)}
        server = self.start(handoff.master(command=[str(program), "-m", "cat=cat"], workers=1,
                                           env=libraries))
        loaded = pathlib.Path(f"/proc/{server.worker_pids()[0]}/maps").read_text()
        self.assertIn(f"{os.path.realpath(self.libdir)}/libhandoff.so", loaded)
        client = self.open(server)
        client.send("later", 0.05, id=1)
        client.send("cat", [1], id=2)
        client.send("later", 0, id=3)
        self.assertEqual({(reply["id"], str(reply["result"]))
                          for reply in (client.receive() for _ in range(3))},
                         {(1, "0.05"), (2, "[1]"), (3, "0")})

    def is_built_by_pkg_config(self, standard: str):
        if not shutil.which("pkg-config"):
            self.skipTest("no pkg-config")
        said = run("pkg-config", "--cflags", "--libs", "handoff",
                   env=installed.environment(PKG_CONFIG_PATH=str(self.pkgconfig))).stdout
        self.assertNotIn("-std", said)
        program = self.directory / "native-worker"
        run("g++", f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-o", program, WORKER,
            *shlex.split(said), cwd=self.directory)
        self.is_a_worker(program)

    def test_a_worker_is_built_by_pkg_config_as_cxx20(self):
        self.is_built_by_pkg_config("c++20")

    def test_a_worker_is_built_by_pkg_config_as_cxx23(self):
        self.is_built_by_pkg_config("c++23")

    def test_a_worker_is_built_by_cmake_in_either_standard(self):
        (self.directory / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(handoff 0.1 REQUIRED)
add_executable(as20 "{WORKER}")
add_executable(as23 "{WORKER}")
set_target_properties(as23 PROPERTIES CXX_STANDARD 23)
foreach(worker as20 as23)
  target_link_libraries(${{worker}} PRIVATE handoff::handoff)
endforeach()
""")
        build = self.directory / "build"
        configure(self.directory, build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
                  "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
        commands = (build / "compile_commands.json").read_text()
        self.assertEqual(re.findall(r"-std=\S+", commands), ["-std=gnu++20", "-std=gnu++23"])
        run("cmake", "--build", build)
        for worker in ("as20", "as23"):
            self.is_a_worker(build / worker)

    def test_no_header_needs_another_package(self):
        headers = self.prefix / "include/handoff"
        source = self.directory / "all.cpp"
        source.write_text("".join(f'#include "{path.relative_to(headers)}"\n'
                                  for path in sorted(headers.rglob("*.hpp"))))
        read = run("g++", "-std=c++23", "-Wall", "-Wextra", "-Werror", "-M", "-I", headers,
                   source).stdout
        self.assertIn("worker_main.hpp", read)
        self.assertNotRegex(read, r"/(fmt|nlohmann|CLI|doctest)/|simdjson\.h")

    def test_another_minor_version_is_not_taken_for_this_one(self):
        (self.directory / "CMakeLists.txt").write_text("""
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES NONE)
find_package(handoff ${WANTED} REQUIRED)
""")
        for wanted in ("0.0", "0.2", "1.0"):
            with self.assertRaisesRegex(AssertionError, "0.1.0"):
                configure(self.directory, self.directory / wanted, f"-DWANTED={wanted}",
                          f"-DCMAKE_PREFIX_PATH={self.prefix}")


class AsAPartOfAnotherProject(handoff.TestCase):
    PROJECT = f"""
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 23)
add_subdirectory("{handoff.ROOT}" handoff)
add_executable(worker "{WORKER}")
target_link_libraries(worker PRIVATE handoff::handoff)
get_property(targets DIRECTORY "{handoff.ROOT}" PROPERTY BUILDSYSTEM_TARGETS)
get_property(inner DIRECTORY "{handoff.ROOT}/lib" PROPERTY BUILDSYSTEM_TARGETS)
get_property(tests DIRECTORY "{handoff.ROOT}" PROPERTY TESTS)
foreach(name CMAKE_CXX_STANDARD CMAKE_BUILD_TYPE CMAKE_RUNTIME_OUTPUT_DIRECTORY
             CMAKE_LIBRARY_OUTPUT_DIRECTORY CMAKE_INSTALL_RPATH BUILD_TESTING targets inner tests)
  message("${{name}}=${{${{name}}}}")
endforeach()
"""

    def setUp(self):
        super().setUp()
        (self.directory / "CMakeLists.txt").write_text(self.PROJECT)
        self.build = self.directory / "build"
        said = configure(self.directory, self.build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON").stderr
        self.said = dict(re.findall(r"^(\w+)=(.*)$", said, re.MULTILINE))

    def test_a_subdirectory_brings_the_library_alone(self):
        self.assertEqual((self.said["targets"], self.said["tests"]), ("", ""))
        inner = self.said["inner"].split(";")
        self.assertIn("handoff", inner)
        # Those that it is made of.
        self.assertTrue(all(re.fullmatch(r"handoff(_\w+)?", target) for target in inner), inner)
        help_ = run("cmake", "--build", self.build, "--target", "help").stdout
        self.assertIn("libhandoff.so", help_)
        self.assertNotRegex(help_, r"rpc-call|_test\b|fdsend|bench")

    def test_a_subdirectory_leaves_the_variables_of_the_project_alone(self):
        wanted = {"CMAKE_CXX_STANDARD": "23", "CMAKE_BUILD_TYPE": "", "BUILD_TESTING": "",
                  "CMAKE_RUNTIME_OUTPUT_DIRECTORY": "", "CMAKE_LIBRARY_OUTPUT_DIRECTORY": "",
                  "CMAKE_INSTALL_RPATH": ""}
        self.assertEqual({name: self.said[name] for name in wanted}, wanted)
        commands = (self.build / "compile_commands.json").read_text()
        self.assertIn("-std=gnu++23", commands)
        self.assertNotIn("-Werror", commands)
        self.assertNotIn("-Wconversion", commands)

    def test_a_subdirectory_has_nothing_to_install(self):
        prefix = self.directory / "prefix"
        run("cmake", "--install", self.build, "--prefix", prefix)
        self.assertFalse(prefix.exists())

    def test_a_worker_compiles_with_it(self):
        run("cmake", "--build", self.build, "--target",
            next(line.split(":")[0] for line in
                 run("ninja", "-C", self.build, "-t", "targets", "all").stdout.splitlines()
                 if line.startswith("CMakeFiles/worker.dir/")))


class VersionsOfSimdjson(handoff.TestCase):
    def test_versions_3_and_4_of_simdjson_are_taken_and_others_are_refused(self):
        package = self.directory / "simdjson"
        package.mkdir()
        (package / "simdjson-config.cmake").write_text(
            "add_library(simdjson::simdjson INTERFACE IMPORTED)\n")
        build = self.directory / "build"

        def with_version(version: str):
            # The version file of simdjson does the same: no other minor version is a match.
            (package / "simdjson-config-version.cmake").write_text(
                f'set(PACKAGE_VERSION "{version}")\n'
                f'if("{version}." MATCHES "^${{PACKAGE_FIND_VERSION}}")\n'
                '  set(PACKAGE_VERSION_COMPATIBLE TRUE)\n'
                'endif()\n')
            configure(handoff.ROOT, build, "-DBUILD_TESTING=OFF", f"-Dsimdjson_DIR={package}")

        for version in ("3.0.0", "3.0.1", "3.13.0", "4.6.1"):
            with_version(version)
        for version in ("2.2.3", "5.0.0"):
            with self.assertRaisesRegex(AssertionError, f"simdjson {version} in .* cannot be used"):
                with_version(version)


if __name__ == "__main__":
    handoff.run_tests()
