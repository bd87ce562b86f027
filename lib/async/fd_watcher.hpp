// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <coroutine>
#include <cstdint>

#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// Lets coroutines wait until a descriptor is ready: at most one for reading and one for writing. A
/// watcher does not own the descriptor, and must be destroyed before that is closed: a copy in
/// another process would keep the registration alive (epoll(7), Q6). The reactor must outlive it.
///
/// It registers with epoll at the first wait, edge-triggered. So wait only after an attempt has
/// reported "would block", or has transferred less than it was asked for while stops_short() is
/// false. What epoll refuses (regular files) is always ready. If epoll has no room (ENOSPC,
/// ENOMEM), a wait throws SystemError, and a wait for hang_up() ends only by interrupt().
///
///     for (;;) {
///       const ssize_t size = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
///       if (size >= 0 || errno != EAGAIN) { break; }
///       if (!co_await watcher.readable()) { break; }   // interrupted
///     }
class FdWatcher {
 public:
  /// Says which of the processes that share an open file wake up.
  enum class Wake : std::uint8_t {
    all,
    one,     ///< one of those that ask for this (EPOLLEXCLUSIVE); only readable() may be awaited
    hang_up  ///< this one, when the descriptor hangs up and never because it is readable
  };

  FdWatcher(Reactor& reactor, int fd, Wake wake = Wake::all)
      : reactor_(&reactor), fd_(fd), wake_(wake) {}
  FdWatcher(const FdWatcher&) = delete;
  FdWatcher& operator=(const FdWatcher&) = delete;
  ~FdWatcher() { unwatch(); }

  Reactor& reactor() const { return *reactor_; }
  int fd() const { return fd_; }

  /// What a wait waits with. The watcher must outlive it.
  class Awaiter {
   public:
    Awaiter(FdWatcher& watcher, std::uint32_t event)
        : watcher_(watcher),
          event_(event == EPOLLHUP ? EPOLLOUT : event),
          only_hang_up_(event == EPOLLHUP) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter();
    bool await_ready();
    void await_suspend(std::coroutine_handle<> frame);
    /// Returns false if interrupt() has ended the wait.
    bool await_resume();

   private:
    void leave();

    FdWatcher& watcher_;
    std::uint32_t event_;  ///< the waiter's event: EPOLLIN or EPOLLOUT
    bool only_hang_up_;
    std::coroutine_handle<> frame_;
  };
  /// `co_await readable()` waits until a read is worth an attempt: for data, the end of the stream,
  /// or an error. It returns true, or false if interrupt() has ended the wait.
  Awaiter readable() { return {*this, EPOLLIN}; }
  /// `co_await writable()` waits until a write is worth an attempt. The result is that of
  /// readable().
  Awaiter writable() { return {*this, EPOLLOUT}; }
  /// Waits for a change of hung_up() or for interrupt(), and may also end without either: check
  /// hung_up() before and after. It takes the place of writable(), which cannot be awaited at the
  /// same time.
  Awaiter hang_up() { return {*this, EPOLLHUP}; }

  /// Returns whether epoll has reported a hang-up or an error; every wait ends at once then.
  bool hung_up() const { return hung_up_; }

  /// Returns whether epoll has reported urgent data (tcp(7), sockatmark(3)). A read stops before it
  /// and after it, so a read that returns less than it was asked for has not emptied the socket.
  bool stops_short() const { return stops_short_; }

  /// Ends the waits under way, which return false. Without a wait nothing happens: the next one is
  /// not affected.
  void interrupt();
  /// Removes the descriptor from epoll, for an owner that passes it on. No coroutine may wait for
  /// it.
  void unwatch();

  /// Called by the reactor with the events that epoll has reported. It may resume a coroutine,
  /// which may destroy the watcher.
  void on_events(std::uint32_t events);

 private:
  /// Registers for `event` too. Returns 0, or the errno if epoll has no room.
  int watch(std::uint32_t event);
  /// Posts the coroutine that waits for `event`, unless it is posted already.
  void post_waiter(std::uint32_t event);
  std::coroutine_handle<>& waiter(std::uint32_t event) {
    return event == EPOLLIN ? reader_ : writer_;
  }

  /// A set of EPOLLIN and EPOLLOUT in one byte, because each connection has several.
  class Events {
   public:
    bool has(std::uint32_t event) const { return (bits_ & event) != 0; }
    bool none() const { return bits_ == 0; }
    std::uint32_t bits() const { return bits_; }
    void add(std::uint32_t events) { bits_ = static_cast<std::uint8_t>(bits_ | events); }
    void remove(std::uint32_t events) { bits_ = static_cast<std::uint8_t>(bits_ & ~events); }

   private:
    static_assert((EPOLLIN | EPOLLOUT) <= 0xFF);
    std::uint8_t bits_ = 0;
  };

  Reactor* reactor_;
  int fd_;
  Events watched_;      ///< the events that the watcher is registered for
  Events ready_;        ///< the events that were reported since a wait last consumed them
  Events interrupted_;  ///< the waits that interrupt() has ended
  Events posted_;  ///< the waiters that are posted; they must be unposted if they are destroyed
  bool hung_up_ = false;
  Wake wake_;
  bool ended_ = false;  ///< the peer has ended its side; ours may still be full
  bool stops_short_ = false;
  std::coroutine_handle<> reader_;
  std::coroutine_handle<> writer_;
};

/// Interrupts the waits of a watcher at a given time; kNever is no time. Destroying this object
/// cancels that. The watcher must outlive it.
class WaitTimeout final : private Timer {
 public:
  WaitTimeout(FdWatcher& watcher, TimePoint when) : Timer(watcher.reactor()), watcher_(watcher) {
    set(when);
  }
  /// Returns whether the time has come.
  bool passed() const { return passed_; }

 private:
  void on_timer() override {
    passed_ = true;
    watcher_.interrupt();
  }

  FdWatcher& watcher_;
  bool passed_ = false;
};

}  // namespace handoff
