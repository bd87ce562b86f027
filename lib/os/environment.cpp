// SPDX-License-Identifier: MIT
#include "os/environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace handoff {
namespace {

/// These variables name this process, or descriptors that no program that it starts inherits.
constexpr std::array kAddressedToUs = {
    variable::kNotifySocket, variable::kWatchdogUsec, variable::kWatchdogPid,
    variable::kListenFds,    variable::kListenPid,    variable::kListenFdNames,
    variable::kChannelFd,    variable::kWorkerNumber, variable::kSuccession};

std::string_view name_of(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

}  // namespace

std::optional<std::string> read_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) { return std::nullopt; }
  return value;
}

void remove_variable(const std::string& name) {
  unsetenv(name.c_str());
}

std::string assignment(std::string_view name, std::string_view value) {
  return fmt::format("{}={}", name, value);
}

void set_variable(Environment& environment, std::string_view name, std::string_view value) {
  std::erase_if(environment, [name](const std::string& entry) { return name_of(entry) == name; });
  environment.push_back(assignment(name, value));
}

Environment inherited_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view name = name_of(*entry);
    const bool is_ours = std::any_of(kAddressedToUs.begin(), kAddressedToUs.end(),
                                     [name](const char* ours) { return name == ours; });
    if (!is_ours) { environment.emplace_back(*entry); }
  }
  return environment;
}

}  // namespace handoff
