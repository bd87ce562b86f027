// SPDX-License-Identifier: MIT
#include "os/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace handoff {

std::vector<std::string> inherited_environment() {
  static constexpr const char* kOurs[] = {
      "NOTIFY_SOCKET=",      "WATCHDOG_USEC=",  "WATCHDOG_PID=",
      "LISTEN_FDS=",         "LISTEN_PID=",     "LISTEN_FDNAMES=",
      "HANDOFF_CHANNEL_FD=", "HANDOFF_WORKER=", "HANDOFF_SUCCESSION="};
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    const bool ours = std::any_of(std::begin(kOurs), std::end(kOurs),
                                  [&](const char* prefix) { return variable.starts_with(prefix); });
    if (!ours) environment.emplace_back(variable);
  }
  return environment;
}

}  // namespace handoff
