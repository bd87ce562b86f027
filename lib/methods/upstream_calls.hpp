// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace handoff {

class PendingCall;

/// Says whether a call that was not sent on a connection may begin again on another one.
enum class UpstreamAttempt : std::uint8_t { first, last };

/// The calls that wait on one connection to an upstream server, in the order in which they were
/// added. Each has an id that no other call of the connection has had: the number of its slot, to
/// which the capacity is added each time that the slot is used again. So a late reply is never
/// taken for that of another call, and a reply finds its call without a search.
class UpstreamCalls {
 public:
  /// A call that waits. Valid until it is removed, or another one is added.
  struct Waiting {
    PendingCall* call = nullptr;
    UpstreamAttempt attempt = UpstreamAttempt::first;
    std::uint64_t id = 0;
    std::uint64_t start = 0;  ///< where its bytes begin, among all that were queued
    std::uint64_t reads = 0;  ///< how many reads had brought something when it was sent
  };

  /// Has room for `capacity` calls at a time.
  explicit UpstreamCalls(std::size_t capacity) : capacity_(capacity) {}

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  /// Adds a call, which must outlive its place here; there must be fewer than the capacity.
  Waiting& add(PendingCall& call, UpstreamAttempt attempt);
  /// Returns the call that has this id, or null.
  Waiting* find(std::uint64_t id);
  /// Returns the call that was added first, or null.
  Waiting* first() { return size_ == 0 ? nullptr : &slots_[first_].waiting; }
  /// Removes a call, whose slot another one may get.
  void remove(const Waiting& waiting);
  /// Returns the ids of all calls, in their order.
  std::vector<std::uint64_t> ids() const;

 private:
  /// An index that no slot has.
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Slot {
    Waiting waiting;  ///< the call is null while the slot is free
    std::uint32_t previous = kNone;
    std::uint32_t next = kNone;  ///< also used in a free slot, in the list free_
  };

  std::uint32_t take_slot();
  std::uint32_t index_of(std::uint64_t id) const {
    return static_cast<std::uint32_t>((id - 1) % capacity_);
  }

  std::size_t capacity_;
  std::size_t size_ = 0;
  std::vector<Slot> slots_;  ///< as many as were ever needed at once
  std::uint32_t free_ = kNone;
  std::uint32_t first_ = kNone;
  std::uint32_t last_ = kNone;
};

}  // namespace handoff
