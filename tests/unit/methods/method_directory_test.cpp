// SPDX-License-Identifier: MIT
#include "methods/method_directory.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

namespace fs = std::filesystem;

/// A directory of programs, and the methods that they make.
struct Programs {
  void add(const std::string& name, const std::string& says, mode_t mode = 0700) const {
    const std::string path = directory.path("methods/" + name);
    test::write_file(path, "#!/bin/sh\necho '" + says + "'\n");
    REQUIRE(chmod(path.c_str(), mode) == 0);
  }
  std::vector<std::string> names() {
    add_directory(table, reactor, runner, directory.path("methods"));
    return table.names();
  }
  std::string call(const std::string& name) {
    const Method* method = table.find(name);
    REQUIRE(method != nullptr);
    return reactor.run_for_result(method->handler(Call())).json;
  }

  test::TemporaryDirectory directory;
  bool made = fs::create_directory(directory.path("methods"));
  Reactor reactor;
  ChildRunner runner{{}};
  MethodTable table;
};

TEST_CASE("each program of a directory is a method of its name, and runs when it is called") {
  const test::DescriptorCheck check;
  Programs programs;
  programs.add("one", "1");
  programs.add("two.sub", "2");
  CHECK(programs.names() == std::vector<std::string>{"one", "two.sub"});
  CHECK(programs.call("one") == "1");
  CHECK(programs.call("two.sub") == "2");
}

TEST_CASE("what is hidden, no program, or has a name that no method can have is left out") {
  Programs programs;
  programs.add("good", "1");
  programs.add(".hidden", "2");
  programs.add("text", "3", 0600);
  programs.add("*", "4");
  programs.add("all.*", "5");
  programs.add("\xff", "6");
  fs::create_directory(programs.directory.path("methods/folder"));
  REQUIRE(mkfifo(programs.directory.path("methods/fifo").c_str(), 0700) == 0);
  REQUIRE(symlink("nothing", programs.directory.path("methods/dangling").c_str()) == 0);
  REQUIRE(symlink("good", programs.directory.path("methods/link").c_str()) == 0);
  CHECK(programs.names() == std::vector<std::string>{"good", "link"});
}

TEST_CASE("a method that is there already goes before a program of its name") {
  Programs programs;
  programs.add("one", "1");
  programs.table.add("one", [](const Call&) -> Task<Result> { co_return Result::success("0"); });
  CHECK(programs.names() == std::vector<std::string>{"one"});
  CHECK(programs.call("one") == "0");
}

TEST_CASE("a directory is listed once, and is the same one when it has another name") {
  Programs programs;
  programs.add("one", "1");
  CHECK(programs.names().size() == 1);
  fs::rename(programs.directory.path("methods"), programs.directory.path("elsewhere"));
  CHECK(fs::create_directory(programs.directory.path("methods")));
  programs.add("one", "\"another\"");
  CHECK(programs.call("one") == "1");
}

TEST_CASE("a directory that can't be opened is an error that names it") {
  const test::DescriptorCheck check;
  Programs programs;
  test::write_file(programs.directory.path("file"), "");
  for (const auto& [name, number] : {std::pair{"missing", ENOENT}, std::pair{"file", ENOTDIR}}) {
    const std::string path = programs.directory.path(name);
    const auto error = test::thrown_by<SystemError>(
        [&] { add_directory(programs.table, programs.reactor, programs.runner, path); });
    CHECK(error.error_number() == number);
    CHECK(std::string(error.what()).find(path) != std::string::npos);
  }
  CHECK(programs.table.names().empty());
}

}  // namespace
}  // namespace handoff
