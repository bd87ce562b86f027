// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace handoff {

/// Counts durations in buckets whose width grows with the value (log-linear, as in HdrHistogram):
/// every power of two is split into 128. Exact below 256 ns, within 0.4 % from there to 39 hours,
/// in 42 kB, however many are recorded.
class Histogram {
 public:
  using Value = std::chrono::nanoseconds;

  /// Below 0 counts as 0; what exceeds the range counts as its end.
  void record(Value value);
  /// As if all that `other` recorded had been recorded here.
  void merge(const Histogram& other);

  std::uint64_t count() const { return count_; }
  /// Exact. 0 when nothing was recorded.
  Value min() const { return Value(count_ == 0 ? 0 : min_); }
  Value max() const { return Value(max_); }
  /// The least value that `percent` of all do not exceed (nearest rank); never outside of
  /// min() to max(). 0 when nothing was recorded.
  Value percentile(double percent) const;

 private:
  static constexpr int kSplitBits = 7;
  static constexpr int kRangeBits = 47;
  static constexpr std::int64_t kSplit = std::int64_t{1} << kSplitBits;
  static constexpr std::int64_t kLargest = (std::int64_t{1} << kRangeBits) - 1;
  static constexpr std::size_t kBuckets = (kRangeBits - kSplitBits + 1) * kSplit;

  static std::size_t bucket_of(std::int64_t value);
  static std::int64_t middle_of(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::int64_t min_ = kLargest;
  std::int64_t max_ = 0;
};

}  // namespace handoff
