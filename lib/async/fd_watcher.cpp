// SPDX-License-Identifier: MIT
#include "async/fd_watcher.hpp"

#include <cassert>
#include <cerrno>
#include <utility>

#include "os/error.hpp"

namespace handoff {

void FdWatcher::unwatch() {
  if (std::exchange(watched_, Events()).none()) { return; }
  reactor_->unwatch(*this, fd_);
}

/// A registration is only ever widened: removing an event would cost a system call a wait.
int FdWatcher::watch(std::uint32_t event) {
  const std::uint32_t wanted = watched_.bits() | event;
  if (wanted == watched_.bits()) { return 0; }
  std::uint32_t events = 0;
  switch (wake_) {
    case Wake::all: events = wanted | EPOLLPRI | EPOLLRDHUP | EPOLLET; break;
    case Wake::one: events = wanted | EPOLLEXCLUSIVE | EPOLLET; break;
    case Wake::hang_up: events = EPOLLRDHUP | EPOLLET; break;
  }
  const int operation = watched_.none() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (const int error = reactor_->watch(*this, fd_, operation, events); error != 0) {
    if (error != EPERM) { return error; }
    hung_up_ = true;  // a regular file: always ready
    return 0;
  }
  watched_.add(wanted);
  return 0;
}

void FdWatcher::on_events(std::uint32_t events) {
  constexpr std::uint32_t kBroken = EPOLLERR | EPOLLHUP;
  if ((events & kBroken) != 0) { hung_up_ = true; }
  if ((events & EPOLLRDHUP) != 0) { ended_ = true; }
  if ((events & EPOLLPRI) != 0) { stops_short_ = true; }
  std::uint32_t ready = events & (EPOLLIN | EPOLLOUT);
  if ((events & EPOLLRDHUP) != 0) { ready |= EPOLLIN; }
  if ((events & kBroken) != 0) { ready |= EPOLLIN | EPOLLOUT; }
  ready_.add(ready);

  // A waiter that is posted already is resumed in this turn anyway.
  const std::uint32_t wakes = ready & ~posted_.bits();
  const bool wakes_reader = reader_ && (wakes & EPOLLIN) != 0;
  const bool wakes_writer = writer_ && (wakes & EPOLLOUT) != 0;
  // The reader may destroy the coroutine of the writer; if that is posted, its awaiter unposts it
  // then.
  if (wakes_reader && wakes_writer) { post_waiter(EPOLLOUT); }
  if (wakes_reader) {
    reader_.resume();
  } else if (wakes_writer) {
    writer_.resume();
  }
}

void FdWatcher::post_waiter(std::uint32_t event) {
  if (posted_.has(event)) { return; }
  posted_.add(event);
  reactor_->post(waiter(event));
}

void FdWatcher::interrupt() {
  for (const std::uint32_t event : {EPOLLIN, EPOLLOUT}) {
    if (!waiter(event)) { continue; }
    interrupted_.add(event);
    post_waiter(event);
  }
}

bool FdWatcher::Awaiter::await_ready() {
  // Every registration reports a hang-up, so that one for EPOLLIN will do.
  const int error = watcher_.watch(only_hang_up_ ? EPOLLIN : event_);
  if (only_hang_up_) { return false; }
  if (error != 0) { throw SystemError(error, "watch a descriptor"); }
  if (watcher_.hung_up_ || (watcher_.ended_ && event_ == EPOLLIN)) { return true; }
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
  if (!frame_) { return true; }
  leave();
  // epoll does not report an event again that came together with an interruption: the next wait
  // must find it in ready_.
  if (watcher_.interrupted_.has(event_)) { return false; }
  watcher_.ready_.remove(event_);
  return true;
}

FdWatcher::Awaiter::~Awaiter() {
  if (!frame_) { return; }
  if (watcher_.posted_.has(event_)) { watcher_.reactor_->unpost(frame_); }
  leave();
}

}  // namespace handoff
