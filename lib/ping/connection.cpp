// SPDX-License-Identifier: MIT
#include "ping/connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <handoff/os/error.hpp>

#include "ping/target.hpp"

namespace handoff {
namespace {

/// The bytes that are collected for one write; further probes wait here rather than in the client.
constexpr std::size_t kBatchBytes = 64 * 1024;

}  // namespace

PingConnection::PingConnection(PingTarget& target, std::unique_ptr<ClientConnection> client)
    : Timer(target.reactor()),
      target_(target),
      client_(std::move(client)),
      work_(target.reactor()),
      received_all_(target.reactor()) {}

Task<void> PingConnection::run(FirstConnect first) {
  if (client_) {
    // The client was answered a probe of its own while the server was waited for.
    if (target_.options().wait_until_up) { history_.add({0, Clock::now(), true}); }
    start_receiving();
  } else if (first == FirstConnect::at_once) {
    [[maybe_unused]] const bool opened = co_await open();
  }
  target_.connection_ready();
  for (;;) {
    co_await work_;
    work_.clear();
    if (!failure_.empty()) { co_await close(); }
    if (written_ == probes_.size()) { continue; }
    if (!client_) {
      const bool opened = co_await open();
      if (!opened) {
        co_await pause();
        continue;
      }
    }
    co_await write_probes();
  }
}

Task<bool> PingConnection::open() {
  std::string why;
  try {
    client_ = co_await target_.peer().connect(kNever);
  } catch (const NoLocalPort& error) {
    // The probes were never sent.
    target_.cannot_send(std::exchange(probes_, {}).size(), error.what());
    arm();
    co_return false;
  } catch (const Unreachable& error) { why = error.what(); } catch (const TimedOut& error) {
    why = error.what();
  } catch (const SystemError& error) { why = error.what(); }
  if (!client_) {
    target_.trouble(why);
    drop(probes_.size(), why);
    co_return false;
  }
  start_receiving();
  co_return true;
}

void PingConnection::start_receiving() {
  received_all_.clear();
  target_.reactor().spawn(receive());
}

Task<void> PingConnection::receive() {
  while (!closing_ && failure_.empty()) {
    try {
      const Reply first = co_await client_->receive(kNever);
      const TimePoint now = client_->received_at();
      bool goes_on = !take_or_end(first, now);
      while (goes_on) {
        const auto next = client_->try_receive();
        goes_on = next && !take_or_end(*next, now);
      }
    } catch (const TimedOut&) {
      continue;  // interrupted: closing_ may be set
    } catch (const ConnectionLost& error) {
      failure_ = error.what();
    } catch (const ProtocolError& error) {
      failure_ = error.what();
      target_.protocol_broken(error.what());
    } catch (const SystemError& error) { failure_ = error.what(); }
    target_.progress(*this);
  }
  received_all_.set();
  work_.set();
  client_->interrupt();  // ends a write whose replies are read no more
}

Task<void> PingConnection::write_probes() {
  while (written_ < probes_.size() && failure_.empty()) {
    const std::size_t first = written_;
    while (written_ < probes_.size() && client_->queued() < kBatchBytes) {
      client_->queue(target_.options().method, target_.payload().json(probes_[written_].seq));
      ++written_;
    }
    if (target_.options().pace != PingOptions::Pace::rate) {
      const TimePoint now = Clock::now();
      for (std::size_t i = first; i < written_; ++i) { probes_[i].start = now; }
    }
    try {
      co_await client_->flush(kNever);
    } catch (const TimedOut&) {
      // interrupt() ended the wait: failure_ says why.
    } catch (const ConnectionLost& error) {
      failure_ = error.what();
      work_.set();
    } catch (const SystemError& error) {
      failure_ = error.what();
      work_.set();
    }
  }
}

Task<void> PingConnection::close() {
  closing_ = true;
  client_->interrupt();
  co_await received_all_;
  client_.reset();
  history_.clear();
  closing_ = false;
  const std::string why = std::exchange(failure_, {});
  if (std::exchange(ends_in_order_, false)) {
    target_.detail(why);
    drop(expired_, why);
    written_ = 0;
    co_return;
  }
  const bool loses_probes = written_ > expired_;
  if (loses_probes) {
    target_.trouble(why);
  } else {
    target_.detail(why);
  }
  drop(written_, why);
  if (loses_probes) { co_await pause(); }
}

Task<void> PingConnection::pause() {
  pausing_ = true;
  target_.progress(*this);
  const Duration duration = target_.pause();
  if (duration > Duration::zero()) {
    co_await target_.reactor().sleep_until(Clock::now() + duration);
  }
  pausing_ = false;
  target_.progress(*this);
}

void PingConnection::push(std::uint64_t seq, TimePoint due) {
  probes_.push_back({seq, due});
  if (under_way() == 1) { arm(); }
  work_.set();
}

bool PingConnection::has_room() {
  if (probes_.size() < PingOptions::kMostInFlight) { return true; }
  if (client_ && failure_.empty() && under_way() == 0) {
    failure_ = fmt::format("cannot ping {}: no reply to {} requests", target_.result().address,
                           probes_.size());
    work_.set();
    client_->interrupt();
  }
  return false;
}

bool PingConnection::take_or_end(const Reply& reply, TimePoint now) {
  ends_in_order_ = reply.is_last;
  take_reply(reply, now);
  if (ends_in_order_) {
    failure_ = fmt::format("{} is shutting down; connecting again", target_.result().address);
  }
  return ends_in_order_;
}

void PingConnection::take_reply(const Reply& reply, TimePoint now) {
  std::string problem;
  if (written_ > 0) { problem = target_.payload().problem_of(reply, probes_.front().seq); }
  if (written_ == 0 || !problem.empty()) {
    if (take_repeated(reply, now)) { return; }
    if (written_ == 0) {
      throw ProtocolError(fmt::format("cannot ping {}: it sent a reply that nobody asked for",
                                      target_.result().address));
    }
    const auto number = target_.payload().number_in(reply);
    if (number && skip_to(*number)) { problem.clear(); }
  }
  const Probe probe = probes_.front();
  const bool was_lost = expired_ > 0;
  probes_.pop_front();
  --written_;
  if (was_lost) { --expired_; }
  history_.add({probe.seq, probe.start, problem.empty()});
  // A reply that is read before its probe has expired counts as in time, whatever the clock says:
  // this process may have been stopped.
  if (was_lost) {
    target_.late(probe.seq, now - probe.start);
  } else {
    target_.replied(probe.seq, now - probe.start, problem);
  }
}

bool PingConnection::take_repeated(const Reply& reply, TimePoint now) {
  PingPayload& payload = target_.payload();
  const auto number = payload.number_in(reply);
  PingHistory::Probe* probe = number ? history_.find(*number) : history_.last();
  // If the params are too short for a number, only the last probe's can be compared.
  if (probe == nullptr || !payload.problem_of(reply, probe->seq).empty()) { return false; }
  if (std::exchange(probe->answered, true)) {
    target_.duplicate(probe->seq, now - probe->start);
  } else {
    target_.late(probe->seq, now - probe->start);
  }
  return true;
}

bool PingConnection::skip_to(std::uint64_t seq) {
  const auto end = probes_.begin() + static_cast<std::ptrdiff_t>(written_);
  const auto found =
      std::lower_bound(probes_.begin(), end, seq,
                       [](const Probe& probe, std::uint64_t number) { return probe.seq < number; });
  if (found == end || found->seq != seq) { return false; }
  for (auto probe = probes_.begin(); probe != found; ++probe) {
    history_.add({probe->seq, probe->start, false});
  }
  drop(static_cast<std::size_t>(found - probes_.begin()), "no reply, but a later probe has one");
  return true;
}

void PingConnection::drop(std::size_t count, std::string_view why) {
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= expired_) { target_.lost(probes_[i].seq, why); }
  }
  probes_.erase(probes_.begin(), probes_.begin() + static_cast<std::ptrdiff_t>(count));
  expired_ -= std::min(expired_, count);
  written_ -= std::min(written_, count);
  arm();
}

TimePoint PingConnection::expiry(const Probe& probe) const {
  return deadline_after(probe.start, target_.options().reply_timeout);
}

void PingConnection::arm() {
  if (under_way() == 0) {
    cancel();
  } else {
    set(expiry(probes_[expired_]));
  }
}

void PingConnection::on_timer() {
  const TimePoint now = target_.reactor().now();
  const std::size_t before = expired_;
  const std::string why = target_.options().no_reply();
  while (under_way() > 0 && expiry(probes_[expired_]) <= now) {
    target_.lost(probes_[expired_].seq, why);
    ++expired_;
  }
  arm();
  if (expired_ != before) { target_.progress(*this); }
}

}  // namespace handoff
