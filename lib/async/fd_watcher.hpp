// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <coroutine>
#include <cstdint>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

namespace handoff {

/// A descriptor that coroutines wait for: at most one for reading and one for writing. It does
/// not own the descriptor, and must be destroyed before that is closed: a copy in another process
/// would keep the registration alive.
///
/// It registers with epoll(7) at the first wait, edge-triggered: wait only after an attempt has
/// said "would block", or has given less than was asked for and stops_short() is false. A
/// descriptor that epoll refuses (a regular file) is always ready. When epoll can't take it
/// (ENOSPC, ENOMEM), a wait throws SystemError, and one for hang_up() ends by interrupt() only.
class FdWatcher {
 public:
  /// Says which of the processes that share an open file the kernel wakes when it is ready.
  enum class Wake : std::uint8_t {
    all,     ///< every process that waits
    one,     ///< one of those that ask so (EPOLLEXCLUSIVE), and only readable() is awaited
    hang_up  ///< this one when it hangs up, and never because it is readable
  };

  /// `fd` stays the caller's. The reactor must outlive the watcher.
  FdWatcher(Reactor& reactor, int fd, Wake wake = Wake::all)
      : reactor_(&reactor), fd_(fd), wake_(wake) {}
  FdWatcher(const FdWatcher&) = delete;
  FdWatcher& operator=(const FdWatcher&) = delete;
  ~FdWatcher() { unwatch(); }

  Reactor& reactor() const { return *reactor_; }
  int fd() const { return fd_; }

  /// `co_await watcher.readable()` makes it. Destroying it, with the coroutine that waits, ends the
  /// wait.
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
    /// Returns false when interrupt() ended the wait.
    bool await_resume();

   private:
    void leave();

    FdWatcher& watcher_;
    std::uint32_t event_;  ///< whose waiter the coroutine is: EPOLLIN or EPOLLOUT
    bool only_hang_up_;
    std::coroutine_handle<> frame_;
  };
  /// `co_await readable()` waits until there may be something to read, or the peer has ended its
  /// side; writable() until there may be room to write. Both give true, or false when interrupt()
  /// ended the wait.
  Awaiter readable() { return {*this, EPOLLIN}; }
  Awaiter writable() { return {*this, EPOLLOUT}; }
  /// Waits for what changes hung_up(), or for interrupt(), and may also end without either: look at
  /// hung_up() before and after. It takes the place of writable().
  Awaiter hang_up() { return {*this, EPOLLHUP}; }

  /// Returns whether epoll has reported a hang-up: every wait then ends at once.
  bool hung_up() const { return hung_up_; }

  /// Returns whether epoll has reported urgent data. A read stops before it and after it, so a read
  /// that gives less than was asked for has not emptied the socket.
  bool stops_short() const { return stops_short_; }

  /// Ends the waits under way, which give false; without one nothing happens.
  void interrupt();
  /// Stops watching the descriptor, for which no coroutine may wait: its owner passes it on. The
  /// watcher registers again at the next wait.
  void unwatch();

  /// The reactor gives this the events that epoll has reported. It may resume a coroutine, and so
  /// destroy the watcher.
  void on_events(std::uint32_t events);

 private:
  int watch(std::uint32_t event);
  void post_waiter(std::uint32_t event);
  std::coroutine_handle<>& waiter(std::uint32_t event) {
    return event == EPOLLIN ? reader_ : writer_;
  }

  /// Some of EPOLLIN and EPOLLOUT. There are as many of these as connections: no more than a byte.
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
  Events watched_;      ///< what epoll was asked for
  Events ready_;        ///< what happened and nobody has waited for since
  Events interrupted_;  ///< which waits interrupt() has ended
  Events posted_;       ///< which waiters are posted, and must be taken back if destroyed
  bool hung_up_ = false;
  Wake wake_;
  bool ended_ = false;  ///< the peer has ended its side; ours may still be full
  bool stops_short_ = false;
  std::coroutine_handle<> reader_;
  std::coroutine_handle<> writer_;
};

/// Interrupts the waits for a descriptor when a deadline passes. Destroying it before calls that
/// off. It is the deadline of anything that awaits readable() or writable().
class WaitTimeout final : private Timer {
 public:
  /// The watcher must outlive this object. kNever interrupts never.
  WaitTimeout(FdWatcher& watcher, TimePoint when) : Timer(watcher.reactor()), watcher_(watcher) {
    set(when);
  }
  /// Returns whether the deadline has passed.
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
