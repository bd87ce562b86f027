// SPDX-License-Identifier: MIT
#include "async/deadline_wheel.hpp"

#include <algorithm>
#include <bit>

namespace handoff {
namespace {

constexpr unsigned kTickBits = 22;
static_assert(DeadlineWheel::kTick.count() == std::int64_t{1} << kTickBits);

/// Returns the tick that contains `when`. The deadline has passed when the next tick begins.
std::uint64_t tick_of(TimePoint when) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(when.time_since_epoch()).count()) >>
         kTickBits;
}

TimePoint time_of(std::uint64_t tick) {
  return TimePoint(std::chrono::nanoseconds(static_cast<std::int64_t>(tick << kTickBits)));
}

}  // namespace

void DeadlineWheel::arm(Entry& entry, TimePoint when, TimePoint now) {
  disarm(entry);
  if (when == kNever) { return; }
  turn_to(tick_of(now));
  entry.tick_ = std::max(tick_of(when), elapsed_) + 1;
  place(entry);
}

void DeadlineWheel::disarm(Entry& entry) {
  if (!entry.is_listed()) { return; }
  LinkedList<Entry, DeadlineWheel>& slot = slots_[entry.slot_];
  slot.remove(entry);
  if (entry.slot_ == kExpired || !slot.empty()) { return; }
  filled_[entry.slot_ / kSlots] &= ~(std::uint64_t{1} << (entry.slot_ % kSlots));
}

/// The level is that of the highest digit, in base kSlots, in which the entry's tick differs from
/// elapsed_. That digit is the higher one in the tick, so what a level holds is always ahead of the
/// wheel.
void DeadlineWheel::place(Entry& entry) {
  entry.slot_ = kExpired;
  if (entry.tick_ > elapsed_) {
    const auto highest = static_cast<unsigned>(std::bit_width(entry.tick_ ^ elapsed_)) - 1;
    const unsigned level = highest / kLevelBits;
    const std::uint64_t index = (entry.tick_ >> (level * kLevelBits)) & (kSlots - 1);
    entry.slot_ = level * kSlots + static_cast<std::uint32_t>(index);
    filled_[level] |= std::uint64_t{1} << index;
  }
  slots_[entry.slot_].push_back(entry);
}

/// Returns the slot with entries that begins next, or kExpired if there is none. Every slot of a
/// lower level begins before those of a higher one.
std::uint32_t DeadlineWheel::next_slot() const {
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    if (filled_[level] == 0) { continue; }
    return level * kSlots + static_cast<std::uint32_t>(std::countr_zero(filled_[level]));
  }
  return kExpired;
}

/// Returns the tick with which the slot begins.
std::uint64_t DeadlineWheel::start_of(std::uint32_t slot) const {
  const unsigned shift = slot / kSlots * kLevelBits;
  const std::uint64_t above = elapsed_ >> (shift + kLevelBits) << kLevelBits;
  return (above | slot % kSlots) << shift;
}

TimePoint DeadlineWheel::next() const {
  if (!slots_[kExpired].empty()) { return TimePoint(); }
  const std::uint32_t slot = next_slot();
  return slot == kExpired ? kNever : time_of(start_of(slot));
}

bool DeadlineWheel::fire_next(TimePoint now) {
  turn_to(tick_of(now));
  if (slots_[kExpired].empty()) { return false; }
  slots_[kExpired].pop_front().on_deadline();
  return true;
}

void DeadlineWheel::turn_to(std::uint64_t now) {
  for (;;) {
    const std::uint32_t next = next_slot();
    if (next == kExpired || start_of(next) > now) { break; }
    elapsed_ = start_of(next);
    empty_slot(next);
  }
  elapsed_ = std::max(elapsed_, now);
}

/// The time of the slot has come: each of its entries moves to a lower level, or has expired.
void DeadlineWheel::empty_slot(std::uint32_t slot) {
  while (Entry* entry = slots_[slot].first()) {
    disarm(*entry);
    place(*entry);
  }
}

}  // namespace handoff
