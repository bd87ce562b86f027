// SPDX-License-Identifier: MIT
#include "async/wait_notice.hpp"

namespace handoff {

void WaitNotice::wait(const std::string& reason) {
  if (!say_) { return; }
  reason_ = reason;
  if (reason == said_ && Clock::now() - said_at_ < period_) {
    set(said_at_ + period_);
  } else {
    say();
  }
}

void WaitNotice::expect(const std::string& reason) {
  if (!say_) { return; }
  reason_ = reason;
  set(Clock::now() + period_);
}

void WaitNotice::say() {
  said_ = reason_;
  said_at_ = Clock::now();
  set(said_at_ + period_);
  say_(said_ + " (waiting)");
}

void WaitNotice::on_timer() {
  say();
}

}  // namespace handoff
