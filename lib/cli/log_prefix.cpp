// SPDX-License-Identifier: MIT
#include "cli/log_prefix.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>

namespace handoff {
namespace {

/// Returns the priority of syslog(3) as the journal reads it.
std::string_view priority_of(Severity severity) {
  switch (severity) {
    case Severity::error: return "<3>";
    case Severity::info: return "<6>";
    case Severity::detail: return "<7>";
  }
  return "";
}

std::string local_time(LogPrefix::Time time) {
  using std::chrono::milliseconds;
  const auto ms = std::chrono::floor<milliseconds>(time.time_since_epoch()).count();
  const auto second = static_cast<std::time_t>(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
  std::tm parts{};
  localtime_r(&second, &parts);
  std::array<char, 32> date{};
  std::array<char, 8> zone{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::strftime(zone.data(), zone.size(), "%z", &parts);
  return fmt::format("{}.{:03}{}", date.data(), ms - second * 1000, zone.data());
}

}  // namespace

std::string LogPrefix::of_line(Severity severity, Time now) const {
  return of_nameless_line(severity, now) + name_ + ": ";
}

std::string LogPrefix::of_nameless_line(Severity severity, Time now) const {
  std::string prefix(shows_priorities_ ? priority_of(severity) : "");
  if (shows_times_) { prefix += local_time(now) + ' '; }
  return prefix;
}

}  // namespace handoff
