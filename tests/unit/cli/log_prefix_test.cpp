// SPDX-License-Identifier: MIT
#include "cli/log_prefix.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

#include "os/environment.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// 2026-11-28T10:27:16.123 in UTC.
const LogPrefix::Time kTime{std::chrono::seconds(1795861636) + milliseconds(123)};

/// Sets the time zone for as long as it lives.
class TimeZone {
 public:
  explicit TimeZone(const char* zone) : before_(read_variable("TZ")) { set(zone); }
  TimeZone(const TimeZone&) = delete;
  TimeZone& operator=(const TimeZone&) = delete;
  ~TimeZone() { set(before_ ? before_->c_str() : nullptr); }

 private:
  static void set(const char* zone) {
    if (zone != nullptr) {
      setenv("TZ", zone, 1);
    } else {
      unsetenv("TZ");
    }
    tzset();
  }

  std::optional<std::string> before_;
};

TEST_CASE("a line of a log begins with the name of the program") {
  LogPrefix prefix("tool");
  CHECK(prefix.of_line(Severity::error, kTime) == "tool: ");
  CHECK(prefix.of_nameless_line(Severity::error, kTime).empty());
  prefix.set_name("tool[2]");
  CHECK(prefix.of_line(Severity::error, kTime) == "tool[2]: ");
}

TEST_CASE("the time before the name of the program is the local one, with its zone") {
  LogPrefix prefix("tool");
  prefix.show_times();
  {
    const TimeZone zone("UTC0");
    CHECK(prefix.of_line(Severity::info, kTime) == "2026-11-28T10:27:16.123+0000 tool: ");
  }
  {
    const TimeZone zone("IST-5:30");
    CHECK(prefix.of_nameless_line(Severity::info, kTime) == "2026-11-28T15:57:16.123+0530 ");
  }
  const TimeZone zone("UTC0");
  CHECK(prefix.of_line(Severity::info, LogPrefix::Time(milliseconds(1007))) ==
        "1970-01-01T00:00:01.007+0000 tool: ");
  CHECK(prefix.of_line(Severity::info, LogPrefix::Time(milliseconds(-1))) ==
        "1969-12-31T23:59:59.999+0000 tool: ");
}

TEST_CASE("a line for the journal begins with its priority") {
  LogPrefix prefix("tool");
  prefix.show_priorities();
  CHECK(prefix.of_line(Severity::error, kTime) == "<3>tool: ");
  CHECK(prefix.of_line(Severity::info, kTime) == "<6>tool: ");
  CHECK(prefix.of_line(Severity::detail, kTime) == "<7>tool: ");
  CHECK(prefix.of_nameless_line(Severity::info, kTime) == "<6>");
  prefix.show_times();
  const TimeZone zone("UTC0");
  CHECK(prefix.of_line(Severity::error, kTime) == "<3>2026-11-28T10:27:16.123+0000 tool: ");
}

}  // namespace
}  // namespace handoff
