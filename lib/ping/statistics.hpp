// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "ping/histogram.hpp"

namespace handoff {

/// Counts the probes to one address and their outcomes. A probe that was sent is received, lost or
/// still under way. A probe with a wrong reply counts as lost and also as an error.
class PingStatistics {
 public:
  using Rtt = std::chrono::nanoseconds;

  void add_sent() { ++sent_; }
  /// Takes back `count` probes that were counted as sent but could not be sent.
  void take_back_sent(std::uint64_t count) { sent_ -= count; }
  /// Counts a reply, `rtt` after its probe was sent.
  void add_received(Rtt rtt);
  /// Counts a wrong reply.
  void add_error() { ++errors_; }
  /// Counts a reply to a probe that had been given up.
  void add_late() { ++late_; }
  /// Counts another reply to a probe that has one.
  void add_duplicate() { ++duplicates_; }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return histogram_.count(); }
  std::uint64_t errors() const { return errors_; }
  std::uint64_t late() const { return late_; }
  std::uint64_t duplicates() const { return duplicates_; }
  /// Returns the percentage of sent probes that were not received, 0 to 100; 0 if none was sent.
  double loss_percent() const;

  Rtt min() const { return histogram_.min(); }
  Rtt max() const { return histogram_.max(); }
  /// Returns the mean of all round trips. This and the other times are 0 if there was none.
  Rtt average() const;
  /// Returns the standard deviation of all round trips, which ping calls mdev.
  Rtt deviation() const;
  /// Returns the exponentially weighted moving average with weight 1/8, which ping calls ewma.
  Rtt moving_average() const;
  /// Returns a percentile of all round trips; see Histogram::percentile().
  Rtt percentile(double percent) const { return histogram_.percentile(percent); }
  /// Returns whether there are so many replies that this percentile says more than the maximum
  /// does: at least one of them is beyond it.
  bool carries(double percent) const;

 private:
  std::uint64_t sent_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t duplicates_ = 0;
  double mean_ = 0;              ///< ns
  double squared_distance_ = 0;  ///< ns², the sum of all from the mean (Welford)
  double moving_average_ = 0;    ///< ns
  Histogram histogram_;
};

/// One number about all round trips: their average, their maximum, or a percentile.
class RttMeasure {
 public:
  /// Reads "avg", "max", or "p" and a percentage above 0 and up to 100: "p99.9". Throws
  /// InvalidArgument for any other text.
  static RttMeasure parse(std::string_view text);

  /// Returns this number of `statistics`.
  PingStatistics::Rtt of(const PingStatistics& statistics) const;
  /// Returns the text that was read.
  const std::string& name() const { return name_; }

 private:
  enum class Kind { average, maximum, percentile };

  std::string name_;
  Kind kind_ = Kind::average;
  double percent_ = 0;
};

}  // namespace handoff
