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

#include <handoff/async/clock.hpp>
#include <handoff/async/task.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/async/timer_heap.hpp>
#include <handoff/os/fd.hpp>

namespace handoff {

/// A place, such as shared memory, into which other processes or threads put work without a system
/// call. The reactor calls it on its own thread.
class PollSource {
 public:
  /// Takes the work that is there, without blocking. Returns whether there was any.
  virtual bool poll() = 0;
  /// Is told that the loop is about to block: until stop_blocking() a writer has to wake it,
  /// through a descriptor that it watches. poll() is called once more before it does.
  virtual void prepare_to_block() {}
  /// Is told that the loop runs again, and polls by itself.
  virtual void stop_blocking() {}

 protected:
  ~PollSource() = default;
};

class FdWatcher;
class SleepAwaiter;

/// One thread's event loop: it waits with epoll(7), and resumes the coroutine that waited for what
/// has happened. All that is attached to a reactor is used on the reactor's thread only; a program
/// may have one for each thread, and Mailbox leads from one to another.
///
/// Either run() is the program's loop, or the reactor works inside another loop, which waits until
/// fd() is readable, for no longer than timeout(), and then calls run_once():
///
///     for (;;) {
///       pollfd ready{reactor.fd(), POLLIN, 0};
///       poll(&ready, 1, reactor.timeout());
///       reactor.run_once();
///     }
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
  /// Throws SystemError when there is no descriptor left for the epoll instance.
  Reactor();
  /// Destroys every spawned task. What is attached to the reactor must be destroyed before it.
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Takes over a task that no coroutine awaits, and starts it in the next turn. It is destroyed
  /// when it ends, with all others when run() returns, or with the reactor. An exception that
  /// leaves the task is thrown from run() or run_once().
  void spawn(Task<void> task);

  /// Runs the loop, blocking, until `main` has ended; then destroys every spawned task that has
  /// not. Throws what leaves `main` or a spawned task, once all tasks are destroyed. The reactor
  /// can run again afterwards.
  void run(Task<void> main);
  /// Does the same, and returns what `main` gives.
  template <typename T>
  T run_for_result(Task<T> main);

  /// The descriptor that is readable when a descriptor that the reactor watches is ready. It stays
  /// the reactor's, and is the same for as long as the reactor lives: it is for poll(2), epoll(7)
  /// and the like, level-triggered.
  int fd() const { return epoll_.get(); }
  /// Returns for how many milliseconds the loop around may wait for fd(), as poll(2) takes it: 0
  /// when run_once() has something to do now, else the time until the next timer, rounded up, or -1
  /// when none is set. Ask anew before each wait: whatever is spawned, posted or set changes it.
  int timeout() const;
  /// Runs one turn of the loop: all that is ready, and the timers that are due. It never blocks.
  /// Throws what leaves a spawned task; the other tasks go on at the next call. It may not be
  /// called while run() or run_once() is under way.
  void run_once();

  /// Returns when the last wait ended. It is cheap; good enough for deadlines, not for
  /// measurements. In a loop around run_once(), Clock::now() is later.
  TimePoint now() const { return now_; }

  /// Polls `source` in every turn of the loop, until it is removed. The source stays the caller's.
  void add(PollSource& source);
  /// Removes a source; also from within the poll() of any source.
  void remove(PollSource& source);

  /// Resumes `frame` soon, before the loop waits. A coroutine that is destroyed before that must be
  /// withdrawn with unpost().
  void post(std::coroutine_handle<> frame) { posted_.push_back(frame); }
  /// Resumes `frame` after everything else that is ready by then.
  void post_last(std::coroutine_handle<> frame) { yielding_.push_back(frame); }
  /// Withdraws a posted frame, which is then destroyed before its turn. Takes time proportional to
  /// the number of frames that are posted.
  void unpost(std::coroutine_handle<> frame);

  /// `co_await yield()` lets everything else that is ready run first. A long computation awaits it
  /// now and then.
  auto yield();
  /// `co_await sleep_until(when)` waits until `when`; with kNever until the task is destroyed.
  SleepAwaiter sleep_until(TimePoint when);

  /// The timers that Timer sets.
  TimerHeap& timers() { return timers_; }

  /// Registers for FdWatcher: epoll_ctl(2) with EPOLL_CTL_ADD or EPOLL_CTL_MOD. From then on
  /// `watcher` is given the events of `fd`. Returns 0 or the errno.
  int watch(FdWatcher& watcher, int fd, int operation, std::uint32_t events);
  /// Ends the registration: `watcher` is given no event any more, not even one of this turn.
  void unwatch(const FdWatcher& watcher, int fd);

 private:
  /// One turn of the loop: what is posted, one wait, its events, the timers that are due, and then
  /// what was posted meanwhile.
  void turn();
  void handle(int count);
  void prepare_sources();
  void release_sources();
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
  std::size_t next_source_ = 0;    ///< that is polled after the one that is being polled
  bool sources_prepared_ = false;  ///< for the wait that follows run_once()
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

/// The awaiter of `co_await sleep_until(when)`. Destroying it, with the coroutine that waits, ends
/// the wait.
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
