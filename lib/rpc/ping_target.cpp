// SPDX-License-Identifier: MIT
#include "rpc/ping_target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

using Pace = PingOptions::Pace;

/// The longest time without a probe in a flood.
constexpr Duration kFloodPause = std::chrono::milliseconds(10);
/// How long a closed loop without a limit of its own rests when nothing can take a probe.
constexpr Duration kRest = std::chrono::milliseconds(1);
/// Connections for a probe each that are open at a time at most, when their pace is fixed.
constexpr std::uint64_t kMostProbesWithConnection = 512;
/// The first digits of params are the probe's number.
constexpr std::size_t kMostDigits = 16;

std::string make_params(std::size_t size) {
  std::string params(size + 2, '"');
  for (std::size_t i = 0; i < size; ++i) params[i + 1] = static_cast<char>('a' + i % 26);
  return params;
}

std::size_t limit_of(const PingOptions& options) {
  const bool closed = options.pace == Pace::adaptive || options.pace == Pace::flood;
  if (options.in_flight > 0) return options.in_flight;
  return closed ? 1 : PingOptions::kMostInFlight;
}

}  // namespace

PingTarget::PingTarget(Pinger::Run& run, Address address)
    : run_(run),
      address_(std::move(address)),
      connected_(run.reactor),
      limit_(limit_of(run.options)),
      params_(make_params(run.options.size)) {
  result_.address = address_.text;
}

// Connecting

Task<std::unique_ptr<Client>> PingTarget::connect(TimePoint deadline) {
  if (used_up_) {
    throw Unreachable(
        fmt::format("connect, on {}: a descriptor can't be connected again", address_.text));
  }
  used_up_ = address_.kind == Address::Kind::inherited;
  const TimePoint start = Clock::now();
  Connection connection = co_await connect_to(run_.reactor, address_, deadline);
  if (!reached_) {
    reached_ = true;
    result_.connect_time = Clock::now() - start;
    const SocketAddress peer = peer_address(connection.socket.get());
    result_.over_tcp = peer.family() == AF_INET || peer.family() == AF_INET6;
    if (address_.kind == Address::Kind::tcp) {
      // A name is looked up once: looking it up again would block, and count as latency.
      result_.peer = peer.text();
      Address pinned = Address::parse(result_.peer);
      pinned.text = address_.text;
      address_ = std::move(pinned);
    }
  }
  co_return std::make_unique<Client>(run_.reactor, std::move(connection), address_.text,
                                     frame::kDefaultMaxBody);
}

Task<void> PingTarget::try_first_connection() {
  first_client_ =
      co_await connect(deadline_after(Clock::now(), run_.options.connect_timeout));
  if (!run_.options.wait_until_up) co_return;
  // A server's socket takes connections before the server does. Any reply will do.
  first_client_->queue("ping", params(0));
  co_await first_client_->flush(kNever);
  [[maybe_unused]] const Reply reply = co_await first_client_->receive(kNever);
}

Task<void> PingTarget::reach() {
  Duration wait = kFloodPause;
  for (;;) {
    try {
      co_await try_first_connection();
      co_return;
    } catch (const Unreachable& error) {
      why_not_up_ = error.what();
    } catch (const TimedOut& error) {
      why_not_up_ = error.what();
    } catch (const ConnectionLost& error) {
      why_not_up_ = error.what();
    }
    first_client_.reset();
    if (!run_.options.wait_until_up) {
      if (run_.alone) throw Unreachable(why_not_up_);
      trouble(why_not_up_);
      co_return;
    }
    detail(why_not_up_);
    co_await run_.reactor.sleep_until(Clock::now() + wait);
    wait = std::min<Duration>(wait * 2, std::chrono::milliseconds(200));
  }
}

void PingTarget::give_up() {
  trouble(fmt::format("{}, before the deadline",
                      why_not_up_.empty()
                          ? fmt::format("connect, on {}: no answer", address_.text)
                          : why_not_up_));
  result_.verdict = PingResult::Verdict::unreachable;
  finish();
}

Task<void> PingTarget::open_connections() {
  connecting_ = run_.options.connections;
  for (std::size_t i = 0; i < run_.options.connections; ++i) {
    connections_.push_back(std::make_unique<PingConnection>(*this, std::move(first_client_)));
    run_.reactor.spawn(connections_.back()->run());
  }
  co_await connected_;
}

void PingTarget::connection_ready() {
  if (--connecting_ == 0) connected_.set();
}

