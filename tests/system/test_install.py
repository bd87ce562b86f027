# SPDX-License-Identifier: MIT
"""What `cmake --install` installs and uninstall.cmake removes, wherever the prefix is."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402
import installed  # noqa: E402
from installed import run  # noqa: E402

TOOLS = ["fdrecv", "fdsend", "rpc-call", "rpc-master", "rpc-ping", "rpc-worker"]
SCRIPTS = handoff.ROOT / "tools" / "install"
COMPLETIONS = {"bash-completion/completions": "{}", "zsh/site-functions": "_{}",
               "fish/vendor_completions.d": "{}.fish"}
UNITS = pathlib.Path("lib/systemd/system")


def names(folder: pathlib.Path, pattern: str = "*") -> set[str]:
    return {path.name for path in folder.glob(pattern)}


def runpath(program) -> str:
    """The RUNPATH of a program, or nothing."""
    found = re.search(r"RUNPATH.*\[(.*)\]", run("readelf", "-d", program).stdout)
    return found.group(1) if found else ""


def settings(unit: pathlib.Path) -> dict[str, str]:
    """The settings of a unit file. None that is read here stands there twice."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


class Installed(installed.TestCase):
    def test_everything_that_a_user_needs_is_there(self):
        root = handoff.ROOT
        documents = self.prefix / "share/doc/handoff"
        manuals = self.prefix / "share/man"
        self.assertEqual(names(self.prefix), {"bin", "include", "share",
                                              self.libdir.relative_to(self.prefix).parts[0], "lib"})
        self.assertEqual(names(self.prefix / "bin"), set(TOOLS))
        self.assertEqual(names(self.libdir, "libhandoff*"),
                         {"libhandoff.so", "libhandoff.so.0", "libhandoff.so.0.1.0"})
        self.assertEqual(names(self.pkgconfig), {"handoff.pc"})
        self.assertLessEqual({"handoff-config.cmake", "handoff-config-version.cmake"},
                             names(self.libdir / "cmake/handoff"))
        self.assertEqual(names(documents), {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
                                            "SECURITY.md", "examples"})
        self.assertEqual(names(documents / "examples"), names(root / "tests/examples"))
        for section in ("1", "3", "7"):
            self.assertEqual(names(manuals / f"man{section}"), names(root / "man", f"*.{section}"))
        for folder, form in COMPLETIONS.items():
            self.assertEqual(names(self.prefix / "share" / folder),
                             {form.format(tool) for tool in TOOLS})
        self.assertEqual(names(self.prefix / UNITS), {"handoff@.service", "handoff@.socket"})
        headers = self.prefix / "include/handoff"
        self.assertEqual({str(path.relative_to(headers)) for path in headers.rglob("*.*")},
                         set(installed.public_headers()))

    def test_examples_can_still_be_executed(self):
        for script in (handoff.ROOT / "tests/examples").iterdir():
            copy = self.prefix / "share/doc/handoff/examples" / script.name
            self.assertEqual(os.access(copy, os.X_OK), os.access(script, os.X_OK), copy)

    def test_no_program_has_symbols_that_nothing_needs(self):
        for program in [*(self.prefix / "bin").iterdir(), self.libdir / "libhandoff.so"]:
            sections = run("readelf", "-S", "-W", program).stdout
            self.assertIn(".dynsym", sections)
            self.assertNotRegex(sections, r"\.(symtab|debug_info)", program)

    def test_the_tools_run_from_where_they_are(self):
        bin_ = self.prefix / "bin"
        server = self.start(handoff.Server(str(bin_ / "rpc-master"), "-l", "127.0.0.1:0", "-n", "1",
                                           "--", str(bin_ / "rpc-worker")))
        host, port = server.address
        done = run(bin_ / "rpc-call", f"{host}:{port}", "echo", "text=hello")
        self.assertIn('"hello"', done.stdout)
        for tool in TOOLS:
            self.assertEqual(run(bin_ / tool, "--version").stdout.split()[0], tool)

    def test_the_service_starts_the_installed_master_which_finds_the_installed_worker(self):
        service = settings(self.prefix / UNITS / "handoff@.service")
        # systemd's quoting is the shell's here.
        words = shlex.split(service["ExecStart"].replace("$HANDOFF_ARGS",
                                                         "-l 127.0.0.1:0 -n 1 -- rpc-worker"))
        environment = dict(word.split("=", 1) for word in shlex.split(service["Environment"]))
        server = self.start(handoff.Server(*words, env=environment))
        self.assertEqual(os.readlink(f"/proc/{server.pid}/exe"),
                         os.path.realpath(self.prefix / "bin/rpc-master"))
        worker = server.worker_pids()[0]
        self.assertEqual(os.readlink(f"/proc/{worker}/exe"),
                         os.path.realpath(self.prefix / "bin/rpc-worker"))
        reload = service["ExecReload"].replace("$MAINPID", str(server.pid))
        run(*shlex.split(reload), env={})
        server.wait_for_line("reload")

    def test_systemd_finds_nothing_wrong_with_the_units(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze")
        units = [self.prefix / UNITS / name for name in ("handoff@.service", "handoff@.socket")]
        done = run("systemd-analyze", "verify", "--man=no", *units)
        self.assertEqual(done.stdout + done.stderr, "")

    def test_the_tools_have_a_runpath_only_where_the_loader_would_not_find_the_library(self):
        library = os.path.relpath(self.libdir, self.prefix / "bin")
        for tool in TOOLS:
            self.assertEqual(runpath(self.prefix / "bin" / tool), f"$ORIGIN/{library}")
        root = self.directory / "root"
        installed.install("/usr", DESTDIR=str(root))
        self.addCleanup(installed.uninstall, "/usr", DESTDIR=str(root))
        for tool in TOOLS:
            self.assertEqual(runpath(root / "usr/bin" / tool), "")
            # The build is as it was.
            self.assertIn("$ORIGIN/../lib", runpath(handoff.tool(tool)))


class Removed(handoff.TestCase):
    def test_uninstall_leaves_nothing(self):
        prefix = self.directory / "new" / "prefix"
        installed.install(prefix)
        installed.uninstall(prefix)
        self.assertEqual(os.listdir(self.directory), [])

    def test_uninstall_after_two_installations_leaves_nothing(self):
        prefix = self.directory / "new"
        installed.install(prefix)
        installed.install(prefix)
        installed.uninstall(prefix)
        self.assertEqual(os.listdir(self.directory), [])

    def test_files_and_folders_of_others_stay(self):
        prefix = self.directory / "shared"
        (prefix / "bin").mkdir(parents=True)
        installed.install(prefix)
        mine = prefix / "share/doc/handoff/notes"
        mine.write_text("mine")
        installed.uninstall(prefix)
        left = {str(path.relative_to(prefix)) for path in prefix.rglob("*")}
        self.assertEqual(left, {"bin", "share", "share/doc", "share/doc/handoff",
                                "share/doc/handoff/notes"})

    def test_each_prefix_and_destdir_is_uninstalled_alone(self):
        root = str(self.directory / "root")
        here = self.directory / "here"
        installed.install(here)
        installed.install(here, DESTDIR=root)
        self.addCleanup(installed.uninstall, here)
        service = pathlib.Path(f"{root}{here}") / UNITS / "handoff@.service"
        self.assertEqual(shlex.split(settings(service)["ExecStart"])[0],
                         str(here / "bin/rpc-master"))
        installed.uninstall(here, DESTDIR=root)
        self.assertEqual(os.listdir(self.directory), ["here"])
        self.assertTrue((here / "bin/rpc-call").exists())

    def test_without_an_installation_uninstall_says_what_it_misses(self):
        with self.assertRaisesRegex(AssertionError, r"(?s)cannot uninstall from .* no\s+record"):
            installed.uninstall(self.directory / "never")

    def test_a_user_without_rights_is_told_which_folder_is_not_writable(self):
        closed = self.directory / "closed"
        closed.mkdir(mode=0o555)
        words = ["cmake", "--install", installed.BUILD, "--prefix", closed / "prefix"]
        if os.geteuid() == 0:
            # Root without capabilities is an ordinary user who owns its files.
            if not shutil.which("setpriv"):
                self.skipTest("no setpriv")
            words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False,
                              env=installed.environment())
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"cannot install to {closed}/prefix/bin: no permission to write to {closed} ",
                      " ".join(done.stderr.split()))
        self.assertEqual(os.listdir(closed), [])


