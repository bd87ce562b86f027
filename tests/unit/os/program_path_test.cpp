// SPDX-License-Identifier: MIT
#include "os/program_path.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

namespace fs = std::filesystem;

/// PATH, for as long as it lives.
class SearchPath {
 public:
  explicit SearchPath(const std::string& path) { setenv("PATH", path.c_str(), 1); }
  SearchPath(const SearchPath&) = delete;
  SearchPath& operator=(const SearchPath&) = delete;
  ~SearchPath() { setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_ = getenv("PATH");
};

/// Two folders, the first of which is searched first.
struct Folders {
  Folders() {
    for (const char* name : {"first", "second"}) { fs::create_directory(directory.path(name)); }
  }
  std::string add(const std::string& name, mode_t mode = 0700) const {
    std::string path = directory.path(name);
    test::write_file(path, "#!/bin/sh\n");
    REQUIRE(chmod(path.c_str(), mode) == 0);
    return path;
  }
  std::string search_path() const {
    return directory.path("first") + ":" + directory.path("second");
  }
  test::TemporaryDirectory directory;
};

int error_of(const std::string& name) {
  return test::thrown_by<SystemError>([&] { find_program(name); }).error_number();
}

TEST_CASE("a name with a slash is its own path, and another one may be in each folder of PATH") {
  const SearchPath path("/a:/b/c");
  CHECK(paths_of("x") == std::vector<std::string>{"/a/x", "/b/c/x"});
  CHECK(paths_of("./x") == std::vector<std::string>{"./x"});
  CHECK(paths_of("") == std::vector<std::string>{""});
}

TEST_CASE("an empty folder of PATH is the current one, wherever it stands") {
  const SearchPath path(":/a::/b:");
  CHECK(paths_of("x") == std::vector<std::string>{"./x", "/a/x", "./x", "/b/x", "./x"});
}

TEST_CASE("the first file that may be executed is found, and others before it are passed over") {
  const Folders folders;
  const SearchPath path(folders.search_path());
  const std::string second = folders.add("second/x");
  CHECK(find_program("x") == second);
  fs::create_directory(folders.directory.path("first/x"));
  CHECK(find_program("x") == second);
  fs::remove(folders.directory.path("first/x"));
  folders.add("first/x", 0600);
  CHECK(find_program("x") == second);
  chmod(folders.directory.path("first/x").c_str(), 0700);
  CHECK(find_program("x") == folders.directory.path("first/x"));
}

TEST_CASE("a program that is not there is told from one that may not be executed") {
  const Folders folders;
  const SearchPath path(folders.search_path());
  CHECK(error_of("x") == ENOENT);
  CHECK(error_of(folders.directory.path("x")) == ENOENT);
  folders.add("first/x", 0600);
  CHECK(error_of("x") == EACCES);
  CHECK(error_of(folders.directory.path("first")) == EACCES);
  CHECK(error_of(folders.directory.path("first/x/y")) == ENOTDIR);
  const auto error = test::thrown_by<SystemError>([] { find_program("x"); });
  CHECK(std::string(error.what()) == "cannot run x: Permission denied");
}

TEST_CASE("the path of this program is the name that leads to it, and not what that leads to") {
  const Folders folders;
  const SearchPath path(folders.search_path());
  const std::string real = folders.add("second/real");
  const std::string link = folders.directory.path("first/link");
  fs::create_symlink(real, link);
  CHECK(own_program("link") == link);
  CHECK(own_program(link) == link);
  // One that was called by another name is found all the same.
  CHECK(own_program("-sh") == fs::read_symlink("/proc/self/exe"));
}

}  // namespace
}  // namespace handoff
