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

/// Cancels tasks that run in a race(): those that are running, and each later one before it starts.
/// It may be destroyed before them, and then cancels none. It belongs to the reactor's thread.
class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;
  ~Cancellation();

  /// Cancels the tasks. They end later in this turn of the loop or in the next, never within this
  /// call. A second call changes nothing.
  void cancel();
  /// Returns whether cancel() was called.
  bool cancelled() const { return cancelled_; }

  /// Only race() calls these two: cancel() ends `race` between them.
  void add(RaceBase& race) { races_.push_back(&race); }
  void remove(RaceBase& race) { std::erase(races_, &race); }

 private:
  std::vector<RaceBase*> races_;
  bool cancelled_ = false;
};

/// Why a race ended.
enum class RaceEnd : std::uint8_t {
  finished,   ///< the task has returned its value
  deadline,   ///< the deadline passed
  cancelled,  ///< Cancellation::cancel() was called
};

/// The part of a race that does not depend on the type of the task's value.
class RaceBase : private Timer {
 public:
  RaceBase(const RaceBase&) = delete;
  RaceBase& operator=(const RaceBase&) = delete;

  /// Ends the race: the waiter is resumed soon. Of several reasons the first one counts.
  void end_early(RaceEnd why);
  /// Called when the cancellation is destroyed.
  void forget_cancellation() { cancellation_ = nullptr; }

 protected:
  RaceBase(Reactor& reactor, TimePoint deadline, Cancellation* cancellation)
      : Timer(reactor), reactor_(reactor), deadline_(deadline), cancellation_(cancellation) {}
  ~RaceBase() { leave(); }

  bool cancelled() const { return cancellation_ != nullptr && cancellation_->cancelled(); }
  /// Lets the deadline and the cancellation resume `waiter` from now on.
  void enter(std::coroutine_handle<> waiter);
  /// Lets neither of them resume the waiter any more.
  void leave();

  RaceEnd end_ = RaceEnd::finished;

 private:
  void on_timer() override { end_early(RaceEnd::deadline); }

  Reactor& reactor_;
  TimePoint deadline_;
  Cancellation* cancellation_;
  std::coroutine_handle<> waiter_;
};

/// What a race returns: a value exactly if `end` is `finished`.
template <typename T>
struct Raced {
  RaceEnd end;
  std::optional<T> value;
};

/// The awaitable that race() returns.
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
    // Nothing of this thread is running but the loop, so the task is suspended and can be
    // destroyed.
    task_ = Task<T>();
    return {end_, std::nullopt};
  }

 private:
  Task<T> task_;
  decltype(std::declval<Task<T>>().operator co_await()) running_;
};

/// `co_await race(...)` runs `task` until it has ended, until `deadline`, or until `cancellation`,
/// if there is one, is cancelled, whichever comes first. A task that has not ended by then is
/// destroyed at the await where it is: its locals are destroyed, and nothing after that await runs.
/// An exception of the task is thrown. The reactor must outlive the race.
///
/// A task that ends in the same turn of the loop in which the deadline passes has finished. A task
/// that never awaits cannot be interrupted.
///
///     const Raced<int> raced = co_await race(reactor, answer(), Clock::now() + seconds(1));
///     if (raced.end == RaceEnd::deadline) { co_return; }
///     use(*raced.value);
template <typename T>
Race<T> race(Reactor& reactor, Task<T> task, TimePoint deadline,
             Cancellation* cancellation = nullptr) {
  return Race<T>(reactor, std::move(task), deadline, cancellation);
}

}  // namespace handoff
