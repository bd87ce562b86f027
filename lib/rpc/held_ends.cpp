// SPDX-License-Identifier: MIT
#include "rpc/held_ends.hpp"

#include <utility>

#include "rpc/session_call.hpp"

namespace handoff {

void HeldEnds::hold(SessionCall& call, const ResultView& result) {
  call.put_aside(result);
  held_.push_back(&call);
}

void HeldEnds::forget(const SessionCall& call) {
  std::erase(held_, &call);
}

bool HeldEnds::release() {
  while (!held_.empty()) {
    SessionCall& first = *held_.front();
    held_.erase(held_.begin());
    first.end_put_aside();
  }
  return std::exchange(has_begun_, false);
}

}  // namespace handoff
