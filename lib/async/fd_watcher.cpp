// SPDX-License-Identifier: MIT
#include "async/fd_watcher.hpp"

#include <cassert>
#include <cerrno>
#include <utility>

#include "os/error.hpp"

namespace handoff {

void FdWatcher::unwatch() {
  if (std::exchange(watched_, Events()).none()) return;
  epoll_ctl(reactor_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  for (std::size_t i = reactor_->next_event_; i < reactor_->event_count_; ++i) {
    if (reactor_->events_[i].data.ptr == this) reactor_->events_[i].data.ptr = nullptr;
  }
}

/// Returns 0, or the errno of an epoll that can't take it.
int FdWatcher::watch(std::uint32_t event) {
  const std::uint32_t wanted = watched_.bits() | event;
  if (wanted == watched_.bits()) return 0;
  epoll_event registration{};
  switch (wake_) {
    case Wake::all: registration.events = wanted | EPOLLPRI | EPOLLRDHUP | EPOLLET; break;
    case Wake::one: registration.events = wanted | EPOLLEXCLUSIVE | EPOLLET; break;
    case Wake::hang_up: registration.events = EPOLLRDHUP | EPOLLET; break;
  }
  registration.data.ptr = this;
  const int operation = watched_.none() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(reactor_->epoll_.get(), operation, fd_, &registration) < 0) {
    if (errno != EPERM) return errno;
    hung_up_ = true;  // a regular file: always ready
    return 0;
  }
  watched_.add(wanted);
  return 0;
}

void FdWatcher::post_waiter(std::uint32_t event) {
  if (posted_.has(event)) return;
  posted_.add(event);
  reactor_->post(waiter(event));
}

void FdWatcher::interrupt() {
  for (const std::uint32_t event : {EPOLLIN, EPOLLOUT}) {
    if (!waiter(event)) continue;
    interrupted_.add(event);
    post_waiter(event);
  }
}

bool FdWatcher::Awaiter::await_ready() {
  // Every registration reports a hang-up.
  const int error = watcher_.watch(only_hang_up_ ? EPOLLIN : event_);
  if (only_hang_up_) return false;
  if (error != 0) throw SystemError(error, "epoll_ctl");
  if (watcher_.hung_up_ || (watcher_.ended_ && event_ == EPOLLIN)) return true;
  const bool ready = watcher_.ready_.has(event_);
  watcher_.ready_.remove(event_);
  return ready;
}

void FdWatcher::Awaiter::await_suspend(std::coroutine_handle<> frame) {
  assert(!watcher_.waiter(event_));
  watcher_.interrupted_.remove(event_);
  frame_ = watcher_.waiter(event_) = frame;
}

void FdWatcher::Awaiter::leave() {
  watcher_.posted_.remove(event_);
  watcher_.waiter(event_) = nullptr;
  frame_ = nullptr;
}

bool FdWatcher::Awaiter::await_resume() {
  if (!frame_) return true;
  leave();
  // What happened besides an interruption is not reported again: the next wait must find it.
  if (watcher_.interrupted_.has(event_)) return false;
  watcher_.ready_.remove(event_);
  return true;
}

FdWatcher::Awaiter::~Awaiter() {
  if (!frame_) return;
  if (watcher_.posted_.has(event_)) watcher_.reactor_->unpost(frame_);
  leave();
}

}  // namespace handoff
