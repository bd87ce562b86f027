// SPDX-License-Identifier: MIT
#include "ping/target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

using Pace = PingOptions::Pace;

/// The longest time without a probe in a flood.
constexpr Duration kFloodPause = std::chrono::milliseconds(10);
/// The pause before the next attempt if no connection could take the probe that is due.
constexpr Duration kRest = std::chrono::milliseconds(1);
/// The most probes under way at a fixed pace with a connection for each probe.
constexpr std::uint64_t kMostOnTheirOwn = 512;

bool is_closed_loop(Pace pace) {
  return pace == Pace::adaptive || pace == Pace::flood;
}

std::size_t limit_of(const PingOptions& options) {
  if (options.in_flight > 0) { return options.in_flight; }
  return is_closed_loop(options.pace) ? 1 : PingOptions::kMostInFlight;
}

PingPayload make_payload(const PingOptions& options) {
  return options.params.empty() ? PingPayload(options.size) : PingPayload(options.params);
}

}  // namespace

PingTarget::PingTarget(PingRun& run, Address address)
    : run_(run),
      peer_(run, std::move(address), result_),
      payload_(make_payload(run.options)),
      connected_(run.reactor),
      limit_(limit_of(run.options)) {
  result_.address = peer_.name();
}

Task<void> PingTarget::run() {
  std::unique_ptr<Client> first;
  try {
    const std::string ping_params(PingPayload(run_.options.size).json(0));
    first = co_await peer_.reach(ping_params);
  } catch (const NoLocalPort& error) {
    cannot_send(0, error.what());
  } catch (const Unreachable& error) {
    unreachable(error.what());
  } catch (const ProtocolError& error) { protocol_broken(error.what()); }
  if (finished_) { co_return; }
  result_.started = true;
  run_.observer.on_start(result_);
  if (run_.options.reconnect) {
    first.reset();
  } else {
    co_await open_connections(std::move(first));
  }
  first_sent_ = last_event_ = Clock::now();
  if (!closed_loop()) {
    co_await send_when_due();
    co_return;
  }
  fill_with_connections();
  for (const auto& connection : connections_) { fill(*connection); }
  if (run_.options.pace == Pace::flood && run_.options.in_flight == 0) { co_await keep_flooding(); }
}

Task<void> PingTarget::open_connections(std::unique_ptr<Client> first) {
  connecting_ = run_.options.connections;
  using FirstConnect = PingConnection::FirstConnect;
  const auto when = peer_.reached() ? FirstConnect::at_once : FirstConnect::for_first_probe;
  for (std::size_t i = 0; i < run_.options.connections; ++i) {
    connections_.push_back(std::make_unique<PingConnection>(*this, std::move(first)));
    run_.reactor.spawn(connections_.back()->run(when));
  }
  co_await connected_;
}

void PingTarget::connection_ready() {
  if (--connecting_ == 0) { connected_.set(); }
}

// Sending

bool PingTarget::closed_loop() const {
  return is_closed_loop(run_.options.pace);
}

Duration PingTarget::pause() const {
  switch (run_.options.pace) {
    case Pace::adaptive: return run_.options.interval;
    case Pace::flood: return kFloodPause;
    default: return Duration::zero();
  }
}

/// With a deadline the count is that of replies, as in ping: a lost probe is sent again.
bool PingTarget::has_more() const {
  if (held_ || finished_) { return false; }
  const std::uint64_t count = run_.options.count;
  if (count == 0) { return true; }
  if (run_.options.deadline == Duration::zero()) { return result_.statistics.sent() < count; }
  return result_.statistics.received() + under_way_ < count;
}

bool PingTarget::wants_end() const {
  const std::uint64_t count = run_.options.count;
  if (held_) { return under_way_ == 0; }
  if (count == 0) { return false; }
  if (run_.options.deadline > Duration::zero()) { return result_.statistics.received() >= count; }
  return result_.statistics.sent() >= count && under_way_ == 0;
}

