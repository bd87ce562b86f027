// SPDX-License-Identifier: MIT
#include "cluster/acceptor.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

/// Connections that are accepted before anything else has a turn.
constexpr int kBurst = 64;

/// How long nothing is accepted when there are no descriptors or no memory for it.
constexpr auto kPause = std::chrono::milliseconds(100);

}  // namespace

Acceptor::Acceptor(Reactor& reactor, Listener listener, AcceptorOwner& owner, Report report,
                   std::vector<uid_t> allowed)
    : reactor_(reactor),
      listener_(std::move(listener)),
      owner_(owner),
      report_(std::move(report)),
      allowed_(std::move(allowed)),
      room_(reactor) {
  readiness_.emplace(reactor, listener_->fd());
}

Task<void> Acceptor::run() {
  running_ = true;
  while (!closed_) {
    const Outcome outcome = accept_burst();
    owner_.burst_ended();
    switch (outcome) {
      case Outcome::burst: co_await reactor_.yield(); break;
      case Outcome::would_block: co_await readiness_->readable(); break;
      case Outcome::exhausted: co_await reactor_.sleep_until(reactor_.now() + kPause); break;
      case Outcome::no_room:
        room_.clear();
        co_await room_;
        break;
    }
  }
  running_ = false;
  release();
}

void Acceptor::accept_waiting() {
  while (accept_burst(true) == Outcome::burst) owner_.burst_ended();
  owner_.burst_ended();
}

void Acceptor::close() {
  if (std::exchange(closed_, true)) return;
  if (!running_) return release();
  readiness_->interrupt();
  room_.set();
}

void Acceptor::release() {
  readiness_.reset();
  listener_.reset();
}

Acceptor::Outcome Acceptor::accept_burst(bool room_or_not) {
  for (int i = 0; i < kBurst; ++i) {
    if (!room_or_not && !owner_.has_room()) return Outcome::no_room;
    Accepted accepted = try_accept(listener_->fd());
    switch (accepted.outcome) {
      case Accepted::Outcome::connection:
        exhausted_ = false;
        if (listener_->is_abstract() && !is_allowed_peer(accepted.fd.get(), allowed_)) continue;
        owner_.accepted(std::move(accepted.fd), accepted.peer);
        break;
      case Accepted::Outcome::try_again: break;
      case Accepted::Outcome::would_block: return Outcome::would_block;
      case Accepted::Outcome::exhausted:
        report_exhausted(accepted.error_number);
        return Outcome::exhausted;
    }
  }
  return Outcome::burst;
}

/// Once for each time that it lasts.
void Acceptor::report_exhausted(int error_number) {
  if (exhausted_) return;
  exhausted_ = true;
  report_(Severity::error, fmt::format("accept, on {}: {}; trying again", listener_->text(),
                                       error_text(error_number)));
}

}  // namespace handoff
