// SPDX-License-Identifier: MIT
#include "os/environment.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace handoff {
namespace {

TEST_CASE("a variable is read, also an empty one, and one that is not set is none") {
  setenv("HANDOFF_TEST", "a=b", 1);
  CHECK(read_variable("HANDOFF_TEST") == "a=b");
  setenv("HANDOFF_TEST", "", 1);
  CHECK(read_variable("HANDOFF_TEST") == "");
  remove_variable("HANDOFF_TEST");
  CHECK(read_variable("HANDOFF_TEST") == std::nullopt);
  CHECK(std::getenv("HANDOFF_TEST") == nullptr);
}

TEST_CASE("a variable of a child takes the place of those that have its name, and of no other") {
  Environment environment = {"A=1", "AB=2", "A=3", "B=A=4"};
  set_variable(environment, "A", "x=y");
  CHECK(environment == Environment{"AB=2", "B=A=4", "A=x=y"});
  set_variable(environment, "C", "");
  CHECK(environment == Environment{"AB=2", "B=A=4", "A=x=y", "C="});
}

TEST_CASE("the inherited environment is without what was meant for us alone") {
  const std::vector<std::string> ours = {
      "NOTIFY_SOCKET",  "WATCHDOG_USEC",      "WATCHDOG_PID",   "LISTEN_FDS",        "LISTEN_PID",
      "LISTEN_FDNAMES", "HANDOFF_CHANNEL_FD", "HANDOFF_WORKER", "HANDOFF_SUCCESSION"};
  for (const std::string& name : ours) { setenv(name.c_str(), "1", 1); }
  setenv("LISTEN_FDSX", "1", 1);
  const auto environment = inherited_environment();
  const auto has = [&](const std::string& variable) {
    return std::find(environment.begin(), environment.end(), variable) != environment.end();
  };
  for (const std::string& name : ours) {
    CHECK(!has(name + "=1"));
    unsetenv(name.c_str());
  }
  CHECK(has("LISTEN_FDSX=1"));
  CHECK(has(std::string("PATH=") + getenv("PATH")));
  unsetenv("LISTEN_FDSX");
}

}  // namespace
}  // namespace handoff
