// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "async/clock.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"
#include "async/timer_heap.hpp"
#include "os/fd.hpp"

namespace handoff {

/// A place in which other processes or threads leave something without a system call, such as a
/// ring in shared memory.
class PollSource {
 public:
  /// Takes what is there. Returns whether there was anything. Must not block.
  virtual bool poll() = 0;
  /// Called when the loop is about to block: until stop_blocking() a writer has to wake it. The
  /// loop calls poll() once more before it blocks.
  virtual void prepare_to_block() {}
  /// Called when the loop runs again and polls by itself.
  virtual void stop_blocking() {}

 protected:
  ~PollSource() = default;
};

class FdWatcher;
class SleepAwaiter;

/// The event loop of one thread. It waits with epoll(7) and resumes the coroutines whose events
/// have happened. Everything attached to it is used on its thread only.
///
/// Timers come last: events that happened before a timer was due are handled before it fires, also
/// after the process was stopped and continued. So a deadline on a wait never passes while there is
/// something to be read.
///
///     Reactor reactor;
///     reactor.spawn(serve(reactor, listener));   // runs beside main
///     reactor.run(wait_for_signal(reactor));     // returns when this has ended
class Reactor final : private RootOwner {
 public:
  /// Throws SystemError if no epoll instance can be made.
  Reactor();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Starts a task that no coroutine awaits. The first exception that leaves such a task ends
  /// run(), which throws it. A task is destroyed when it ends, or with all others when run()
  /// returns.
  void spawn(Task<void> task);

  /// Runs until `main` has ended or a spawned task has thrown, and then destroys every task that
  /// has not ended. Throws the exception of a task, or SystemError. May be called again.
  void run(Task<void> main);
  /// Does what run() does, and returns the value of `main`.
  template <typename T>
  T run_for_result(Task<T> main);

  /// Returns when the last wait ended. Cheap, and good enough for deadlines, but not for
  /// measurements.
  TimePoint now() const { return now_; }

  /// Polls `source` in every turn of the loop until it is removed, which must be before it is
  /// destroyed.
  void add(PollSource& source) { sources_.push_back(&source); }
  /// Removes `source`. The poll() of any source may call this.
  void remove(PollSource& source);

  /// Resumes `frame` soon, before the loop waits. A coroutine that is destroyed before that must be
  /// withdrawn with unpost().
  void post(std::coroutine_handle<> frame) { posted_.push_back(frame); }
  /// Resumes `frame` after everything else that is ready by then.
  void post_last(std::coroutine_handle<> frame) { yielding_.push_back(frame); }
  /// Withdraws a posted frame, which is then destroyed before its turn. Takes time proportional to
  /// the number of frames that are posted.
  void unpost(std::coroutine_handle<> frame);

  /// `co_await yield()` lets everything else that is ready run first.
  auto yield();
  /// `co_await sleep_until(when)` waits until `when`; it returns later in this turn or in the next
  /// one if that has passed.
  SleepAwaiter sleep_until(TimePoint when);

  /// The armed timers. Only Timer uses this.
  TimerHeap& timers() { return timers_; }

  /// Only FdWatcher calls these two. watch() calls epoll_ctl(2) with EPOLL_CTL_ADD or
  /// EPOLL_CTL_MOD; from then on `watcher` is given the events of `fd`. Returns 0 or the errno.
  int watch(FdWatcher& watcher, int fd, int operation, std::uint32_t events);
  /// Ends what watch() began. `watcher` is given no event any more, not even one of this turn.
  void unwatch(const FdWatcher& watcher, int fd);

 private:
  /// One turn of the loop: what is posted, one wait, its events, the timers that are due, and then
  /// what was posted meanwhile.
  void turn();
  /// Resumes what is posted, for a bounded number of rounds.
  void do_posted();
  /// Waits until something happens or the next timer is due. Returns the number of events.
  int wait_for_events();
  /// Waits for events until `when`, TimePoint::min() meaning not at all. Returns their number,
  /// which is 0 when a signal has interrupted the wait.
  int wait_until(TimePoint when);
  /// Polls all sources. Returns whether any had something, or anything is posted.
  bool poll_all();
  /// Handles all events that have happened by now(), before timers fire.
  void catch_up();
  /// Gives the events to their watchers.
  void dispatch_events(int count);
  void resume_posted();
  void root_finished(std::coroutine_handle<> frame, std::exception_ptr error) override;
  /// Destroys the spawned tasks that have not ended.
  void destroy_roots();

  static constexpr int kEventsPerTurn = 256;

  Fd epoll_;
  TimePoint now_ = Clock::now();
  TimerHeap timers_;
  std::vector<PollSource*> sources_;
  std::size_t next_source_ = 0;  ///< the source that is polled next
  std::vector<std::coroutine_handle<>> posted_;
  std::vector<std::coroutine_handle<>> resuming_;
  std::vector<std::coroutine_handle<>> yielding_;  ///< posted after all others
  std::vector<std::coroutine_handle<>> roots_;
  std::exception_ptr error_;
  bool done_ = false;  ///< the main task has ended
  std::array<epoll_event, kEventsPerTurn> events_;
  std::size_t next_event_ = 0;
  std::size_t event_count_ = 0;
  bool precise_wait_ = true;
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
      if (frame) { reactor.unpost(frame); }
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
  // The result is a local variable, and run() destroys the task before it returns.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  run([](Task<T> task, std::optional<T>& out) -> Task<void> {
    out.emplace(co_await std::move(task));
  }(std::move(main), result));
  return std::move(*result);
}

}  // namespace handoff
