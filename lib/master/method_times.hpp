// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace handoff {

/// How long the methods of a worker take, as its replies tell: a moving mean for each method. Some
/// methods share a mean, because a client may invent any number of names and this is a table of
/// fixed size.
class MethodTimes {
 public:
  /// The place of a method in the table.
  using Index = std::uint8_t;
  /// Returns the place of a method.
  static Index index_of(std::string_view method) {
    return static_cast<Index>(std::hash<std::string_view>()(method) % kMethods);
  }

  /// Returns how many nanoseconds a call may be expected to take; 0 if no call has told yet.
  std::uint64_t expected(Index index) const { return means_[index]; }
  /// Records that a call has taken `duration` nanoseconds; 0 means unknown and changes nothing.
  void add(Index index, std::uint32_t duration) {
    if (duration == 0) { return; }
    std::uint64_t& mean = means_[index];
    mean = mean == 0 ? duration : mean - mean / kWeight + duration / kWeight;
  }

 private:
  static constexpr std::size_t kMethods = 64;
  /// The mean moves by one kWeight-th of the difference at each call.
  static constexpr std::uint64_t kWeight = 8;

  std::array<std::uint64_t, kMethods> means_{};
};

}  // namespace handoff
