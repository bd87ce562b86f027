// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "async/clock.hpp"
#include "async/linked_list.hpp"

namespace handoff {

/// The deadlines of many things that mostly end before theirs, as calls do: arming and disarming
/// one takes constant time. A deadline passes up to one tick late, and never early.
///
/// This is a hierarchical timing wheel (Varghese and Lauck, 1987): the wheel of each level has
/// kSlots slots, each as long as the whole wheel of the level below. A deadline is in the slot of
/// the lowest level that reaches it, and moves down when the time of its slot comes, so it moves at
/// most once per level.
///
/// The wheel has no clock: the caller passes `now`, which must not go back. Deadlines adds a clock
/// and a timer.
class DeadlineWheel {
 public:
  static constexpr std::chrono::nanoseconds kTick{std::int64_t{1} << 22};  // 4.2 ms

  /// The base class of things that have a deadline. An entry must be disarmed before it is
  /// destroyed, and must be in one wheel at most.
  class Entry : public ListNode<DeadlineWheel> {
   public:
    /// Returns whether the entry waits for its deadline.
    bool is_armed() const { return is_listed(); }
    /// Called by fire_next() after the deadline has passed and the entry is disarmed.
    virtual void on_deadline() = 0;

   protected:
    ~Entry() = default;

   private:
    friend class DeadlineWheel;
    std::uint64_t tick_ = 0;  ///< the tick by which its deadline has passed
    std::uint32_t slot_ = 0;  ///< the slot that it is in
  };

  DeadlineWheel() = default;
  DeadlineWheel(const DeadlineWheel&) = delete;
  DeadlineWheel& operator=(const DeadlineWheel&) = delete;

  /// Arms `entry` for `when`, or moves it there if it is armed; kNever disarms it.
  void arm(Entry& entry, TimePoint when, TimePoint now);
  /// Disarms `entry`; does nothing if it is not armed.
  void disarm(Entry& entry);

  /// Returns when fire_next() has to be called next; kNever if nothing is armed. It is possible
  /// that no deadline has passed by then.
  TimePoint next() const;
  /// Disarms an entry whose deadline has passed by `now`, and calls its on_deadline(), which may
  /// arm, disarm and destroy any entry, including this one. Returns whether there was one. The
  /// caller repeats it until there is none.
  bool fire_next(TimePoint now);

 private:
  static constexpr unsigned kLevelBits = 6;
  static constexpr std::uint32_t kSlots = 1U << kLevelBits;
  static constexpr std::uint32_t kLevels = 7;  ///< enough for any TimePoint
  static constexpr std::uint32_t kExpired = kLevels * kSlots;

  /// Turns the wheel to the tick `now`: entries whose time has come move down or expire.
  void turn_to(std::uint64_t now);
  /// Moves the entries of a slot whose time has come.
  void empty_slot(std::uint32_t slot);
  /// Puts the entry into the slot of its tick.
  void place(Entry& entry);
  /// Returns the first slot with entries, or kExpired if there is none.
  std::uint32_t next_slot() const;
  /// Returns the tick at which the slot begins.
  std::uint64_t start_of(std::uint32_t slot) const;

  /// The slots of all levels, and after them one for the entries that have expired.
  std::array<LinkedList<Entry, DeadlineWheel>, kLevels * kSlots + 1> slots_;
  std::array<std::uint64_t, kLevels> filled_{};  ///< a bit for each slot of a level with entries
  std::uint64_t elapsed_ = 0;                    ///< the tick up to which the wheel has turned
};

}  // namespace handoff
