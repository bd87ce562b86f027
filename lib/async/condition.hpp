// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"

namespace handoff {

/// Lets any number of coroutines wait for a change of some state. Each of them finds out by itself
/// whether a change is the one that it waits for. A waiting coroutine may be destroyed at any time.
///
///     ++finished;                                                      // one coroutine
///     changed.notify_all();
///
///     co_await changed.wait_until([&] { return finished == all; });    // another one
///
/// A change that happens between two waits is not lost with wait_until(), because that looks at the
/// state itself; it is lost with wait().
class Condition {
 public:
  /// The reactor must outlive this object.
  explicit Condition(Reactor& reactor) : reactor_(reactor) {}
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// Resumes all waiting coroutines, later in this turn of the loop or in the next one.
  void notify_all() {
    for (Waiting* waiting : waiting_) {
      waiting->notified = true;
      waiting->event.set();
    }
  }

  /// Waits for the next notify_all() or until `deadline`. Returns false if the deadline came first;
  /// if it has already passed, the wait ends in the next turn of the loop, and a caller that
  /// repeats it spins. The condition must outlive the task.
  Task<bool> wait(TimePoint deadline = kNever) {
    Waiting waiting(*this);
    const EventTimeout timeout(reactor_, waiting.event, deadline);
    co_await waiting.event;
    co_return waiting.notified;
  }

  /// Waits until `holds()`, which is called at once, after each notify_all() and at `deadline`.
  /// Returns its last value, which is false only if the deadline has passed. The condition and
  /// everything that `holds` refers to must outlive the task.
  template <typename Predicate>
  Task<bool> wait_until(Predicate holds, TimePoint deadline = kNever) {
    while (!holds()) {
      Waiting waiting(*this);
      const EventTimeout timeout(reactor_, waiting.event, deadline);
      co_await waiting.event;
      if (!waiting.notified) { co_return holds(); }
    }
    co_return true;
  }

 private:
  /// One waiting coroutine, in the list of its condition for as long as it waits.
  struct Waiting {
    explicit Waiting(Condition& of) : condition(of), event(of.reactor_) {
      condition.waiting_.push_back(this);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { std::erase(condition.waiting_, this); }

    Condition& condition;
    Event event;
    bool notified = false;
  };

  Reactor& reactor_;
  std::vector<Waiting*> waiting_;
};

}  // namespace handoff
