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

/// A place into which other processes or threads put something without a system call.
class PollSource {
 public:
  /// Takes what is there. Returns whether there was anything.
  virtual bool poll() = 0;
  /// The loop is about to block: until stop_blocking() a writer has to wake it. poll() is called
  /// once more before it does.
  virtual void prepare_to_block() {}
  /// The loop runs again, and looks by itself.
  virtual void stop_blocking() {}

 protected:
  ~PollSource() = default;
};

class FdWatcher;
class SleepAwaiter;

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

  /// Polls `source` in every turn of the loop, until it is removed.
  void add(PollSource& source) { sources_.push_back(&source); }
  /// Removes it; also from within the poll() of any source.
  void remove(PollSource& source);

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

  /// What Timer uses.
  TimerHeap& timers() { return timers_; }

  /// What FdWatcher uses: epoll_ctl(2) with EPOLL_CTL_ADD or EPOLL_CTL_MOD. From then on `watcher`
  /// is given the events of `fd`. Returns 0 or the errno.
  int watch(FdWatcher& watcher, int fd, int operation, std::uint32_t events);
  /// After this `watcher` is given no event any more, not even one of this turn.
  void unwatch(const FdWatcher& watcher, int fd);

 private:
  void turn();
  void do_posted();
  int wait_for_events();
  int wait_until(TimePoint when);
  bool poll_all();
  void catch_up();
  void dispatch_events(int count);
  void resume_posted();
  void root_finished(std::coroutine_handle<> frame, std::exception_ptr error) override;
  void destroy_roots();

  static constexpr int kEventsPerTurn = 256;

  Fd epoll_;
  TimePoint now_ = Clock::now();
  TimerHeap timers_;
  std::vector<PollSource*> sources_;
  std::size_t next_source_ = 0;  ///< that is polled after the one that is being polled
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
