// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <handoff/async/clock.hpp>

namespace handoff {

/// The armed timers of a reactor, the next one first: a binary heap whose nodes know their places.
/// Reactor has one inside, and Timer is how a program uses it.
///
/// Arming and disarming take logarithmic time. Moving a node to a later time takes none: it keeps
/// its place, and fire_next() moves it when the earlier time has come. Nodes that are due at the
/// same time fire in any order.
class TimerHeap {
 public:
  /// The base of an object that can be armed; only the heap changes its data. It must be disarmed
  /// before it is destroyed.
  struct Node {
    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    bool is_armed() const { return index != kNotArmed; }
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
  /// No node fires before this; kNever when none is armed. Nothing may be due then, either, if the
  /// node has been moved to a later time.
  TimePoint next() const { return entries_.empty() ? kNever : entries_.front().armed; }

  /// Arms `node`, or moves it to `due`; kNever disarms it.
  void arm(Node& node, TimePoint due);
  void disarm(Node& node);

  /// Disarms one node that is due at `now` and calls its on_timer(), which may arm, disarm and
  /// destroy any node, also this one. Returns whether there was one.
  bool fire_next(TimePoint now);

 private:
  struct Entry {
    TimePoint armed;  ///< the time of its place: its node is due then, or later
    Node* node;
  };

  void place(std::size_t index, Entry entry);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);
  void remove(std::size_t index);

  std::vector<Entry> entries_;
};

}  // namespace handoff