class Layouts(handoff.TestCase):
    """The scripts that run at an installation, with folders of other systems."""

    def setUp(self):
        super().setUp()
        self.prefix = self.directory / "a prefix"
        self.bindir = self.prefix / "bin"
        self.bindir.mkdir(parents=True)

    def finish(self, *, libdir="lib", includedir="include", prefix=None, destdir="", linked=None,
               wanted=None):
        """Has the scripts believe that this is what was installed where."""
        variables = {
            "CMAKE_INSTALL_PREFIX": prefix or self.prefix, "CMAKE_INSTALL_BINDIR": "bin",
            "CMAKE_INSTALL_LIBDIR": libdir, "CMAKE_INSTALL_INCLUDEDIR": includedir,
            "CMAKE_INSTALL_MANDIR": "share/man", "CMAKE_INSTALL_DOCDIR": "share/doc/handoff",
            "CMAKE_LIBRARY_ARCHITECTURE": "x86_64-linux-gnu", "PROJECT_VERSION": "0.1.0",
            "CMAKE_BINARY_DIR": self.directory, "PROJECT_SOURCE_DIR": handoff.ROOT,
            "handoff_cmakedir": f"{libdir}/cmake/handoff", "handoff_unitdir": UNITS,
            "handoff_tools": "rpc-call" if linked else "", "handoff_linked_runpath": linked,
            "handoff_runpath": wanted}
        script = self.directory / "finish.cmake"
        script.write_text("".join(f'set({name} [==[{value}]==])\n'
                                  for name, value in variables.items()) +
                          "".join(f'include("{SCRIPTS}/{part}.cmake")\n'
                                  for part in ("begin", "end")))
        run("cmake", "-P", script, env=installed.environment(DESTDIR=str(destdir)))

    def paths_of_pkg_config(self, pkgconfig) -> list[str]:
        if not shutil.which("pkg-config"):
            self.skipTest("no pkg-config")
        said = run("pkg-config", "--cflags", "--libs", "handoff",
                   env=installed.environment(PKG_CONFIG_PATH=str(pkgconfig))).stdout
        include, library, link = shlex.split(said)
        self.assertEqual((include[:2], library[:2], link), ("-I", "-L", "-lhandoff"))
        # Folders that are not there yet can still be resolved.
        return [os.path.normpath(include[2:]), os.path.normpath(library[2:])]

    def test_handoff_pc_is_right_for_each_folder_of_libraries(self):
        for libdir in ("lib", "lib64", "lib/x86_64-linux-gnu", str(self.directory / "else where")):
            with self.subTest(libdir=libdir):
                self.finish(libdir=libdir)
                library = self.prefix / libdir
                self.assertEqual(self.paths_of_pkg_config(library / "pkgconfig"),
                                 [str(self.prefix / "include"), str(library)])

    def test_handoff_pc_is_right_for_a_folder_of_headers_elsewhere(self):
        headers = self.directory / "headers"
        self.finish(includedir=headers)
        self.assertEqual(self.paths_of_pkg_config(self.prefix / "lib/pkgconfig"),
                         [str(headers), str(self.prefix / "lib")])

    def test_handoff_pc_is_right_after_the_prefix_was_moved(self):
        self.finish(libdir="lib/x86_64-linux-gnu")
        moved = self.prefix.rename(self.directory / "moved")
        library = moved / "lib/x86_64-linux-gnu"
        self.assertEqual(self.paths_of_pkg_config(library / "pkgconfig"),
                         [str(moved / "include"), str(library)])

    def test_systemd_reads_any_prefix(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze")
        prefix = self.directory / "a 100% new prefix"
        (prefix / "bin").mkdir(parents=True)
        shutil.copy("/bin/true", prefix / "bin/rpc-master")
        self.finish(prefix=prefix)
        unit = prefix / UNITS / "handoff@.service"
        verify = ["systemd-analyze", "verify", "--man=no", unit]
        self.assertEqual(run(*verify).stderr, "")
        # It would have said so.
        (prefix / "bin/rpc-master").unlink()
        with self.assertRaisesRegex(AssertionError, "rpc-master is not executable"):
            run(*verify)

    @unittest.skipUnless(shutil.which("g++"), "no g++")
    def test_a_runpath_is_cut_to_what_the_place_needs(self):
        both = "$ORIGIN/../lib:$ORIGIN/../lib64"
        program = self.directory / "program"
        (self.directory / "empty.cpp").write_text("int main() {}\n")
        run("g++", "-o", program, self.directory / "empty.cpp", "-Wl,--enable-new-dtags",
            f"-Wl,-rpath,{both}")
        self.assertEqual(runpath(program), both)
        tool = self.bindir / "rpc-call"
        shutil.copy(program, tool)
        self.finish(libdir="lib64", linked=both, wanted="$ORIGIN/../lib64")
        self.assertEqual(runpath(tool), "$ORIGIN/../lib64")
        for folder in ("/usr/lib", "/usr/lib/x86_64-linux-gnu"):
            root = self.directory / "root"
            tool = root / "usr/bin/rpc-call"
            tool.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(program, tool)
            self.finish(prefix="/usr", libdir=folder, destdir=root, linked=both,
                        wanted="$ORIGIN/../lib64")
            self.assertEqual(runpath(tool), "")


if __name__ == "__main__":
    handoff.run_tests()
