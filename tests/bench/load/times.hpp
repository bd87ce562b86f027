// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace load {

/// How often a time was seen, in buckets of which 128 make up a power of two: within 0.4 %.
class Times {
 public:
  void record(std::chrono::nanoseconds time) {
    const auto ns =
        static_cast<std::uint64_t>(std::max<std::chrono::nanoseconds::rep>(0, time.count()));
    ++buckets_[bucket_of(ns)];
    ++count_;
    most_ = std::max(most_, ns);
  }

  /// The least time, in microseconds, that this share of all did not exceed.
  double quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen > 0) {
        return static_cast<double>(std::min(middle_of(i), most_)) / 1e3;
      }
    }
    return 0;
  }
  double most() const { return static_cast<double>(most_) / 1e3; }

 private:
  /// So many of the highest bits of a time are kept.
  static constexpr int kBits = 8;
  static constexpr std::uint64_t kRow = 1U << (kBits - 1);
  static constexpr std::size_t kBuckets = (64 - kBits + 2) * kRow;

  static std::size_t bucket_of(std::uint64_t ns) {
    const auto cut =
        static_cast<std::uint64_t>(std::max(0, static_cast<int>(std::bit_width(ns)) - kBits));
    return cut * kRow + (ns >> cut);
  }
  static std::uint64_t middle_of(std::size_t bucket) {
    const std::uint64_t cut = bucket < 2 * kRow ? 0 : bucket / kRow - 1;
    return ((bucket - cut * kRow) << cut) + ((std::uint64_t{1} << cut) - 1) / 2;
  }

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t most_ = 0;
};

}  // namespace load
