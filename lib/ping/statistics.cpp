// SPDX-License-Identifier: MIT
#include "ping/statistics.hpp"

#include <fmt/format.h>

#include <cmath>

#include "os/error.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

PingStatistics::Rtt rounded(double nanoseconds) {
  return PingStatistics::Rtt(std::llround(nanoseconds));
}

}  // namespace

void PingStatistics::add_received(Rtt rtt) {
  const auto value = static_cast<double>(rtt.count());
  histogram_.record(rtt);
  const double distance = value - mean_;
  mean_ += distance / static_cast<double>(received());
  squared_distance_ += distance * (value - mean_);
  moving_average_ = received() == 1 ? value : moving_average_ + (value - moving_average_) / 8;
}

double PingStatistics::loss_percent() const {
  if (sent_ == 0) { return 0; }
  return 100 * static_cast<double>(sent_ - received()) / static_cast<double>(sent_);
}

PingStatistics::Rtt PingStatistics::average() const {
  return rounded(mean_);
}

PingStatistics::Rtt PingStatistics::deviation() const {
  if (received() == 0) { return Rtt(0); }
  return rounded(std::sqrt(squared_distance_ / static_cast<double>(received())));
}

PingStatistics::Rtt PingStatistics::moving_average() const {
  return rounded(moving_average_);
}

bool PingStatistics::carries(double percent) const {
  // Rounded: 100 - 99.9 is a little more than 0.1.
  return std::round(static_cast<double>(received()) * (100 - percent) * 1000) >= 100 * 1000;
}

RttMeasure RttMeasure::parse(std::string_view text) {
  RttMeasure measure;
  measure.name_ = text;
  if (text == "avg") { return measure; }
  if (text == "max") {
    measure.kind_ = Kind::maximum;
    return measure;
  }
  measure.kind_ = Kind::percentile;
  if (text.starts_with('p')) {
    measure.percent_ = parse_number<double>(text.substr(1)).value_or(0);
    if (measure.percent_ > 0 && measure.percent_ <= 100) { return measure; }
  }
  throw InvalidArgument(fmt::format("{}: write p50, p99.9, avg or max", text));
}

PingStatistics::Rtt RttMeasure::of(const PingStatistics& statistics) const {
  switch (kind_) {
    case Kind::average: return statistics.average();
    case Kind::maximum: return statistics.max();
    default: return statistics.percentile(percent_);
  }
}

}  // namespace handoff
