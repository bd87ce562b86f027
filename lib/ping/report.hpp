// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ping/pinger.hpp"

namespace handoff {

/// The limits that a result must not exceed, for use in a health check.
struct PingLimits {
  std::optional<double> loss_percent;
  std::vector<std::pair<RttMeasure, Duration>> rtt;

  /// Returns a line for each limit that `result` exceeds: "the round trips to ADDRESS are too long:
  /// p99 is 12.000 ms, more than 10 ms".
  std::vector<std::string> exceeded_by(const PingResult& result) const;
};

/// What a PingReport prints, and through which functions. All of `out`, `status` and `error` must
/// be set.
struct PingReportOptions {
  /// Called with output, several lines at a time. It must not block, because the probes that are
  /// under way would be measured wrongly.
  std::function<void(std::string_view)> out;
  /// Called with each line of an answer to SIGQUIT.
  std::function<void(std::string_view)> status;
  /// Called with lines of diagnostics, "what failed, on what object: why". `info` and `detail` may
  /// be empty.
  std::function<void(std::string_view)> error;
  std::function<void(std::string_view)> info;
  std::function<void(std::string_view)> detail;

  bool json = false;  ///< prints one JSON object per line and nothing else
  bool lines = true;  ///< prints a line for each probe
  bool dots =
      false;  ///< prints a dot for each probe, removed by its reply; not together with `lines`
  bool timestamps = false;      ///< prints the time before each line
  bool flush_lines = true;      ///< prints each line at once, rather than five times a second
  bool shows_pace = false;      ///< prints in the summary how fast probes followed each other
  std::size_t size = 0;         ///< the length of the params in bytes, for the first line
  std::string method = "ping";  ///< the method that is called
};

/// Prints what a pinger does, in the format of ping(8) from iputils or as JSON.
class PingReport final : public PingObserver {
 public:
  explicit PingReport(PingReportOptions options) : options_(std::move(options)) {}

  void on_start(const PingResult& result) override;
  void on_sent(const PingResult& result, std::uint64_t seq) override;
  void on_pong(const PingResult& result, std::uint64_t seq, Duration rtt) override;
  void on_lost(const PingResult& result, std::uint64_t seq, std::string_view why) override;
  void on_error(const PingResult& result, std::uint64_t seq, std::string_view problem) override;
  void on_late(const PingResult& result, std::uint64_t seq, Duration rtt) override;
  void on_duplicate(const PingResult& result, std::uint64_t seq, Duration rtt) override;
  void on_waiting(std::string_view text) override;
  void on_trouble(std::string_view text) override;
  void on_detail(std::string_view text) override;
  void on_status_request(const std::vector<const PingResult*>& results) override;

  /// Prints the summary of one address; a hint about its server goes to `error`. An address that
  /// was never pinged has no summary as text, but an object of JSON.
  void print_summary(const PingResult& result);

 private:
  using Say = std::function<void(std::string_view)>;
  void say(const Say& how, std::string_view text);
  /// Adds text to what the next flush gives to `out`.
  void print(std::string_view text);
  /// Flushes at most five times a second, unless each line is to appear at once.
  void flush_if_due();
  void flush();
  /// Returns the time before a line, or an empty text.
  std::string stamp() const;
  enum class Reception { first, repeated };
  void print_reply(Reception reception, const PingResult& result, std::uint64_t seq, Duration rtt);
  void print_text_summary(const PingResult& result);
  void print_json_summary(const PingResult& result);

  PingReportOptions options_;
  std::string unflushed_;
  TimePoint flushed_{};
  std::set<std::string, std::less<>>
      said_;  ///< the troubles that were reported, if each is reported once
};

}  // namespace handoff
