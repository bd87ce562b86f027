// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "async/clock.hpp"
#include "async/linked_list.hpp"

namespace handoff {

/// Deadlines of many things that mostly end before theirs, as calls do: arming and disarming one
/// takes a constant time. A deadline passes up to a tick late, and never early.
///
/// A hierarchical timing wheel (Varghese and Lauck, 1987): a wheel of each level has kSlots slots,
/// each as long as the whole wheel below it. A deadline stands in the slot of the lowest level that
/// reaches it, and moves down when its slot's time comes; so it moves at most once a level.
///
/// The wheel has no clock, and `now` must not go back. Deadlines has one.
class DeadlineWheel {
 public:
  static constexpr std::chrono::nanoseconds kTick{std::int64_t{1} << 22};  // 4.2 ms

  /// The base of what has a deadline. It must be disarmed before it is destroyed.
  class Entry : public ListNode<DeadlineWheel> {
   public:
    bool is_armed() const { return is_listed(); }
    virtual void on_deadline() = 0;

   protected:
    ~Entry() = default;

   private:
    friend class DeadlineWheel;
    std::uint64_t tick_ = 0;  ///< by which its deadline has passed
    std::uint32_t slot_ = 0;  ///< where it stands
  };

  DeadlineWheel() = default;
  DeadlineWheel(const DeadlineWheel&) = delete;
  DeadlineWheel& operator=(const DeadlineWheel&) = delete;

  /// Arms `entry`, or moves it to `when`; kNever disarms it.
  void arm(Entry& entry, TimePoint when, TimePoint now);
  void disarm(Entry& entry);

  /// When fire_next() is to be called; kNever when nothing is armed. Nothing may have passed then.
  TimePoint next() const;
  /// Disarms an entry whose deadline has passed, and calls its on_deadline(), which may arm, disarm
  /// and destroy any entry, also this one. Returns whether there was one.
  bool fire_next(TimePoint now);

 private:
  static constexpr unsigned kLevelBits = 6;
  static constexpr std::uint32_t kSlots = 1U << kLevelBits;
  static constexpr std::uint32_t kLevels = 7;  ///< reach as far as a TimePoint
  static constexpr std::uint32_t kExpired = kLevels * kSlots;

  void turn_to(std::uint64_t now);
  void empty_slot(std::uint32_t slot);
  void place(Entry& entry);
  std::uint32_t next_slot() const;
  std::uint64_t start_of(std::uint32_t slot) const;

  /// The slots of all levels, and those that have expired.
  std::array<LinkedList<Entry, DeadlineWheel>, kLevels * kSlots + 1> slots_;
  std::array<std::uint64_t, kLevels> filled_{};  ///< a bit for each slot of a level with entries
  std::uint64_t elapsed_ = 0;                    ///< the tick up to which the wheel has turned
};

}  // namespace handoff
