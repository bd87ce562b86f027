// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace handoff {

/// All deadlines and timers go by the monotonic clock: setting the wall clock moves none of them.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
/// A duration counts nanoseconds; std::chrono::milliseconds and the like convert to it.
using Duration = Clock::duration;

/// Later than any deadline: a function that is given it waits without one.
inline constexpr TimePoint kNever = TimePoint::max();

/// Returns `now + duration`, or kNever when the duration is 0 or less ("no deadline"), or when the
/// sum would be later than kNever.
TimePoint deadline_after(TimePoint now, Duration duration);

}  // namespace handoff
