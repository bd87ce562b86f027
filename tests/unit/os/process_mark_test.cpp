// SPDX-License-Identifier: MIT
#include "os/process_mark.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "os/spawn.hpp"

namespace handoff {
namespace {

TEST_CASE("each mark begins with its giver's prefix, and none with another mark") {
  ProcessMarks marks;
  std::vector<std::string> all;
  for (int i = 0; i < 12; ++i) { all.push_back(marks.next()); }
  for (const std::string& mark : all) {
    CHECK(mark.starts_with(marks.prefix()));
    for (const std::string& other : all) { CHECK((mark == other || !mark.starts_with(other))); }
  }
  CHECK(marks.prefix().starts_with("RPC_MARK=" + std::to_string(getpid()) + "-"));
  CHECK(ProcessMarks().prefix() != marks.prefix());
}

TEST_CASE("a mark begins with that of the process that gives it") {
  setenv("RPC_MARK", "1-2-3.", 1);
  CHECK(ProcessMarks().next().starts_with("RPC_MARK=1-2-3." + std::to_string(getpid()) + "-"));
  unsetenv("RPC_MARK");
}

TEST_CASE("a mark takes the place of an inherited one") {
  std::vector<std::string> environment = {"A=1", "RPC_MARK=old", "B=2"};
  set_mark(environment, "RPC_MARK=new");
  CHECK(environment == std::vector<std::string>{"A=1", "B=2", "RPC_MARK=new"});
}

TEST_CASE("a process is found by the start of its mark") {
  SpawnOptions options;
  options.argv = {"sleep", "1000"};
  options.environment = {"PATH=/bin:/usr/bin", "RPC_MARK=1-2-3.4-5-6."};
  Child child = spawn(options);
  CHECK(find_mark(child.pid(), "RPC_MARK=1-2-") == "3.4-5-6.");
  CHECK(find_mark(child.pid(), "RPC_MARK=1-2-3.4-5-6.") == "");
  CHECK(!find_mark(child.pid(), "MARK=1-2-"));
  CHECK(!find_mark(child.pid(), "RPC_MARK=2-"));
  CHECK(!is_ending(child.pid()));
  child.kill(SIGKILL);
  while (!child.has_ended()) { usleep(100); }
  CHECK(!find_mark(child.pid(), "RPC_MARK=1-2-"));
  CHECK(is_ending(child.pid()));
  child.reap();
}

}  // namespace
}  // namespace handoff
