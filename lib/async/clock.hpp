// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace handoff {

/// The clock of all deadlines. It is CLOCK_MONOTONIC, which stands still while the machine is
/// suspended.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// A deadline that never passes.
inline constexpr TimePoint kNever = TimePoint::max();

/// Returns `now + duration`, or kNever if the duration is 0 or less, which means "no deadline", or
/// too long for a TimePoint.
TimePoint deadline_after(TimePoint now, Duration duration);

}  // namespace handoff