// Sending

bool PingTarget::closed_loop() const {
  return run_.options.pace == Pace::adaptive || run_.options.pace == Pace::flood;
}

Duration PingTarget::pause() const {
  switch (run_.options.pace) {
    case Pace::adaptive: return run_.options.interval;
    case Pace::flood: return kFloodPause;
    default: return Duration::zero();
  }
}

/// With a deadline it is replies that are counted, as in ping: what was lost is sent again.
bool PingTarget::may_send() const {
  if (held_ || finished_) return false;
  const std::uint64_t count = run_.options.count;
  if (count == 0) return true;
  if (run_.options.deadline == Duration::zero()) return result_.statistics.sent() < count;
  return result_.statistics.received() + under_way_ < count;
}

bool PingTarget::wants_end() const {
  const std::uint64_t count = run_.options.count;
  if (held_) return under_way_ == 0;
  if (count == 0) return false;
  if (run_.options.deadline > Duration::zero()) return result_.statistics.received() >= count;
  return result_.statistics.sent() >= count && under_way_ == 0;
}

PingConnection* PingTarget::next_connection() {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    PingConnection* const connection = connections_[next_].get();
    next_ = (next_ + 1) % connections_.size();
    if (connection->under_way() < limit_ && connection->has_room()) return connection;
  }
  return nullptr;
}

bool PingTarget::send(TimePoint due, PingConnection* connection) {
  if (run_.options.reconnect) {
    if (!closed_loop() && under_way_ >= kMostProbesWithConnection) return false;
  } else {
    if (connection == nullptr) connection = next_connection();
    if (connection == nullptr) return false;
  }
  result_.statistics.add_sent();
  ++under_way_;
  const std::uint64_t seq = result_.statistics.sent();
  last_sent_ = last_event_ = Clock::now();
  run_.observer.on_sent(result_, seq);
  if (connection != nullptr) {
    connection->push(seq, due);
  } else {
    run_.reactor.spawn(probe_once(seq, due));
  }
  return true;
}

void PingTarget::fill(PingConnection* connection) {
  if (!closed_loop()) return;
  if (connection == nullptr) {
    while (under_way_ < run_.options.connections && may_send()) send(Clock::now(), nullptr);
    return;
  }
  while (!connection->pausing() && connection->under_way() < limit_ && may_send() &&
         connection->has_room()) {
    send(run_.reactor.now(), connection);
  }
}

Task<void> PingTarget::probe_once(std::uint64_t seq, TimePoint due) {
  const TimePoint start = run_.options.pace == Pace::rate ? due : Clock::now();
  const TimePoint deadline = deadline_after(start, run_.options.reply_timeout);
  std::string why;
  bool is_trouble = true;
  try {
    const std::unique_ptr<Client> client = co_await connect(std::min(
        deadline, deadline_after(Clock::now(), run_.options.connect_timeout)));
    client->queue("ping", params(seq));
    co_await client->flush(deadline);
    const Reply reply = co_await client->receive(deadline);
    replied(seq, Clock::now() - start, reply);
  } catch (const TimedOut& error) {
    why = error.what();
    is_trouble = Clock::now() < deadline;
  } catch (const Unreachable& error) {
    why = error.what();
  } catch (const ConnectionLost& error) {
    why = error.what();
  } catch (const ProtocolError& error) {
    why = error.what();
    protocol_broken(why);
  }
  if (!why.empty()) {
    if (is_trouble) trouble(why);
    lost(seq, is_trouble ? std::string_view(why) : "no reply in time");
    settle();
    if (is_trouble && closed_loop()) {
      co_await run_.reactor.sleep_until(Clock::now() + pause());
    }
  }
  progress(nullptr);
}

Task<void> PingTarget::send_when_due() {
  const Duration step = run_.options.interval;
  const double rate = run_.options.rate;
  const TimePoint start = Clock::now();
  TimePoint due = start;
  for (std::uint64_t number = 1; !finished_;) {
    TimePoint now = Clock::now();
    while (due <= now && may_send()) {
      if (!send(due, nullptr)) break;
      if (run_.options.pace == Pace::rate) {
        const std::chrono::duration<double> offset(static_cast<double>(number++) / rate);
        due = start + std::chrono::duration_cast<Duration>(offset);
      } else {
        due += step;
        // After a standstill (SIGSTOP, a suspended machine) nothing is made up for.
        if (due <= now) due = now + step;
      }
    }
    now = Clock::now();
    if (!may_send() && run_.options.deadline == Duration::zero()) co_return;
    co_await run_.reactor.sleep_until(due > now ? due : now + std::min(kRest, step));
  }
}

