// SPDX-License-Identifier: MIT
#include "async/timer.hpp"

#include "async/reactor.hpp"

namespace handoff {

void Timer::set(TimePoint due) {
  if (due == kNever) return cancel();
  due_ = due;
  if (index_ == kNotArmed) {
    reactor_.timers_.push_back({due, this});
    index_ = static_cast<std::uint32_t>(reactor_.timers_.size() - 1);
    reactor_.sift_up(index_);
  } else if (due < reactor_.timers_[index_].armed) {
    reactor_.timers_[index_].armed = due;
    reactor_.sift_up(index_);
  }
}

void Timer::cancel() {
  if (index_ != kNotArmed) reactor_.remove_timer(index_);
}

}  // namespace handoff
