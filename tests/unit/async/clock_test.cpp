// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <handoff/async/clock.hpp>

namespace handoff {
namespace {

using std::chrono::milliseconds;

TEST_CASE("a deadline is after now, or never") {
  const TimePoint now = Clock::now();
  CHECK(deadline_after(now, milliseconds(5)) == now + milliseconds(5));
  CHECK(deadline_after(now, Duration::zero()) == kNever);
  CHECK(deadline_after(now, milliseconds(-1)) == kNever);
  CHECK(deadline_after(now, Duration::max()) == kNever);
  CHECK(deadline_after(now, kNever - now) == kNever);
}

}  // namespace
}  // namespace handoff
