// SPDX-License-Identifier: MIT
#include "os/listen_fds.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <string>

#include "os/spawn.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// How many descriptors are counted with these variables; nullptr is one that is not set.
int count_with(const char* pid, const char* count) {
  if (pid != nullptr) { setenv("LISTEN_PID", pid, 1); }
  if (count != nullptr) { setenv("LISTEN_FDS", count, 1); }
  const int result = count_listen_fds();
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  return result;
}

TEST_CASE("descriptors are counted when they are meant for this process") {
  const std::string ours = std::to_string(getpid());
  const std::string another = std::to_string(getppid());
  CHECK(count_with(ours.c_str(), "2") == 2);
  CHECK(count_with(ours.c_str(), "0") == 0);
  CHECK(count_with(another.c_str(), "2") == 0);
  CHECK(count_with(nullptr, "2") == 0);
  CHECK(count_with(ours.c_str(), nullptr) == 0);
}

TEST_CASE("variables that are no numbers, or negative ones, give no descriptors") {
  const std::string ours = std::to_string(getpid());
  for (const char* count : {"", "two", "2x", " 2", "-2", "99999999999"}) {
    CAPTURE(count);
    CHECK(count_with(ours.c_str(), count) == 0);
  }
  CHECK(count_with("", "2") == 0);
  CHECK(count_with((ours + " ").c_str(), "2") == 0);
}

TEST_CASE("a child is told how many descriptors it has, their names, and its own number") {
  auto [read_end, write_end] = make_pipe();
  SpawnOptions options;
  options.argv = {"sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES; test $LISTEN_PID = $$"};
  options.environment = {"PATH=/bin:/usr/bin", "LISTEN_FDS=7", "LISTEN_FDNAMES=x"};
  options.descriptors = {{write_end.get(), 1}};
  give_listen_fds(options, {"http", "unknown"});
  Child child = spawn(options);
  write_end.reset();
  CHECK(test::read_until_end(read_end.get()) == "2 http:unknown\n");
  CHECK(child.reap().success());
}

TEST_CASE("the variable with a process's number has room for every number") {
  ListenPidVariable variable;
  CHECK(std::string(variable.text()) == "LISTEN_PID=");
  variable.write(std::numeric_limits<pid_t>::min());
  CHECK(std::string(variable.text()) == "LISTEN_PID=-2147483648");
  variable.write(4711);
  CHECK(std::string(variable.text()) == "LISTEN_PID=4711");
}

}  // namespace
}  // namespace handoff