PingConnection* PingTarget::next_connection() {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    PingConnection& connection = *connections_[next_];
    next_ = (next_ + 1) % connections_.size();
    if (connection.under_way() < limit_ && connection.has_room()) { return &connection; }
  }
  return nullptr;
}

std::uint64_t PingTarget::count_probe() {
  result_.statistics.add_sent();
  ++under_way_;
  last_sent_ = last_event_ = Clock::now();
  run_.observer.on_sent(result_, result_.statistics.sent());
  return result_.statistics.sent();
}

bool PingTarget::send(TimePoint due) {
  if (run_.options.reconnect) {
    if (under_way_ >= kMostOnTheirOwn) { return false; }
    run_.reactor.spawn(probe_once(count_probe(), due));
    return true;
  }
  PingConnection* const connection = next_connection();
  if (connection == nullptr) { return false; }
  connection->push(count_probe(), due);
  return true;
}

void PingTarget::fill(PingConnection& connection) {
  if (!closed_loop()) { return; }
  while (!connection.pausing() && connection.under_way() < limit_ && may_send() &&
         connection.has_room()) {
    connection.push(count_probe(), last_sent_);
  }
}

void PingTarget::fill_with_connections() {
  if (!run_.options.reconnect || !closed_loop()) { return; }
  while (under_way_ < run_.options.connections && may_send()) {
    run_.reactor.spawn(probe_once(count_probe(), last_sent_));
  }
}

Task<void> PingTarget::send_when_due() {
  const PingOptions& options = run_.options;
  const TimePoint start = Clock::now();
  TimePoint due = start;
  double number = 0;
  while (!finished_) {
    const TimePoint now = Clock::now();
    while (due <= now) {
      if (may_send() && !send(due)) { break; }
      if (options.pace == Pace::rate) {
        const std::chrono::duration<double> offset(++number / options.rate);
        due = start + std::chrono::duration_cast<Duration>(offset);
      } else {
        due += options.interval;
        // After a standstill (SIGSTOP, a suspended machine) the probes that were missed are not
        // sent.
        if (due <= now) { due = now + options.interval; }
      }
    }
    if (!has_more() && options.deadline == Duration::zero()) { co_return; }
    co_await run_.reactor.sleep_until(due > now ? due : now + kRest);
  }
}

Task<void> PingTarget::keep_flooding() {
  TimePoint last_look = last_sent_;
  while (!finished_ && !connections_.empty()) {
    co_await run_.reactor.sleep_until(std::max(last_look, last_sent_) + kFloodPause);
    last_look = Clock::now();
    if (last_look - last_sent_ < kFloodPause || !may_send()) { continue; }
    PingConnection& connection = *connections_[next_];
    next_ = (next_ + 1) % connections_.size();
    if (!connection.pausing() && connection.has_room()) {
      connection.push(count_probe(), last_sent_);
    }
  }
}

Task<void> PingTarget::probe_once(std::uint64_t seq, TimePoint due) {
  const TimePoint start = run_.options.pace == Pace::rate ? due : Clock::now();
  const TimePoint deadline = deadline_after(start, run_.options.reply_timeout);
  std::string why;
  bool is_late = false;
  try {
    const std::unique_ptr<Client> client = co_await peer_.connect(deadline);
    client->queue(run_.options.method, payload_.json(seq));
    co_await client->flush(deadline);
    const Reply reply = co_await client->receive(deadline);
    const TimePoint now = client->received_at();
    replied(seq, now - start, payload_.problem_of(reply, seq));
    while (const auto more = client->try_receive()) {
      if (!payload_.problem_of(*more, seq).empty()) {
        throw ProtocolError(
            fmt::format("cannot ping {}: it sent a reply that nobody asked for", result_.address));
      }
      duplicate(seq, now - start);
    }
  } catch (const NoLocalPort& error) {
    cannot_send(1, error.what());
  } catch (const TimedOut& error) {
    is_late = Clock::now() >= deadline;
    why = is_late ? run_.options.no_reply() : error.what();
  } catch (const Unreachable& error) { why = error.what(); } catch (const ConnectionLost& error) {
    why = error.what();
  } catch (const SystemError& error) { why = error.what(); } catch (const ProtocolError& error) {
    protocol_broken(error.what());
  }
  if (!why.empty()) {
    if (!is_late) { trouble(why); }
    lost(seq, why);
  }
  settle();
  if (!why.empty() && !is_late && closed_loop()) {
    co_await run_.reactor.sleep_until(Clock::now() + pause());
  }
  fill_with_connections();
}

