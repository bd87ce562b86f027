// SPDX-License-Identifier: MIT
#include "ping/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace handoff {

// A value of up to 8 bits is its own bucket. A longer one is cut to its 8 highest bits, and the
// number of bits cut off chooses among the rows of 128 that follow.

std::size_t Histogram::bucket_of(std::int64_t value) {
  const auto width = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value)));
  const int cut = std::max(0, width - (kSplitBits + 1));
  return static_cast<std::size_t>(cut * kSplit + (value >> cut));
}

std::int64_t Histogram::middle_of(std::size_t bucket) {
  const auto index = static_cast<std::int64_t>(bucket);
  const std::int64_t cut = std::max<std::int64_t>(0, index / kSplit - 1);
  const std::int64_t least = (index - cut * kSplit) << cut;
  return least + ((std::int64_t{1} << cut) - 1) / 2;
}

void Histogram::record(Value value) {
  const std::int64_t bounded = std::clamp<std::int64_t>(value.count(), 0, kLargest);
  ++buckets_[bucket_of(bounded)];
  ++count_;
  min_ = std::min(min_, bounded);
  max_ = std::max(max_, bounded);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) { buckets_[i] += other.buckets_[i]; }
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

Histogram::Value Histogram::percentile(double percent) const {
  if (count_ == 0) { return Value(0); }
  // 99.9 % of 1000 is 999.0000000000001 in floating point, and must not become the 1000th.
  const double share = percent / 100 * static_cast<double>(count_);
  const auto rank = static_cast<std::uint64_t>(std::ceil(share - 1e-9 * share));
  const std::uint64_t wanted = std::clamp<std::uint64_t>(rank, 1, count_);
  if (wanted == 1) { return min(); }
  if (wanted == count_) { return max(); }
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) { return Value(std::clamp(middle_of(i), min_, max_)); }
  }
  return max();
}

}  // namespace handoff
