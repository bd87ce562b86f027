// SPDX-License-Identifier: MIT
#include "async/race.hpp"

namespace handoff {

Cancellation::~Cancellation() {
  for (RaceBase* race : races_) { race->forget_cancellation(); }
}

void Cancellation::cancel() {
  cancelled_ = true;
  for (RaceBase* race : races_) { race->end_early(RaceEnd::cancelled); }
}

void RaceBase::enter(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  set(deadline_);
  if (cancellation_ != nullptr) { cancellation_->add(*this); }
}

void RaceBase::leave() {
  if (!waiter_) { return; }
  if (end_ != RaceEnd::finished) { reactor_.unpost(waiter_); }
  waiter_ = nullptr;
  cancel();
  if (cancellation_ != nullptr) { cancellation_->remove(*this); }
}

/// The task is not destroyed here: it may be the caller of this function.
void RaceBase::end_early(RaceEnd why) {
  if (end_ != RaceEnd::finished) { return; }
  end_ = why;
  reactor_.post_last(waiter_);
}

}  // namespace handoff