Task<void> PingTarget::keep_flooding() {
  while (!finished_) {
    co_await run_.reactor.sleep_until(last_sent_ + kFloodPause);
    if (Clock::now() - last_sent_ < kFloodPause) continue;
    last_sent_ = Clock::now();
    if (may_send() && run_.options.in_flight == 0) {
      PingConnection* const connection = connections_[next_].get();
      next_ = (next_ + 1) % connections_.size();
      if (!connection->pausing() && connection->has_room()) send(last_sent_, connection);
    }
  }
}

Task<void> PingTarget::run() {
  try {
    co_await reach();
  } catch (const ProtocolError& error) {
    protocol_broken(error.what());
  }
  if (finished_) co_return;
  result_.started = true;
  run_.observer.on_start(result_);
  first_sent_ = last_event_ = Clock::now();
  if (run_.options.reconnect) {
    first_client_.reset();
    fill(nullptr);
  } else {
    co_await open_connections();
    first_sent_ = last_event_ = Clock::now();
    for (const auto& connection : connections_) fill(connection.get());
  }
  if (!closed_loop()) {
    co_await send_when_due();
  } else if (run_.options.pace == Pace::flood && !run_.options.reconnect) {
    co_await keep_flooding();
  }
}

// Counting

std::string_view PingTarget::params(std::uint64_t seq) {
  for (std::size_t i = std::min(run_.options.size, kMostDigits); i > 0; --i, seq /= 10) {
    params_[i] = static_cast<char>('0' + seq % 10);
  }
  return params_;
}

std::string PingTarget::problem_of(const Reply& reply, std::uint64_t seq) {
  if (reply.out == "error") {
    const ErrorResult error = parse_error_result(reply.result);
    if (error.message.empty()) return "an error reply";
    return fmt::format("{} (code {})", error.message, error.code);
  }
  if (reply.out != "pong") return fmt::format("the reply is '{}' and not 'pong'", reply.out);
  if (reply.result == params(seq)) return {};
  // The same string may be written in another way.
  const auto text = json_string(reply.result);
  if (text && *text == std::string_view(params_).substr(1, params_.size() - 2)) return {};
  return "the result is not the params that were sent";
}

void PingTarget::replied(std::uint64_t seq, Duration rtt, const Reply& reply) {
  if (finished_) return;
  const std::string problem = problem_of(reply, seq);
  if (!problem.empty()) {
    result_.statistics.add_error();
    trouble(fmt::format("ping, on {}: seq={}: {}", result_.address, seq, problem));
    lost(seq, problem);
    return;
  }
  --under_way_;
  last_event_ = Clock::now();
  result_.statistics.add_received(rtt);
  run_.observer.on_pong(result_, seq, rtt);
}

void PingTarget::lost(std::uint64_t seq, std::string_view why) {
  if (finished_) return;
  --under_way_;
  last_event_ = Clock::now();
  run_.observer.on_lost(result_, seq, why);
}

void PingTarget::late(std::uint64_t seq, Duration rtt) {
  if (finished_) return;
  result_.statistics.add_late();
  run_.observer.on_late(result_, seq, rtt);
}

void PingTarget::protocol_broken(std::string_view text) {
  if (finished_) return;
  trouble(text);
  broken_ = true;
  finish();
}

void PingTarget::progress(PingConnection* connection) {
  settle();
  if (!finished_ && (connection != nullptr || run_.options.reconnect)) fill(connection);
}

void PingTarget::settle() {
  if (!finished_ && wants_end()) finish();
}

void PingTarget::hold() {
  held_ = true;
  settle();
}

void PingTarget::finish() {
  if (finished_) return;
  finished_ = true;
  using Verdict = PingResult::Verdict;
  const std::uint64_t received = result_.statistics.received();
  const bool all_wanted = run_.options.count > 0 && run_.options.deadline > Duration::zero();
  if (broken_) {
    result_.verdict = Verdict::protocol_broken;
  } else if (result_.started && !reached_) {
    result_.verdict = Verdict::unreachable;
  } else if (received > 0 && !(all_wanted && received < run_.options.count)) {
    result_.verdict = Verdict::answered;
  }
  if (result_.started) result_.duration = last_event_ - first_sent_;
  if (--run_.unfinished == 0) run_.over.set();
}

}  // namespace handoff
