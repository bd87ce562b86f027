// SPDX-License-Identifier: MIT
#include <handoff/async/clock.hpp>

namespace handoff {

TimePoint deadline_after(TimePoint now, Duration duration) {
  if (duration <= Duration::zero() || duration > kNever - now) { return kNever; }
  return now + duration;
}

}  // namespace handoff
