// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "async/clock.hpp"

namespace handoff {

/// The armed timers of a reactor, ordered by time: a binary heap whose nodes know their places.
///
/// Arming and disarming take logarithmic time. Moving a node to a later time takes none: it keeps
/// its place, and fire_next() moves it when the earlier time has come. Nodes that are due at the
/// same time fire in any order.
class TimerHeap {
 public:
  /// The base class of what is armed. Only the heap changes its data. It must be disarmed before it
  /// is destroyed.
  struct Node {
    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Returns whether the node waits for its time.
    bool is_armed() const { return index != kNotArmed; }
    /// Called by fire_next() when the node is due and disarmed.
    virtual void on_timer() = 0;

    static constexpr std::uint32_t kNotArmed = ~std::uint32_t{0};
    TimePoint due{};
    std::uint32_t index = kNotArmed;

   protected:
    ~Node() = default;
  };

  TimerHeap() = default;
  TimerHeap(const TimerHeap&) = delete;
  TimerHeap& operator=(const TimerHeap&) = delete;

  bool is_empty() const { return entries_.empty(); }
  /// Returns a time before which no node fires; kNever if none is armed. A node that was moved to a
  /// later time may not be due then.
  TimePoint next() const { return entries_.empty() ? kNever : entries_.front().armed; }

  /// Arms `node` for `due`, or moves it there; kNever disarms it.
  void arm(Node& node, TimePoint due);
  /// Disarms `node`; does nothing if it is not armed.
  void disarm(Node& node);

  /// Disarms one node that is due at `now` and calls its on_timer(), which may arm, disarm and
  /// destroy any node, including this one. Returns whether there was one.
  bool fire_next(TimePoint now);

 private:
  struct Entry {
    TimePoint armed;  ///< what orders the heap; the node is due then or later
    Node* node;
  };

  /// Puts the entry at `index` and tells its node.
  void place(std::size_t index, Entry entry);
  /// These two move the entry at `index` up or down to its place.
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);
  /// Removes the entry at `index`.
  void remove(std::size_t index);

  std::vector<Entry> entries_;
};

}  // namespace handoff