// Counting

void PingTarget::replied(std::uint64_t seq, Duration rtt, const std::string& problem) {
  if (finished_) { return; }
  if (!problem.empty()) {
    result_.statistics.add_error();
    run_.observer.on_error(result_, seq, problem);
    lost(seq, problem);
    return;
  }
  --under_way_;
  last_event_ = Clock::now();
  result_.statistics.add_received(rtt);
  run_.observer.on_pong(result_, seq, rtt);
}

void PingTarget::lost(std::uint64_t seq, std::string_view why) {
  if (finished_) { return; }
  --under_way_;
  last_event_ = Clock::now();
  run_.observer.on_lost(result_, seq, why);
}

void PingTarget::late(std::uint64_t seq, Duration rtt) {
  if (finished_) { return; }
  result_.statistics.add_late();
  run_.observer.on_late(result_, seq, rtt);
}

void PingTarget::duplicate(std::uint64_t seq, Duration rtt) {
  if (finished_) { return; }
  result_.statistics.add_duplicate();
  run_.observer.on_duplicate(result_, seq, rtt);
}

void PingTarget::cannot_send(std::uint64_t count, std::string_view text) {
  if (finished_) { return; }
  if (!std::exchange(cannot_send_, true)) { trouble(text); }
  result_.statistics.take_back_sent(count);
  under_way_ -= count;
  hold();
}

void PingTarget::trouble(std::string_view text) {
  if (!finished_) { run_.observer.on_trouble(text); }
}

void PingTarget::detail(std::string_view text) {
  if (!finished_) { run_.observer.on_detail(text); }
}

void PingTarget::unreachable(std::string_view text) {
  trouble(text);
  finish();
  result_.verdict = PingResult::Verdict::unreachable;
}

void PingTarget::protocol_broken(std::string_view text) {
  trouble(text);
  broken_ = true;
  finish();
}

void PingTarget::progress(PingConnection& connection) {
  settle();
  fill(connection);
}

// Ending

void PingTarget::settle() {
  if (wants_end()) { finish(); }
}

void PingTarget::hold() {
  held_ = true;
  settle();
}

void PingTarget::resume() {
  const bool has_begun = first_sent_ != TimePoint{};
  if (!has_begun) { return; }
  fill_with_connections();
  for (const auto& connection : connections_) { fill(*connection); }
}

void PingTarget::give_up() {
  unreachable(peer_.why_not_within(run_.options.deadline));
}

void PingTarget::finish() {
  if (finished_) { return; }
  finished_ = true;
  using Verdict = PingResult::Verdict;
  const std::uint64_t received = result_.statistics.received();
  const bool wants_all = run_.options.count > 0 && run_.options.deadline > Duration::zero();
  if (broken_) {
    result_.verdict = Verdict::protocol_broken;
  } else if (cannot_send_) {
    result_.verdict = Verdict::cannot_send;
  } else if (result_.started && !peer_.reached()) {
    result_.verdict = Verdict::unreachable;
  } else if (received > 0 && !(wants_all && received < run_.options.count)) {
    result_.verdict = Verdict::answered;
  }
  if (result_.started) { result_.duration = last_event_ - first_sent_; }
  if (--run_.unfinished == 0) { run_.over.set(); }
}

}  // namespace handoff
