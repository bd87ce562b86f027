// SPDX-License-Identifier: MIT
#include "rpc/memory_budget.hpp"

namespace handoff {

MemoryBudget::Share::~Share() {
  if (bytes_ != 0) budget_.held_.fetch_sub(bytes_, std::memory_order_relaxed);
  if (exempt_) give_exemption_back();
}

void MemoryBudget::Share::change(std::size_t bytes) {
  // A difference below zero wraps around, and so does the sum.
  budget_.held_.fetch_add(bytes - bytes_, std::memory_order_relaxed);
  bytes_ = bytes;
  if (exempt_ && (bytes == 0 || budget_.has_room())) give_exemption_back();
}

bool MemoryBudget::Share::become_exempt() {
  exempt_ = !budget_.has_exempted_.exchange(true, std::memory_order_relaxed);
  return exempt_;
}

void MemoryBudget::Share::give_exemption_back() {
  exempt_ = false;
  budget_.has_exempted_.store(false, std::memory_order_relaxed);
}

}  // namespace handoff
