# SPDX-License-Identifier: MIT
"""The Debian packages that CPack makes of the build that is tested: what is in them, and that it
works. None is installed."""

import gzip
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import installed  # noqa: E402
from installed import run  # noqa: E402

VERSION = re.search(r"handoff VERSION (\S+)", (handoff.ROOT / "CMakeLists.txt").read_text())[1]
DEBIAN_VERSION = f"{VERSION}-1"
TOOLS = ["fdrecv", "fdsend", "rpc-call", "rpc-master", "rpc-ping", "rpc-worker"]
NAMES = ["handoff", "libhandoff0", "libhandoff-dev"]
COMPLETIONS = ["usr/share/bash-completion/completions/{}", "usr/share/zsh/vendor-completions/_{}",
               "usr/share/fish/vendor_completions.d/{}.fish"]
DOCUMENTS = pathlib.Path("usr/share/doc")


class Package:
    """A package file: its fields, its control files, and the entries of its archive by path."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        fields = run("dpkg-deb", "--field", path).stdout
        self.fields = dict(re.findall(r"^([\w-]+): (.*)$", fields, re.MULTILINE))
        self.control = {entry.name.removeprefix("./"): text
                        for entry, text in self._entries("--ctrl-tarfile")}
        files = self._entries("--fsys-tarfile")
        self.entries = {entry.name.removeprefix("./"): entry for entry, _ in files}
        self.contents = {entry.name.removeprefix("./"): text for entry, text in files
                         if entry.isfile()}

    def _entries(self, which: str) -> list[tuple[tarfile.TarInfo, bytes]]:
        data = subprocess.run(["dpkg-deb", which, self.path], check=True, capture_output=True,
                              timeout=handoff.PATIENCE).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return [(entry, archive.extractfile(entry).read() if entry.isfile() else b"")
                    for entry in archive]

    def files(self) -> set[str]:
        """The paths of all that is no folder."""
        return {path for path, entry in self.entries.items() if not entry.isdir()}

    def depends(self) -> list[str]:
        return self.fields["Depends"].split(", ")


@unittest.skipIf(handoff.SANITIZED, "packages are made of ordinary builds")
@unittest.skipUnless(shutil.which("dpkg-deb"), "no dpkg-deb")
@unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "no dpkg-shlibdeps")
class Deb(handoff.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="handoff-")
        cls.addClassCleanup(directory.cleanup)
        cls.scratch = pathlib.Path(directory.name)
        said = run("cpack", "--config", installed.BUILD / "CPackConfig.cmake",
                   "-B", cls.scratch / "packages")
        cls.warnings = said.stderr
        found = [Package(path) for path in (cls.scratch / "packages").glob("*.deb")]
        cls.packages = {package.fields["Package"]: package for package in found}
        # All three, side by side, as dpkg would unpack them.
        cls.root = cls.scratch / "root"
        for package in found:
            run("dpkg-deb", "-x", package.path, cls.root)
        cls.bin = cls.root / "usr/bin"
        cls.libdir = next(cls.root.rglob("libhandoff.so")).parent

    def environment(self) -> dict[str, str]:
        return installed.environment(LD_LIBRARY_PATH=str(self.libdir))

    def test_there_are_three_packages_with_the_version_of_the_project(self):
        self.assertEqual(set(self.packages), set(NAMES))
        self.assertEqual(self.warnings, "")
        for name, package in self.packages.items():
            architecture = run("dpkg", "--print-architecture").stdout.strip()
            self.assertEqual(package.path.name, f"{name}_{DEBIAN_VERSION}_{architecture}.deb")
            self.assertEqual(package.fields["Version"], DEBIAN_VERSION)
            self.assertEqual(package.fields["Architecture"], architecture)
            self.assertLess(len(package.fields["Description"]), 80)

    def test_all_belongs_to_root_and_is_writable_only_by_root(self):
        for package in self.packages.values():
            for path, entry in package.entries.items():
                with self.subTest(path):
                    self.assertEqual((entry.uid, entry.gid), (0, 0))
                    if not entry.issym():
                        executable = entry.isdir() or os.access(self.root / path, os.X_OK)
                        self.assertEqual(entry.mode & 0o7777, 0o755 if executable else 0o644)

    def test_the_packages_share_no_file_and_together_have_all_that_is_installed(self):
        together = [path for package in self.packages.values() for path in package.files()]
        self.assertEqual(len(together), len(set(together)))
        prefix = self.directory / "prefix"
        installed.install(prefix)
        self.addCleanup(installed.uninstall, prefix)
        # These have another name in a package, or are about the source tree.
        renamed = {f"{DOCUMENTS}/handoff/{name}" for name in
                   ("CHANGELOG.md", "LICENSE", "CONTRIBUTING.md")}
        wanted = {f"usr/{path.relative_to(prefix)}".replace("site-functions", "vendor-completions")
                  for path in prefix.rglob("*") if not path.is_dir()} - renamed
        self.assertEqual(wanted - {path.removesuffix(".gz") for path in together}, set())

    def test_each_file_is_in_the_package_that_needs_it(self):
        tools, library, development = (self.packages[name].files() for name in NAMES)
        self.assertLessEqual({f"usr/bin/{tool}" for tool in TOOLS}, tools)
        self.assertLessEqual({f"usr/lib/systemd/system/handoff@.{kind}"
                              for kind in ("service", "socket")}, tools)
        self.assertLessEqual({path.format(tool) for path in COMPLETIONS for tool in TOOLS}, tools)
        libdir = self.libdir.relative_to(self.root)
        self.assertEqual({path for path in library if path.startswith(f"{libdir}/")},
                         {f"{libdir}/libhandoff.so.0", f"{libdir}/libhandoff.so.{VERSION}"})
        self.assertLessEqual({f"{libdir}/libhandoff.so", f"{libdir}/pkgconfig/handoff.pc",
                              "usr/include/handoff/cli/worker_main.hpp"}, development)
        for path in library | development:
            self.assertNotRegex(path, r"^usr/(bin|lib/systemd)/")

    def test_man_pages_and_changelogs_are_compressed_in_a_way_that_is_always_the_same(self):
        changelog = f"{DOCUMENTS}/handoff/changelog.gz"
        sources = {changelog: handoff.ROOT / "CHANGELOG.md"}
        for page in (handoff.ROOT / "man").iterdir():
            sources[f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz"] = page
        tools = self.packages["handoff"].contents
        development = self.packages["libhandoff-dev"].contents
        self.assertEqual({path for path in [*tools, *development]
                          if path.startswith("usr/share/man/")}, set(sources) - {changelog})
        for path, source in sources.items():
            with self.subTest(path):
                packed = (development if source.suffix == ".3" else tools)[path]
                # The best compression, without a name and a time.
                self.assertEqual(packed[:9], b"\x1f\x8b\x08\0\0\0\0\0\2")
                self.assertEqual(gzip.decompress(packed), source.read_bytes())

    def test_each_package_has_its_licence_and_its_changelog(self):
        licence = (handoff.ROOT / "LICENSE").read_text()
        for name, package in self.packages.items():
            said = package.contents[f"{DOCUMENTS}/{name}/copyright"].decode()
            self.assertIn("Copyright: 2026 The handoff authors", said)
            text = " ".join(word for word in said.split() if word != ".")
            self.assertIn(" ".join(licence[licence.index("Permission"):].split()), text)
            changes = gzip.decompress(package.contents[f"{DOCUMENTS}/{name}/changelog.Debian.gz"])
            self.assertTrue(changes.decode().startswith(f"handoff ({DEBIAN_VERSION}) "))

    def test_what_is_linked_with_the_library_depends_on_a_version_that_fits(self):
        same = f"libhandoff0 (= {DEBIAN_VERSION})"
        tools, library, development = (self.packages[name] for name in NAMES)
        self.assertIn(same, tools.depends())
        self.assertEqual(development.depends(), [same])
        for package in (tools, library):
            needed = {depend.split()[0].rstrip("0123456789") for depend in package.depends()}
            self.assertLessEqual({"libc", "libstdc++", "libfmt"}, needed)
        self.assertEqual(library.control["shlibs"].decode(),
                         "libhandoff 0 libhandoff0 (>= 0.1~), libhandoff0 (<< 0.2~)\n")

    def test_dpkg_runs_ldconfig_by_a_trigger_and_no_package_runs_a_script(self):
        scripts = {"preinst", "postinst", "prerm", "postrm"}
        for name, package in self.packages.items():
            self.assertEqual(scripts & set(package.control), set(), name)
        self.assertEqual(self.packages["libhandoff0"].control["triggers"].decode(),
                         "activate-noawait ldconfig\n")

    def test_programs_are_stripped_and_have_no_runpath(self):
        for program in [*self.bin.iterdir(), self.libdir / "libhandoff.so.0"]:
            with self.subTest(program.name):
                self.assertNotRegex(run("readelf", "-S", "-W", program).stdout,
                                    r"\.(symtab|debug_info|comment)\b")
                self.assertNotRegex(run("readelf", "-d", program).stdout, "RUNPATH|RPATH")

    def test_the_tools_run_with_the_library_of_its_package(self):
        environment = self.environment()
        for tool in TOOLS:
            self.assertEqual(run(self.bin / tool, "--version", env=environment).stdout,
                             f"{tool} (handoff) {VERSION}\n")
        server = self.start(handoff.Server(str(self.bin / "rpc-master"), "-l", "127.0.0.1:0", "-n",
                                           "1", "--", str(self.bin / "rpc-worker"),
                                           env=environment))
        loaded = pathlib.Path(f"/proc/{server.worker_pids()[0]}/maps").read_text()
        self.assertIn(f"{self.libdir}/libhandoff.so.{VERSION}", loaded)
        host, port = server.address
        done = run(self.bin / "rpc-call", f"{host}:{port}", "echo", "text=packed", env=environment)
        self.assertIn('"packed"', done.stdout)

    @unittest.skipUnless(shutil.which("g++"), "no g++")
    @unittest.skipUnless(shutil.which("pkg-config"), "no pkg-config")
    def test_a_worker_is_built_with_the_development_package(self):
        said = run("pkg-config", "--cflags", "--libs", "handoff",
                   env=installed.environment(PKG_CONFIG_PATH=str(self.libdir / "pkgconfig"))).stdout
        self.assertIn(str(self.root), os.path.normpath(shlex.split(said)[0][2:]))
        program = self.directory / "native-worker"
        run("g++", "-std=c++20", "-o", program, handoff.ROOT / "tests/examples/native_worker.cpp",
            *shlex.split(said), cwd=self.directory)
        server = self.start(handoff.Server(str(self.bin / "rpc-master"), "-l", "127.0.0.1:0", "-n",
                                           "1", "--", str(program), env=self.environment()))
        host, port = server.address
        done = run(self.bin / "rpc-call", f"{host}:{port}", "later", "0", env=self.environment())
        self.assertEqual(done.stdout, "0\n")

    def test_systemd_is_asked_to_enable_nothing(self):
        for package in self.packages.values():
            for path in package.entries:
                self.assertNotRegex(path, r"\.wants(/|$)|^etc(/|$)")

    @unittest.skipUnless(shutil.which("lintian"), "no lintian")
    def test_lintian_has_nothing_to_say_but_what_its_overrides_name(self):
        if "usr/lib/pkgconfig/handoff.pc" in self.packages["libhandoff-dev"].entries:
            self.skipTest("this build is not for /usr, as that of make deb is")
        done = subprocess.run(["lintian", "--fail-on", "error,warning", "--allow-root",
                               *(package.path for package in self.packages.values())],
                              capture_output=True, text=True, check=False,
                              timeout=10 * handoff.PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


if __name__ == "__main__":
    handoff.run_tests()
