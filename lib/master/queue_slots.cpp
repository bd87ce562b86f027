// SPDX-License-Identifier: MIT
#include "master/queue_slots.hpp"

#include <limits>

namespace handoff {
namespace {

constexpr std::uint64_t ticket_of(std::size_t index, std::uint32_t generation) {
  return (std::uint64_t{generation} << 32U) | index;
}

}  // namespace

QueueSlots::QueueSlots(std::size_t size) : slots_(size) {
  for (QueueSlot& slot : slots_) { free_.push_back(slot); }
}

QueueSlots::~QueueSlots() {
  while (!free_.empty()) { free_.pop_front(); }
}

QueueSlot& QueueSlots::take(PendingCall& call) {
  QueueSlot& slot = free_.pop_front();
  slot.call = &call;
  renew_ticket(slot);
  return slot;
}

void QueueSlots::free(QueueSlot& slot) {
  slot.call->set_ticket(0);
  slot.call = nullptr;
  slot.attempts = 0;
  free_.push_front(slot);
}

void QueueSlots::renew_ticket(QueueSlot& slot) {
  const auto index = static_cast<std::size_t>(&slot - slots_.data());
  slot.call->set_ticket(ticket_of(index, ++slot.generation));
}

QueueSlot* QueueSlots::find(std::uint64_t ticket) {
  const std::uint64_t index = ticket & std::numeric_limits<std::uint32_t>::max();
  if (index >= slots_.size()) { return nullptr; }
  QueueSlot& slot = slots_[index];
  return slot.call != nullptr && slot.generation == ticket >> 32U ? &slot : nullptr;
}

}  // namespace handoff
