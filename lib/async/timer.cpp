// SPDX-License-Identifier: MIT
#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

namespace handoff {

void Timer::set(TimePoint when) {
  reactor_.timers().arm(*this, when);
}

void Timer::disarm() {
  reactor_.timers().disarm(*this);
}

}  // namespace handoff
