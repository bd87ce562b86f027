// SPDX-License-Identifier: MIT
#include "methods/upstream_calls.hpp"

#include <cassert>

namespace handoff {

/// The slot that was freed last is used first, because its memory is probably cached.
std::uint32_t UpstreamCalls::take_slot() {
  if (free_ == kNone) {
    assert(slots_.size() < capacity_);
    slots_.emplace_back();
    slots_.back().waiting.id = slots_.size();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t index = free_;
  free_ = slots_[index].next;
  slots_[index].waiting.id += capacity_;
  return index;
}

UpstreamCalls::Waiting& UpstreamCalls::add(PendingCall& call, UpstreamAttempt attempt) {
  const std::uint32_t index = take_slot();
  Slot& slot = slots_[index];
  slot.waiting.call = &call;
  slot.waiting.attempt = attempt;
  slot.previous = last_;
  slot.next = kNone;
  (last_ == kNone ? first_ : slots_[last_].next) = index;
  last_ = index;
  ++size_;
  return slot.waiting;
}

UpstreamCalls::Waiting* UpstreamCalls::find(std::uint64_t id) {
  const std::uint32_t index = index_of(id);
  if (index >= slots_.size()) { return nullptr; }
  Waiting& waiting = slots_[index].waiting;
  return waiting.call != nullptr && waiting.id == id ? &waiting : nullptr;
}

void UpstreamCalls::remove(const Waiting& waiting) {
  const std::uint32_t index = index_of(waiting.id);
  Slot& slot = slots_[index];
  (slot.previous == kNone ? first_ : slots_[slot.previous].next) = slot.next;
  (slot.next == kNone ? last_ : slots_[slot.next].previous) = slot.previous;
  slot.waiting.call = nullptr;
  slot.next = free_;
  free_ = index;
  --size_;
}

std::vector<std::uint64_t> UpstreamCalls::ids() const {
  std::vector<std::uint64_t> ids;
  for (std::uint32_t i = first_; i != kNone; i = slots_[i].next) {
    ids.push_back(slots_[i].waiting.id);
  }
  return ids;
}

}  // namespace handoff
