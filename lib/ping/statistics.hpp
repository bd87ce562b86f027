// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "ping/histogram.hpp"

namespace handoff {

/// What became of the probes to one address. A probe that was sent is received or lost, or still
/// under way; what was answered wrongly is lost and also an error.
class PingStatistics {
 public:
  using Rtt = std::chrono::nanoseconds;

  void add_sent() { ++sent_; }
  /// Probes that were counted as sent, and could not be sent.
  void take_back_sent(std::uint64_t count) { sent_ -= count; }
  void add_received(Rtt rtt);
  void add_error() { ++errors_; }
  /// A reply to a probe that had been given up.
  void add_late() { ++late_; }
  /// One more reply to a probe that has one.
  void add_duplicate() { ++duplicates_; }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return histogram_.count(); }
  std::uint64_t errors() const { return errors_; }
  std::uint64_t late() const { return late_; }
  std::uint64_t duplicates() const { return duplicates_; }
  /// Of what was sent, 0 to 100.
  double loss_percent() const;

  Rtt min() const { return histogram_.min(); }
  Rtt max() const { return histogram_.max(); }
  Rtt average() const;
  /// The standard deviation of all, which ping calls mdev.
  Rtt deviation() const;
  /// The exponentially weighted moving average with weight 1/8, as ping has it.
  Rtt moving_average() const;
  Rtt percentile(double percent) const { return histogram_.percentile(percent); }

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

/// One number about the round trips: their average, their maximum, or a percentile.
class RttMeasure {
 public:
  /// "avg", "max", or "p" and a percentage: "p99.9". Throws InvalidArgument.
  static RttMeasure parse(std::string_view text);

  PingStatistics::Rtt of(const PingStatistics& statistics) const;
  const std::string& name() const { return name_; }

 private:
  enum class Kind { average, maximum, percentile };

  std::string name_;
  Kind kind_ = Kind::average;
  double percent_ = 0;
};

}  // namespace handoff
