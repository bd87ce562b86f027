// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "async/reactor.hpp"

namespace handoff {

/// The last probes of a connection that are over, for replies that come once more, or when a probe
/// is given up already.
class PingHistory {
 public:
  struct Probe {
    std::uint64_t seq;
    TimePoint start;
    bool answered;
  };

  static constexpr std::size_t kMost = 1024;

  /// Numbers are added in ascending order.
  void add(const Probe& probe) {
    if (probes_.size() == kMost) { probes_.pop_front(); }
    probes_.push_back(probe);
  }
  /// The probe with this number; null when it is not remembered.
  Probe* find(std::uint64_t seq) {
    const auto found = std::lower_bound(
        probes_.begin(), probes_.end(), seq,
        [](const Probe& probe, std::uint64_t number) { return probe.seq < number; });
    return found == probes_.end() || found->seq != seq ? nullptr : &*found;
  }
  Probe* last() { return probes_.empty() ? nullptr : &probes_.back(); }
  void clear() { probes_.clear(); }

 private:
  std::deque<Probe> probes_;
};

}  // namespace handoff
