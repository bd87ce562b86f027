// SPDX-License-Identifier: MIT
#include "master/listener_guard.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

/// The pause after each attempt. A worker that shuts the listener down again and again finds it
/// shut down most of the time, and costs no more than this.
constexpr auto kHealPause = std::chrono::milliseconds(200);

}  // namespace

ListenerGuard::ListenerGuard(Reactor& reactor, Listener listener, Report report,
                             std::function<void(Healed)> healed)
    : reactor_(reactor),
      listener_(std::move(listener)),
      report_(reactor, saying(std::move(report), Severity::error)),
      healed_(std::move(healed)),
      closing_(reactor) {}

Task<void> ListenerGuard::heal_until_closed() {
  while (phase_ == Phase::guarding) {
    watcher_.emplace(reactor_, listener_->fd(), FdWatcher::Wake::hang_up);
    co_await watcher_->readable();
    if (phase_ != Phase::guarding || !listener_->is_shut_down()) { continue; }
    watcher_.reset();
    heal();
    co_await closing_.wait(reactor_.now() + kHealPause);
  }
  release();
}

void ListenerGuard::heal() {
  try {
    const bool same_socket = listener_->heal();
    has_failed_ = false;
    report_(
        fmt::format("listening again on {}: a worker had shut the socket down", listener_->text()));
    healed_(same_socket ? Healed::same_socket : Healed::another_socket);
  } catch (const SystemError& error) {
    if (!std::exchange(has_failed_, true)) {
      report_(fmt::format("{}; trying again", error.what()));
    }
  }
}

void ListenerGuard::close() {
  if (phase_ == Phase::idle) { return release(); }
  if (phase_ != Phase::guarding) { return; }
  phase_ = Phase::closing;
  if (watcher_) { watcher_->interrupt(); }
  closing_.notify_all();
}

void ListenerGuard::release() {
  phase_ = Phase::closed;
  watcher_.reset();
  listener_.reset();
}

}  // namespace handoff
