// SPDX-License-Identifier: MIT
#include "rpc/acceptor.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// Connections that are accepted before anything else has a turn.
constexpr int kBurst = 64;

/// How long nothing is accepted when there are no descriptors or no memory for it.
constexpr auto kPause = std::chrono::milliseconds(100);

/// And how long a listener that can't be made anew is left alone.
constexpr auto kHealPause = std::chrono::milliseconds(200);

}  // namespace

Acceptor::Acceptor(Reactor& reactor, Listener listener, AcceptorOwner& owner, Report report,
                   PeerJudge judge, Judged judged, Sharing sharing)
    : reactor_(reactor),
      listener_(std::move(listener)),
      owner_(owner),
      report_trouble_(reactor, saying(report, Severity::error)),
      report_refused_(reactor, saying(std::move(report), Severity::error)),
      judge_(std::move(judge)),
      judges_(judged == Judged::everybody || listener_->is_abstract()),
      sharing_(sharing),
      changed_(reactor) {
  watch();
}

void Acceptor::watch() {
  watcher_.emplace(reactor_, listener_->fd(),
                   sharing_ == Sharing::wake_one ? FdWatcher::Wake::one : FdWatcher::Wake::all);
}

Task<void> Acceptor::accept_until_closed() {
  while (!closed_) {
    const Outcome outcome = accept_burst();
    owner_.burst_ended();
    switch (outcome) {
      case Outcome::burst: co_await reactor_.yield(); break;
      case Outcome::would_block:
        try {
          co_await watcher_->readable();
          break;
        } catch (const SystemError& error) {
          report_exhausted("wait on", error.error_number());
        }
        [[fallthrough]];
      case Outcome::exhausted:
        leave_to_others();
        co_await reactor_.sleep_until(reactor_.now() + kPause);
        break;
      case Outcome::no_room:
        leave_to_others();
        co_await changed_.wait_until([this] { return closed_ || owner_.has_room(); });
        break;
      case Outcome::shut_down:
        // Whoever passed it makes it listen again, or passes another.
        watcher_.reset();
        co_await changed_.wait(reactor_.now() + kHealPause);
        watch();
        break;
    }
  }
  running_ = false;
  release();
}

/// Nobody is woken for us any more: the next connection wakes somebody else. The last one may have
/// been ours.
void Acceptor::leave_to_others() {
  if (sharing_ == Sharing::none) return;
  watcher_->unwatch();
  owner_.leaves_to_others();
}

Task<void> Acceptor::heal_until_closed(std::function<void(bool)> healed) {
  while (!closed_) {
    watcher_.emplace(reactor_, listener_->fd(), FdWatcher::Wake::hang_up);
    co_await watcher_->readable();
    bool same_socket = true;
    if (closed_ || !listener_->is_shut_down()) continue;
    watcher_.reset();
    if (try_heal(same_socket)) {
      report_trouble_(fmt::format("listening again on {}: a worker had shut the socket down",
                                  listener_->text()));
      healed(same_socket);
    }
    // Whoever does that again and again is no faster than this.
    co_await changed_.wait(reactor_.now() + kHealPause);
  }
  running_ = false;
  release();
}

bool Acceptor::try_heal(bool& same_socket) {
  try {
    same_socket = listener_->heal();
    exhausted_ = false;
    return true;
  } catch (const SystemError& error) {
    if (!std::exchange(exhausted_, true)) {
      report_trouble_(fmt::format("{}; trying again", error.what()));
    }
    return false;
  }
}

/// As if it had become readable.
void Acceptor::look() {
  if (running_ && !closed_ && watcher_) watcher_->interrupt();
}

void Acceptor::accept_waiting() {
  if (closed_) return;
  while (accept_burst(true) == Outcome::burst) owner_.burst_ended();
  owner_.burst_ended();
}

void Acceptor::close() {
  if (std::exchange(closed_, true)) return;
  if (!running_) return release();
  if (watcher_) watcher_->interrupt();
  changed_.notify_all();
}

void Acceptor::release() {
  watcher_.reset();
  listener_.reset();
  if (sharing_ != Sharing::none) owner_.leaves_to_others();
}

Acceptor::Outcome Acceptor::accept_burst(bool room_or_not) {
  int lost = 0;
  for (int i = 0; i < kBurst; ++i) {
    if (!room_or_not && !owner_.has_room()) return Outcome::no_room;
    Accepted accepted = try_accept(listener_->fd());
    switch (accepted.outcome) {
      case Accepted::Outcome::connection:
        exhausted_ = false;
        hand_over(std::move(accepted));
        break;
      case Accepted::Outcome::try_again:
        // Each call fails, and not for want of clients: accepting again at once would be for ever.
        if (++lost == kBurst) {
          report_exhausted("accept on", accepted.error_number);
          return Outcome::exhausted;
        }
        break;
      case Accepted::Outcome::would_block:
        if (!watcher_ || !watcher_->hung_up()) return Outcome::would_block;
        [[fallthrough]];  // how a Unix socket says it
      case Accepted::Outcome::shut_down:
        if (sharing_ != Sharing::none) return Outcome::shut_down;
        throw SystemError(EINVAL, "accept on", listener_->text());
      case Accepted::Outcome::exhausted:
        report_exhausted("accept on", accepted.error_number);
        return Outcome::exhausted;
    }
  }
  return Outcome::burst;
}

/// Whether the peer may connect here; a refusal is logged.
bool Acceptor::admits(int connection) {
  if (!judges_) return true;
  const auto refused = judge_.refuse(connection);
  if (!refused) return true;
  report_refused_(fmt::format("cannot accept on {}: user {} is refused ({})", listener_->text(),
                              refused->uid, refused->remedy()));
  return false;
}

void Acceptor::hand_over(Accepted accepted) {
  try {
    if (!admits(accepted.fd.get())) return;
    owner_.accepted({.socket = std::move(accepted.fd), .peer = accepted.peer});
  } catch (const std::exception& error) {
    report_trouble_(fmt::format("cannot take a connection of {}: {}; it is closed",
                                listener_->text(), error.what()));
  }
}

/// Once for each time that it lasts.
void Acceptor::report_exhausted(std::string_view attempt, int error_number) {
  if (exhausted_) return;
  exhausted_ = true;
  report_trouble_(fmt::format("cannot {} {}: {}; trying again", attempt, listener_->text(),
                              error_text(error_number)));
}

}  // namespace handoff
