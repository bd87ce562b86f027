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

/// What a ping must not exceed.
struct PingLimits {
  std::optional<double> loss_percent;
  std::vector<std::pair<RttMeasure, Duration>> rtt;

  /// A line, "what of ADDRESS: how much, more than LIMIT", for each that `result` exceeds.
  std::vector<std::string> exceeded_by(const PingResult& result) const;
};

struct PingReportOptions {
  /// Gets data, several lines at a time. It must not block: a probe that is under way meanwhile
  /// would be measured wrongly.
  std::function<void(std::string_view)> out;
  /// Gets the lines of an answer to SIGQUIT.
  std::function<void(std::string_view)> status;
  /// Get lines of diagnostics, "what failed, on what object: why".
  std::function<void(std::string_view)> error;
  std::function<void(std::string_view)> info;
  std::function<void(std::string_view)> detail;

  bool json = false;        ///< an object a line, nothing else
  bool lines = true;        ///< for each probe
  bool dots = false;        ///< a dot for each probe, taken back by its reply; not with `lines`
  bool timestamps = false;  ///< before each line
  bool flush_lines = true;  ///< at once; otherwise five times a second
  bool shows_pace = false;  ///< how fast probes followed each other, in the summary
  std::size_t size = 0;     ///< of the params, for the first line
};

/// Prints what a pinger does, as ping(8) of iputils does or as JSON.
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

  /// What ping prints when it ends; a hint about the server goes to `error`. For an address that
  /// was never pinged there is no footer, but an object of JSON.
  void print_summary(const PingResult& result);

 private:
  using Say = std::function<void(std::string_view)>;
  void say(const Say& how, std::string_view text);
  void print(std::string_view text);
  void flush_if_due();
  void flush();
  std::string stamp() const;
  enum class Reception { first, repeated };
  void print_reply(Reception reception, const PingResult& result, std::uint64_t seq, Duration rtt);
  void print_text_summary(const PingResult& result);
  void print_json_summary(const PingResult& result);

  PingReportOptions options_;
  std::string unflushed_;
  TimePoint flushed_{};
  std::set<std::string, std::less<>> said_;  ///< troubles, when each is said once
};

}  // namespace handoff
