// SPDX-License-Identifier: MIT
#include "os/environment.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace handoff {
namespace {

TEST_CASE("the inherited environment is without what was meant for us alone") {
  const std::vector<std::string> ours = {"NOTIFY_SOCKET",      "WATCHDOG_USEC", "WATCHDOG_PID",
                                         "LISTEN_FDS",         "LISTEN_PID",    "LISTEN_FDNAMES",
                                         "HANDOFF_CHANNEL_FD", "HANDOFF_WORKER"};
  for (const std::string& name : ours) setenv(name.c_str(), "1", 1);
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
