// SPDX-License-Identifier: MIT
#include "async/time_limit.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_CASE("a duration is written as an option takes it") {
  CHECK(duration_text(microseconds(10)) == "1ms");
  CHECK(duration_text(milliseconds(250)) == "250ms");
  CHECK(duration_text(milliseconds(1500)) == "1.5s");
  CHECK(duration_text(microseconds(1'999'900)) == "2s");
  CHECK(duration_text(seconds(60)) == "60s");
  CHECK(duration_text(minutes(5)) == "5m");
  CHECK(duration_text(seconds(301)) == "301s");
  CHECK(duration_text(hours(2)) == "2h");
}

TEST_CASE("a limit says how long it was, and one that is none says nothing") {
  const TimePoint now = Clock::now();
  CHECK(TimeLimit::after(now, seconds(2)).text() == " within 2s");
  CHECK(TimeLimit::after(now, seconds(2)).when == now + seconds(2));
  CHECK(TimeLimit::after(now, Duration::zero()).when == kNever);
  CHECK(TimeLimit::after(now, Duration::zero()).text().empty());
  CHECK(TimeLimit(kNever).text().empty());
  CHECK(TimeLimit(now - seconds(1)).text().empty());
}

TEST_CASE("of two limits the earlier one counts, with its own length") {
  const TimePoint now = Clock::now();
  const TimeLimit short_one = TimeLimit::after(now, seconds(1));
  const TimeLimit long_one = TimeLimit::after(now, seconds(9));
  CHECK(earlier(short_one, long_one).length == seconds(1));
  CHECK(earlier(long_one, short_one).length == seconds(1));
  CHECK(earlier(short_one, {}).length == seconds(1));
  CHECK(earlier({}, short_one).length == seconds(1));
}

}  // namespace
}  // namespace handoff
