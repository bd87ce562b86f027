// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace handoff {

class PendingCall;

/// Whether a call that was not sent on a connection may begin again on another one.
enum class UpstreamAttempt : std::uint8_t { first, last };

/// The calls that wait on one connection to an upstream server, in the order in which they were
/// added. Each has an id that no other call of the connection has had: the number of its slot, to
/// which the number of slots is added each time that the slot is used again. So a late reply is
/// never taken for that of another call, and a reply finds its call without a search.
class UpstreamCalls {
 public:
  /// A call that waits. Valid until it is removed, or another one is added.
  struct Waiting {
    PendingCall* call = nullptr;
    UpstreamAttempt attempt = UpstreamAttempt::first;
    std::uint64_t id = 0;
    std::uint64_t start = 0;  ///< of its bytes, among all that were queued
    std::uint64_t reads = 0;  ///< that had brought something when it was sent
  };

  /// For at most so many calls at a time.
  explicit UpstreamCalls(std::size_t capacity) : capacity_(capacity) {}

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  /// Adds a call; there must be fewer than the capacity.
  Waiting& add(PendingCall& call, UpstreamAttempt attempt);
  /// The call that has this id; null when none has.
  Waiting* find(std::uint64_t id);
  /// The call that was added first; null when there is none.
  Waiting* first() { return size_ == 0 ? nullptr : &slots_[first_].waiting; }
  void remove(const Waiting& waiting);
  /// The ids of all calls, in their order.
  std::vector<std::uint64_t> ids() const;

 private:
  /// The index of no slot.
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Slot {
    Waiting waiting;  ///< its call is null while the slot is free
    std::uint32_t previous = kNone;
    std::uint32_t next = kNone;  ///< also of a free slot, in free_
  };

  std::uint32_t take_slot();
  std::uint32_t index_of(std::uint64_t id) const {
    return static_cast<std::uint32_t>((id - 1) % capacity_);
  }

  std::size_t capacity_;
  std::size_t size_ = 0;
  std::vector<Slot> slots_;  ///< as many as were ever needed at a time
  std::uint32_t free_ = kNone;
  std::uint32_t first_ = kNone;
  std::uint32_t last_ = kNone;
};

}  // namespace handoff
