// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

#include "async/task.hpp"
#include "os/fd.hpp"

namespace handoff {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// Later than any deadline: wait without one.
inline constexpr TimePoint kNever = TimePoint::max();

/// `now + duration`, or kNever when the duration is 0 or less ("no deadline").
TimePoint deadline_after(TimePoint now, Duration duration);

/// Something that other processes or threads put something into without a system call.
class Poller {
 public:
  /// Takes what there is. Whether there was anything.
  virtual bool poll() = 0;
  /// The loop is about to wait: from now on whoever puts something in wakes it. Or no longer.
  virtual void set_waiting(bool waiting) = 0;

 protected:
  ~Poller() = default;
};

class Readiness;
class SleepAwaiter;
class Timer;

/// One thread's event loop: waits with epoll(7), and resumes the coroutine that waited for what
/// happened. Everything attached to it is used on its thread only.
///
/// Timers come last: what has happened by the time that a timer is due is handled before it fires,
/// also after the process was stopped and continued. So a deadline on a wait never passes while
/// there is something to be read.
class Reactor final : private RootOwner {
 public:
  Reactor();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Starts a task that nobody awaits. An exception that leaves it is thrown from `run`. It is
  /// destroyed when it ends, or with all others when `run` returns.
  void spawn(Task<void> task);

  /// Runs until `main` has ended, then destroys every spawned task that has not.
  void run(Task<void> main);
  template <typename T>
  T run_for_result(Task<T> main);

  /// When the last wait ended. Cheap; good enough for deadlines, not for measurements.
  TimePoint now() const { return now_; }

  /// Looks at it in every turn of the loop, until it is removed.
  void add(Poller& poller) { pollers_.push_back(&poller); }
  void remove(Poller& poller) { std::erase(pollers_, &poller); }

  /// Resumes `frame` soon, before the loop waits.
  void post(std::coroutine_handle<> frame) { posted_.push_back(frame); }
  /// Resumes `frame` after everything else that is ready by then.
  void post_last(std::coroutine_handle<> frame) { yielding_.push_back(frame); }
  /// Takes a posted frame back, when it is destroyed before its turn.
  void unpost(std::coroutine_handle<> frame);

  /// Lets everything else that is ready run first.
  auto yield();
  /// Waits until `when`.
  SleepAwaiter sleep_until(TimePoint when);

 private:
  friend class Readiness;
  friend class Timer;
  struct TimerEntry {
    TimePoint armed;
    Timer* timer;
  };

  void turn();
  void do_posted();
  int wait_for_events();
  int wait_until(TimePoint when);
  bool poll_all();
  bool is_timer_due() const;
  void catch_up();
  void dispatch_events(int count);
  void dispatch(const epoll_event& event);
  void fire_timers();
  void resume_posted();
  void root_finished(std::coroutine_handle<> frame, std::exception_ptr error) override;
  void destroy_roots();

  // The timers are a binary heap; each knows its place.
  void place_timer(std::size_t index, TimerEntry entry);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);
  void remove_timer(std::size_t index);

  static constexpr int kEventsPerTurn = 256;

  Fd epoll_;
  TimePoint now_ = Clock::now();
  std::vector<TimerEntry> timers_;
  std::vector<Poller*> pollers_;
  std::vector<std::coroutine_handle<>> posted_;
  std::vector<std::coroutine_handle<>> resuming_;
  std::vector<std::coroutine_handle<>> yielding_;  ///< posted once the others had a turn
  std::vector<std::coroutine_handle<>> roots_;
  std::exception_ptr error_;
  bool done_ = false;  ///< the main task has ended
  std::array<epoll_event, kEventsPerTurn> events_;
  std::size_t next_event_ = 0;
  std::size_t event_count_ = 0;
  bool precise_wait_ = true;
};

/// Calls on_timer() at a time. Moving the time later costs nothing: the loop finds out when the
/// earlier time comes. Destroying it cancels it.
class Timer {
 public:
  explicit Timer(Reactor& reactor) : reactor_(reactor) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// kNever cancels.
  void set(TimePoint due);
  void cancel();

 protected:
  ~Timer() { cancel(); }
  /// When it fires; kNever if it is not set.
  TimePoint due() const { return index_ == kNotArmed ? kNever : due_; }
  virtual void on_timer() = 0;

 private:
  friend class Reactor;
  static constexpr std::uint32_t kNotArmed = ~std::uint32_t{0};

  Reactor& reactor_;
  TimePoint due_{};
  std::uint32_t index_ = kNotArmed;
};

/// A descriptor that coroutines wait for: at most one for reading and one for writing. It does
/// not own the descriptor, and must be destroyed before that is closed: a copy in another process
/// would keep the registration alive.
///
/// It registers with epoll at the first wait, edge-triggered: wait only after an attempt has said
/// "would block", or has given less than was asked for and stops_short() is false. What epoll
/// refuses (regular files) is always ready. When epoll can't take it (ENOSPC, ENOMEM), a wait
/// throws SystemError, and one for hang_up() ends by interrupt() only.
class Readiness {
 public:
  /// Which of the processes that share an open file is woken.
  enum class Wake : std::uint8_t {
    all,
    one,     ///< one of those that ask so (EPOLLEXCLUSIVE), and only readable() is awaited
    hang_up  ///< this one when it hangs up, and never because it is readable
  };

