// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "async/reactor.hpp"

namespace handoff {

/// Remembers the last kMost probes of a connection that are over, so that a reply is recognised
/// that arrives once more, or after its probe was given up.
class PingHistory {
 public:
  /// A probe that is over.
  struct Probe {
    std::uint64_t seq;
    TimePoint start;
    bool answered;
  };

  /// How many probes are remembered.
  static constexpr std::size_t kMost = 1024;

  /// Adds a probe, and forgets the oldest one if there are too many. `seq` must ascend.
  void add(const Probe& probe) {
    if (probes_.size() == kMost) { probes_.pop_front(); }
    probes_.push_back(probe);
  }
  /// Returns the probe with this number, or null if it is not remembered. Valid until the next
  /// add().
  Probe* find(std::uint64_t seq) {
    const auto found = std::lower_bound(
        probes_.begin(), probes_.end(), seq,
        [](const Probe& probe, std::uint64_t number) { return probe.seq < number; });
    return found == probes_.end() || found->seq != seq ? nullptr : &*found;
  }
  /// Returns the probe that was added last, or null.
  Probe* last() { return probes_.empty() ? nullptr : &probes_.back(); }
  /// Forgets all probes, because a new connection begins.
  void clear() { probes_.clear(); }

 private:
  std::deque<Probe> probes_;
};

}  // namespace handoff
