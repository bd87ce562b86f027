// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"

namespace handoff {

class RaceBase;

/// Ends tasks that run in a race(): those that are running, and each later one before it starts.
/// It may be destroyed before them; then it ends none. On the reactor's thread.
class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;
  ~Cancellation();

  /// The tasks end soon, and not within this call. A second call changes nothing.
  void cancel();
  bool cancelled() const { return cancelled_; }

  /// What race() uses: cancel() ends `race`, until it is removed.
  void add(RaceBase& race) { races_.push_back(&race); }
  void remove(RaceBase& race) { std::erase(races_, &race); }

 private:
  std::vector<RaceBase*> races_;
  bool cancelled_ = false;
};

/// Why a race is over.
enum class RaceEnd : std::uint8_t {
  finished,   ///< the task has given its value
  deadline,   ///< the deadline passed
  cancelled,  ///< Cancellation::cancel() was called
};

/// The part of a race that does not depend on what its task gives.
class RaceBase : private Timer {
 public:
  RaceBase(const RaceBase&) = delete;
  RaceBase& operator=(const RaceBase&) = delete;

  /// The waiter is resumed soon. The first reason counts.
  void end_early(RaceEnd why);
  /// The cancellation is destroyed.
  void forget_cancellation() { cancellation_ = nullptr; }

 protected:
  RaceBase(Reactor& reactor, TimePoint deadline, Cancellation* cancellation)
      : Timer(reactor), reactor_(reactor), deadline_(deadline), cancellation_(cancellation) {}
  ~RaceBase() { leave(); }

  bool cancelled() const { return cancellation_ != nullptr && cancellation_->cancelled(); }
  /// From now on the deadline and the cancellation resume `waiter`.
  void enter(std::coroutine_handle<> waiter);
  /// Neither resumes it any more.
  void leave();

  RaceEnd end_ = RaceEnd::finished;

 private:
  void on_timer() override { end_early(RaceEnd::deadline); }

  Reactor& reactor_;
  TimePoint deadline_;
  Cancellation* cancellation_;
  std::coroutine_handle<> waiter_;
};

/// What a race gives: a value exactly if it has `finished`.
template <typename T>
struct Raced {
  RaceEnd end;
  std::optional<T> value;
};

/// See race().
template <typename T>
class [[nodiscard]] Race final : private RaceBase {
 public:
  Race(Reactor& reactor, Task<T> task, TimePoint deadline, Cancellation* cancellation)
      : RaceBase(reactor, deadline, cancellation),
        task_(std::move(task)),
        running_(std::move(task_).operator co_await()) {}

  bool await_ready() {
    if (cancelled()) { end_ = RaceEnd::cancelled; }
    return cancelled();
  }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
    enter(waiter);
    return running_.await_suspend(waiter);
  }
  Raced<T> await_resume() {
    leave();
    if (running_.frame.done()) { return {RaceEnd::finished, running_.await_resume()}; }
    // Everything on this thread waits in the loop now, so the task is suspended too.
    task_ = Task<T>();
    return {end_, std::nullopt};
  }

 private:
  Task<T> task_;
  decltype(std::declval<Task<T>>().operator co_await()) running_;
};

/// `co_await race(...)` runs `task` until it has ended, until `deadline`, or until `cancellation`,
/// if there is one, is cancelled; whichever comes first. A task that is not done by then is
/// destroyed at the await where it is: its locals are destroyed, and nothing after that await runs.
/// An exception of the task is thrown.
///
/// A task that ends in the same turn of the loop in which the deadline passes has won. A task that
/// never awaits can't be ended.
template <typename T>
Race<T> race(Reactor& reactor, Task<T> task, TimePoint deadline,
             Cancellation* cancellation = nullptr) {
  return Race<T>(reactor, std::move(task), deadline, cancellation);
}

}  // namespace handoff
