// SPDX-License-Identifier: MIT
#include "rpc/memory_budget.hpp"

namespace handoff {

MemoryBudget::Share::~Share() {
  if (bytes() != 0) { budget_.held_.fetch_sub(bytes(), std::memory_order_relaxed); }
  if (is_exempt()) { give_exemption_back(); }
}

void MemoryBudget::Share::change(std::size_t bytes) {
  // A difference below zero wraps around, and so does the sum.
  budget_.held_.fetch_add(bytes - this->bytes(), std::memory_order_relaxed);
  state_ = 2 * bytes + (is_exempt() ? 1 : 0);
  if (is_exempt() && (bytes == 0 || budget_.has_room())) { give_exemption_back(); }
}

bool MemoryBudget::Share::become_exempt() {
  if (budget_.has_exempted_.exchange(true, std::memory_order_relaxed)) { return false; }
  ++state_;
  return true;
}

void MemoryBudget::Share::give_exemption_back() {
  --state_;
  budget_.has_exempted_.store(false, std::memory_order_relaxed);
}

}  // namespace handoff
