// SPDX-License-Identifier: MIT
#include "async/timer.hpp"

#include "async/reactor.hpp"

namespace handoff {

void Timer::set(TimePoint when) {
  reactor_.timers().arm(*this, when);
}

void Timer::disarm() {
  reactor_.timers().disarm(*this);
}

}  // namespace handoff
