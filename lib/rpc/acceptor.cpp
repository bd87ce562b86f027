// SPDX-License-Identifier: MIT
#include "rpc/acceptor.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <chrono>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"

namespace handoff {
namespace {

/// The most connections that are accepted before other tasks get a turn.
constexpr int kBurst = 64;

/// The number of rounds after its first one in which a burst asks poll(2) whether another client is
/// waiting before it calls accept4(2). An accept4(2) that finds no client costs as much as eight
/// such questions, because the kernel makes a socket first. A longer burst has only one such
/// failure for many accepted clients, so that asking no longer pays.
constexpr int kQuestions = 4;

/// The pause after an accept that failed for want of descriptors or memory.
constexpr auto kPause = std::chrono::milliseconds(100);

/// The time that the master gets to make a listener that was shut down listen again.
constexpr auto kHealPause = std::chrono::milliseconds(200);

/// Returns whether accept(2) would not block: a client is waiting, or the listener was shut down.
bool has_some(int listener) {
  pollfd poll_fd{listener, POLLIN, 0};
  return poll(&poll_fd, 1, 0) != 0;
}

}  // namespace

Acceptor::Acceptor(Reactor& reactor, Listener listener, AcceptorOwner owner, Report report,
                   PeerJudge judge, Judged judged, Sharing sharing)
    : reactor_(reactor),
      listener_(std::move(listener)),
      owner_(std::move(owner)),
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
  while (phase_ == Phase::accepting) {
    const Outcome outcome = accept_burst(Room::needed);
    end_burst();
    switch (outcome) {
      case Outcome::burst: co_await reactor_.yield(); break;
      case Outcome::would_block:
        try {
          co_await watcher_->readable();
          break;
        } catch (const SystemError& error) { report_exhausted("wait on", error.error_number()); }
        [[fallthrough]];
      case Outcome::exhausted:
        leave_to_others();
        co_await reactor_.sleep_until(reactor_.now() + kPause);
        break;
      case Outcome::no_room:
        leave_to_others();
        co_await changed_.wait_until([this] { return phase_ != Phase::accepting || has_room(); });
        break;
      case Outcome::shut_down:
        // The master that has passed the listener makes it listen again, or passes another one.
        watcher_.reset();
        co_await changed_.wait(reactor_.now() + kHealPause);
        watch();
        break;
    }
  }
  release();
}

void Acceptor::end_burst() const {
  if (owner_.burst_ended) { owner_.burst_ended(); }
}

/// Lets the other processes accept: the next connection does not wake this process, and one of the
/// others looks now whether a client is waiting that has woken this one.
void Acceptor::leave_to_others() {
  if (sharing_ == Sharing::none) { return; }
  watcher_->unwatch();
  if (owner_.leaves_to_others) { owner_.leaves_to_others(); }
}

/// Runs the accept loop although epoll(7) has reported nothing.
void Acceptor::accept_now() {
  if (phase_ == Phase::accepting && watcher_) { watcher_->interrupt(); }
}

void Acceptor::accept_waiting() {
  if (phase_ != Phase::accepting) { return; }
  while (accept_burst(Room::ignored) == Outcome::burst) { end_burst(); }
  end_burst();
}

void Acceptor::close() {
  if (phase_ == Phase::idle) { return release(); }
  if (phase_ != Phase::accepting) { return; }
  phase_ = Phase::closing;
  if (watcher_) { watcher_->interrupt(); }
  changed_.notify_all();
}

void Acceptor::release() {
  phase_ = Phase::closed;
  watcher_.reset();
  listener_.reset();
  if (sharing_ != Sharing::none && owner_.leaves_to_others) { owner_.leaves_to_others(); }
}

Acceptor::Outcome Acceptor::accept_burst(Room room) {
  int lost = 0;
  for (int i = 0; i < kBurst; ++i) {
    if (room == Room::needed && !has_room()) { return Outcome::no_room; }
    const bool asks = i > 0 && i <= kQuestions;
    if (asks && !has_some(listener_->fd())) { return Outcome::would_block; }
    Accepted accepted = try_accept(listener_->fd());
    switch (accepted.outcome) {
      case Accepted::Outcome::connection:
        exhausted_ = false;
        hand_over(std::move(accepted));
        break;
      case Accepted::Outcome::try_again:
        // Every call has failed, although clients may be waiting: trying on without a pause could
        // go on for ever.
        if (++lost == kBurst) {
          report_exhausted("accept on", accepted.error_number);
          return Outcome::exhausted;
        }
        break;
      case Accepted::Outcome::would_block:
        if (!watcher_ || !watcher_->hung_up()) { return Outcome::would_block; }
        [[fallthrough]];  // a Unix socket says so by a hang-up
      case Accepted::Outcome::shut_down:
        if (sharing_ != Sharing::none) { return Outcome::shut_down; }
        throw SystemError(EINVAL, "accept on", listener_->text());
      case Accepted::Outcome::exhausted:
        report_exhausted("accept on", accepted.error_number);
        return Outcome::exhausted;
    }
  }
  return Outcome::burst;
}

/// Returns whether the peer may connect to this listener. Logs a refusal.
bool Acceptor::admits(int connection) {
  if (!judges_) { return true; }
  const auto refused = judge_.refuse(connection);
  if (!refused) { return true; }
  report_refused_(fmt::format("cannot accept on {}: user {} is refused ({})", listener_->text(),
                              refused->uid, refused->remedy()));
  return false;
}

void Acceptor::hand_over(Accepted accepted) {
  try {
    if (!admits(accepted.fd.get())) { return; }
    owner_.accepted({.socket = std::move(accepted.fd), .peer = accepted.peer});
  } catch (const std::exception& error) {
    report_trouble_(fmt::format("cannot take a connection of {}: {}; it is closed",
                                listener_->text(), error.what()));
  }
}

/// Reports only the first of a run of failures.
void Acceptor::report_exhausted(std::string_view attempt, int error_number) {
  if (exhausted_) { return; }
  exhausted_ = true;
  report_trouble_(fmt::format("cannot {} {}: {}; trying again", attempt, listener_->text(),
                              error_text(error_number)));
}

}  // namespace handoff
