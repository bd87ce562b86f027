// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace handoff {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// Later than any deadline: wait without one.
inline constexpr TimePoint kNever = TimePoint::max();

/// `now + duration`, or kNever when the duration is 0 or less ("no deadline").
TimePoint deadline_after(TimePoint now, Duration duration);

}  // namespace handoff