  Readiness(Reactor& reactor, int fd, Wake wake = Wake::all)
      : reactor_(&reactor), fd_(fd), wake_(wake) {}
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;
  ~Readiness() { unwatch(); }

  Reactor& reactor() const { return *reactor_; }
  int fd() const { return fd_; }

  class Awaiter {
   public:
    Awaiter(Readiness& readiness, std::uint32_t event)
        : readiness_(readiness),
          event_(event == EPOLLHUP ? EPOLLOUT : event),
          only_hang_up_(event == EPOLLHUP) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter();
    bool await_ready();
    void await_suspend(std::coroutine_handle<> frame);
    /// False when interrupt() ended the wait.
    bool await_resume();

   private:
    void leave();

    Readiness& readiness_;
    std::uint32_t event_;  ///< whose waiter the coroutine is: EPOLLIN or EPOLLOUT
    bool only_hang_up_;
    std::coroutine_handle<> frame_;
  };
  /// `co_await readable()`: true, or false when the wait was interrupted.
  Awaiter readable() { return {*this, EPOLLIN}; }
  Awaiter writable() { return {*this, EPOLLOUT}; }
  /// Waits for what changes hung_up(), or for interrupt(), and may also end without either: look at
  /// hung_up() before and after. It takes the place of writable().
  Awaiter hang_up() { return {*this, EPOLLHUP}; }

  /// Whether it was seen to have hung up, so that no wait is one any more.
  bool hung_up() const { return hung_up_; }

  /// Whether urgent data was seen to arrive. A read stops in front of that and after it, so that
  /// one that gave less than was asked for has not emptied the socket.
  bool stops_short() const { return stops_short_; }

  /// Ends the waits under way, which give false; without one nothing happens.
  void interrupt();
  /// Nobody waits any more, and the descriptor goes elsewhere.
  void unwatch();

 private:
  friend class Reactor;
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

/// A flag that one coroutine waits for.
class Event {
 public:
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Sets the flag, and lets the waiting coroutine go on in the next turn.
  void set() {
    set_ = true;
    if (waiter_) {
      posted_ = true;
      reactor_.post(std::exchange(waiter_, nullptr));
    }
  }
  void clear() { set_ = false; }
  bool is_set() const { return set_; }

  /// `co_await event`: waits until it is set. It stays set.
  auto operator co_await() {
    struct Awaiter {
      Event& event;
      std::coroutine_handle<> frame;
      bool await_ready() const { return event.set_; }
      void await_suspend(std::coroutine_handle<> awaiting) { frame = event.waiter_ = awaiting; }
      void await_resume() {
        event.posted_ = false;
        frame = nullptr;
      }
      ~Awaiter() {
        if (!frame) return;
        if (event.posted_) event.reactor_.unpost(frame);
        event.waiter_ = nullptr;
        event.posted_ = false;
      }
    };
    return Awaiter{*this, nullptr};
  }

 private:
  Reactor& reactor_;
  std::coroutine_handle<> waiter_;
  bool set_ = false;
  bool posted_ = false;
};

/// Sets an event at a time. Destroying it calls that off.
class Alarm final : private Timer {
 public:
  Alarm(Reactor& reactor, Event& event, TimePoint when) : Timer(reactor), event_(event) {
    set(when);
  }

 private:
  void on_timer() override { event_.set(); }

  Event& event_;
};

inline auto Reactor::yield() {
  struct Awaiter {
    Reactor& reactor;
    std::coroutine_handle<> frame;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      frame = awaiting;
      reactor.post_last(frame);
    }
    void await_resume() { frame = nullptr; }
    ~Awaiter() {
      if (frame) reactor.unpost(frame);
    }
  };
  return Awaiter{*this, nullptr};
}

/// What `co_await sleep_until(when)` waits with.
class SleepAwaiter final : private Timer {
 public:
  SleepAwaiter(Reactor& reactor, TimePoint when) : Timer(reactor), when_(when) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    frame_ = frame;
    set(when_);
  }
  void await_resume() const {}

 private:
  void on_timer() override { frame_.resume(); }

  TimePoint when_;
  std::coroutine_handle<> frame_;
};

inline SleepAwaiter Reactor::sleep_until(TimePoint when) {
  return {*this, when};
}

template <typename T>
T Reactor::run_for_result(Task<T> main) {
  std::optional<T> result;
  run([](Task<T> task, std::optional<T>& out) -> Task<void> {
    out.emplace(co_await std::move(task));
  }(std::move(main), result));
  return std::move(*result);
}

}  // namespace handoff
