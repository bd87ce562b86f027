// SPDX-License-Identifier: MIT
#include "ping/pinger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "async/event.hpp"
#include "async/signal_watcher.hpp"
#include "os/error.hpp"
#include "ping/run.hpp"
#include "ping/target.hpp"

namespace handoff {
namespace {

constexpr Duration kLongestFinish = std::chrono::milliseconds(100);

void check_range(std::string_view what, std::size_t value, std::size_t least, std::size_t most) {
  if (value >= least && value <= most) { return; }
  throw InvalidArgument(fmt::format("{} {}: write {} to {}", what, value, least, most));
}

}  // namespace

void PingOptions::check(const std::vector<Address>& addresses) const {
  if (addresses.empty()) { throw InvalidArgument("no address to ping"); }
  check_range("size", size, 0, kMostSize);
  check_range("connections", connections, 1, kMostConnections);
  check_range("in-flight", in_flight, 0, kMostInFlight);
  if (pace == Pace::rate && !(rate > 0 && rate <= 1e7)) {
    throw InvalidArgument(
        fmt::format("rate {}: write a number above 0, and at most 10000000", rate));
  }
  if (reconnect && in_flight > 1) {
    throw InvalidArgument("one connection for each probe leaves no room for more in flight");
  }
  for (const Address& address : addresses) {
    if (address.kind != Address::Kind::inherited) { continue; }
    if (reconnect || wait_until_up || connections > 1) {
      throw InvalidArgument(
          fmt::format("cannot connect to {}: a descriptor can't be connected again, "
                      "so it has one connection",
                      address.text));
    }
  }
}

std::string PingOptions::no_reply() const {
  return fmt::format("no reply within {}", duration_text(reply_timeout));
}

bool PingResult::looks_like_delayed_ack() const {
  using std::chrono::milliseconds;
  const auto median = statistics.percentile(50);
  // On a slow network connecting takes as long as a round trip.
  return over_tcp && statistics.received() >= 3 && median >= milliseconds(38) &&
         median <= milliseconds(48) && statistics.percentile(75) <= milliseconds(49) &&
         connect_time < median / 2;
}

Pinger::Pinger(Reactor& reactor, const PingOptions& options, std::vector<Address> addresses,
               PingObserver& observer)
    : run_(new PingRun{reactor, options, observer, addresses.size(), addresses.size() == 1,
                       Event(reactor)}) {
  for (Address& address : addresses) {
    targets_.push_back(std::make_unique<PingTarget>(*run_, std::move(address)));
  }
}

Pinger::~Pinger() = default;

Task<void> Pinger::run() {
  if (run_->options.deadline > Duration::zero()) {
    run_->reactor.spawn(end_at(deadline_after(Clock::now(), run_->options.deadline)));
  }
  for (const auto& target : targets_) { run_->reactor.spawn(target->run()); }
  co_await run_->over;
  if (run_->unfinished > 0) {
    finish_probing();
    co_await run_->over;
  }
  for (const auto& target : targets_) { target->finish(); }
}

void Pinger::finish_probing() {
  finishing_ = true;
  run_->over.clear();
  Duration longest{};
  for (const auto& target : targets_) {
    longest = std::max<Duration>(longest, target->result().statistics.max());
    if (deadline_passed_ && !target->finished() && !target->result().started) { target->give_up(); }
    target->hold();
  }
  run_->reactor.spawn(end_at(Clock::now() + std::min(2 * longest, kLongestFinish)));
}

Task<void> Pinger::end_at(TimePoint when) {
  const bool was_finishing = finishing_;
  co_await run_->reactor.sleep_until(when);
  if (finishing_ != was_finishing) { co_return; }
  if (!finishing_) { deadline_passed_ = true; }
  stop();
}

void Pinger::stop() {
  run_->over.set();
}

void Pinger::pause() {
  run_->paused = true;
}

void Pinger::resume() {
  run_->paused = false;
  for (const auto& target : targets_) { target->resume(); }
}

Task<void> Pinger::obey(const SignalMask& signals) {
  return watch_signals(run_->reactor, signals, [this](const ReceivedSignal& signal) {
    if (signal.number == SIGQUIT) {
      run_->observer.on_status_request(results());
    } else {
      stop();
    }
  });
}

std::vector<const PingResult*> Pinger::results() const {
  std::vector<const PingResult*> results;
  results.reserve(targets_.size());
  for (const auto& target : targets_) { results.push_back(&target->result()); }
  return results;
}

}  // namespace handoff
