// SPDX-License-Identifier: MIT
#include "ping/report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>

#include "os/printable.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

constexpr Duration kFlushInterval = std::chrono::milliseconds(200);
constexpr Duration kDotInterval = std::chrono::milliseconds(10);
constexpr std::size_t kMostRemembered = 64;
constexpr std::array kPercentiles = {50.0, 90.0, 99.0, 99.9};

double ms(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

/// Returns the time in milliseconds as ping prints it: three significant digits, at most three of
/// them after the point.
std::string ping_time(Duration rtt) {
  const double value = ms(rtt);
  const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : value >= 0.9995 ? 2 : 3;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string loss_text(const PingStatistics& statistics) {
  return fmt::format("{:g}", statistics.loss_percent());
}

double wall_clock_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Returns the mean time between two probes, 0 if there were fewer.
Duration gap(const PingResult& result) {
  const std::uint64_t sent = result.statistics.sent();
  return sent < 2 ? Duration{} : result.duration / static_cast<std::int64_t>(sent - 1);
}

}  // namespace

std::vector<std::string> PingLimits::exceeded_by(const PingResult& result) const {
  std::vector<std::string> lines;
  const PingStatistics& statistics = result.statistics;
  if (loss_percent && statistics.loss_percent() > *loss_percent) {
    lines.push_back(fmt::format("too many probes of {} are lost: {}% of {}, more than {:g}%",
                                result.address, loss_text(statistics), statistics.sent(),
                                *loss_percent));
  }
  if (statistics.received() == 0) { return lines; }
  for (const auto& [measure, most] : rtt) {
    const auto value = measure.of(statistics);
    if (value <= most) { continue; }
    lines.push_back(
        fmt::format("the round trips to {} are too long: {} is {:.3f} ms, more than {:g} ms",
                    result.address, measure.name(), ms(value), ms(most)));
  }
  return lines;
}

void PingReport::print(std::string_view text) {
  unflushed_.append(text);
}

void PingReport::flush() {
  if (!unflushed_.empty()) { options_.out(unflushed_); }
  unflushed_.clear();
}

void PingReport::flush_if_due() {
  const Duration interval = options_.dots ? kDotInterval : kFlushInterval;
  const TimePoint now = Clock::now();
  if (!options_.flush_lines && now - flushed_ < interval) { return; }
  flushed_ = now;
  flush();
}

std::string PingReport::stamp() const {
  return options_.timestamps ? fmt::format("[{:.6f}] ", wall_clock_seconds()) : "";
}

void PingReport::on_start(const PingResult& result) {
  if (options_.json) { return; }
  const bool shows_peer = !result.peer.empty() && result.peer != result.address;
  const std::string what =
      options_.method == "ping" ? "" : fmt::format("calls of {}, ", printable(options_.method));
  print(fmt::format("PING {}{}: {}{} bytes of params\n", result.address,
                    shows_peer ? fmt::format(" ({})", result.peer) : "", what, options_.size));
  flush();
}

void PingReport::on_sent(const PingResult&, std::uint64_t) {
  if (!options_.dots) { return; }
  print(".");
  flush_if_due();
}

void PingReport::on_pong(const PingResult& result, std::uint64_t seq, Duration rtt) {
  if (options_.dots) {
    print("\b \b");
  } else if (!options_.lines) {
    return;
  } else {
    print_reply(Reception::first, result, seq, rtt);
  }
  flush_if_due();
}

void PingReport::on_duplicate(const PingResult& result, std::uint64_t seq, Duration rtt) {
  if (!options_.lines) { return; }
  print_reply(Reception::repeated, result, seq, rtt);
  flush_if_due();
}

void PingReport::print_reply(Reception reception, const PingResult& result, std::uint64_t seq,
                             Duration rtt) {
  const bool is_first = reception == Reception::first;
  if (options_.json) {
    print(fmt::format(R"({{"type":"{}","address":{},"seq":{},"rtt_ms":{:.6f},"timestamp":{:.6f}}})"
                      "\n",
                      is_first ? "pong" : "duplicate", quote_json(result.address), seq, ms(rtt),
                      wall_clock_seconds()));
  } else {
    print(fmt::format("{}{} from {}: seq={} time={} ms{}\n", stamp(),
                      options_.method == "ping" ? "pong" : "reply", result.address, seq,
                      ping_time(rtt), is_first ? "" : " (DUP!)"));
  }
}

void PingReport::on_lost(const PingResult& result, std::uint64_t seq, std::string_view why) {
  if (options_.lines && options_.json) {
    print(fmt::format(R"({{"type":"lost","address":{},"seq":{},"reason":{},"timestamp":{:.6f}}})"
                      "\n",
                      quote_json(result.address), seq, quote_json(why), wall_clock_seconds()));
    flush_if_due();
  }
  on_detail(fmt::format("seq={} to {} is lost: {}", seq, result.address, why));
}

void PingReport::on_late(const PingResult& result, std::uint64_t seq, Duration rtt) {
  on_detail(fmt::format("seq={} to {} is answered late: after {} ms", seq, result.address,
                        ping_time(rtt)));
}

void PingReport::say(const Say& how, std::string_view text) {
  if (!how) { return; }
  flush();
  how(text);
}

void PingReport::on_waiting(std::string_view text) {
  say(options_.info, text);
}

void PingReport::on_trouble(std::string_view text) {
  // Without a line for each probe, the same trouble is reported once. The number of those that are
  // remembered is bounded, because a peer can cause any number.
  if (!options_.lines) {
    if (said_.contains(text)) { return; }
    if (said_.size() == kMostRemembered) { said_.clear(); }
    said_.emplace(text);
  }
  say(options_.error, text);
}

void PingReport::on_error(const PingResult& result, std::uint64_t seq, std::string_view problem) {
  if (options_.lines) {
    say(options_.error, fmt::format("seq={} to {} failed: {}", seq, result.address, problem));
  } else {
    on_trouble(fmt::format("cannot ping {}: {}", result.address, problem));
  }
}

void PingReport::on_detail(std::string_view text) {
  say(options_.detail, text);
}

void PingReport::on_status_request(const std::vector<const PingResult*>& results) {
  flush();
  for (const PingResult* result : results) {
    const PingStatistics& statistics = result->statistics;
    std::string line =
        fmt::format("{}{}/{} packets, {:.0f}% loss",
                    results.size() > 1 ? result->address + ": " : std::string(),
                    statistics.received(), statistics.sent(), statistics.loss_percent());
    if (statistics.received() > 0) {
      line += fmt::format(", min/avg/ewma/max = {:.3f}/{:.3f}/{:.3f}/{:.3f} ms",
                          ms(statistics.min()), ms(statistics.average()),
                          ms(statistics.moving_average()), ms(statistics.max()));
    }
    options_.status(line);
  }
}

void PingReport::print_text_summary(const PingResult& result) {
  const PingStatistics& statistics = result.statistics;
  print(fmt::format("\n--- {} ping statistics ---\n", result.address));
  const auto if_any = [](std::uint64_t count, const char* noun) {
    return count > 0 ? fmt::format(" +{} {},", count, noun) : "";
  };
  print(fmt::format("{} sent, {} received,{}{} {}% loss, time {:.0f}ms\n", statistics.sent(),
                    statistics.received(), if_any(statistics.duplicates(), "duplicates"),
                    if_any(statistics.errors(), "errors"), loss_text(statistics),
                    ms(result.duration)));
  if (statistics.received() == 0) { return; }
  std::string pace;
  if (options_.shows_pace && statistics.sent() > 1) {
    pace = fmt::format(", ipg/ewma {:.3f}/{:.3f} ms", ms(gap(result)),
                       ms(statistics.moving_average()));
  }
  print(fmt::format("rtt min/avg/max/mdev = {:.3f}/{:.3f}/{:.3f}/{:.3f} ms{}\n",
                    ms(statistics.min()), ms(statistics.average()), ms(statistics.max()),
                    ms(statistics.deviation()), pace));
  std::string names;
  std::string values;
  for (const double percent : kPercentiles) {
    if (!statistics.carries(percent)) { break; }
    const char* slash = names.empty() ? "" : "/";
    names += fmt::format("{}p{:g}", slash, percent);
    values += fmt::format("{}{:.3f}", slash, ms(statistics.percentile(percent)));
  }
  if (!names.empty()) { print(fmt::format("rtt {} = {} ms\n", names, values)); }
}

void PingReport::print_json_summary(const PingResult& result) {
  const PingStatistics& statistics = result.statistics;
  std::string rtt = "null";
  if (statistics.received() > 0) {
    rtt = fmt::format(R"({{"min":{:.6f},"avg":{:.6f},"max":{:.6f},"mdev":{:.6f},"ewma":{:.6f})",
                      ms(statistics.min()), ms(statistics.average()), ms(statistics.max()),
                      ms(statistics.deviation()), ms(statistics.moving_average()));
    for (const double percent : kPercentiles) {
      rtt += statistics.carries(percent)
                 ? fmt::format(R"(,"p{:g}":{:.6f})", percent, ms(statistics.percentile(percent)))
                 : fmt::format(R"(,"p{:g}":null)", percent);
    }
    rtt += "}";
  }
  // A loss of 0 % would look like good news where no probe was sent.
  const std::string loss = statistics.sent() > 0 ? loss_text(statistics) : "null";
  print(fmt::format(R"({{"type":"summary","address":{},"sent":{},"received":{},"duplicates":{},)"
                    R"("errors":{},"late":{},"loss_percent":{},"duration_ms":{:.3f},"rtt_ms":{}}})"
                    "\n",
                    quote_json(result.address), statistics.sent(), statistics.received(),
                    statistics.duplicates(), statistics.errors(), statistics.late(), loss,
                    ms(result.duration), rtt));
}

void PingReport::print_summary(const PingResult& result) {
  if (options_.json) {
    print_json_summary(result);
  } else if (result.started) {
    print_text_summary(result);
  }
  flush();
  if (!result.looks_like_delayed_ack()) { return; }
  options_.error(fmt::format(
      "hint for {}: a steady {:.0f} ms is what two writes a reply cost: Nagle's algorithm holds "
      "the "
      "second back until the delayed ACK of the first; set TCP_NODELAY, or write a reply at once",
      result.address, ms(result.statistics.percentile(50))));
}

}  // namespace handoff
