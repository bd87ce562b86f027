// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

namespace handoff {

/// Any number of coroutines wait for a change of some state; each looks for itself whether the
/// change is the one that it waits for.
class Condition {
 public:
  explicit Condition(Reactor& reactor) : reactor_(reactor) {}
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// Resumes all that wait, in the next turn.
  void notify_all() {
    for (Waiting* waiting : waiting_) {
      waiting->notified = true;
      waiting->event.set();
    }
  }

  /// Waits for the next notify_all(), or until `deadline`. Gives false when the deadline came
  /// first, and at once when it has passed already: a loop that goes on then spins. The condition
  /// must outlive the task.
  Task<bool> wait(TimePoint deadline = kNever) {
    Waiting waiting(*this);
    const EventTimeout timeout(reactor_, waiting.event, deadline);
    co_await waiting.event;
    co_return waiting.notified;
  }

  /// Waits until `holds()`, which is called at once, after each notify_all() and at `deadline`.
  /// Returns what it returned last: false only when the deadline has passed. What `holds` refers to
  /// must outlive the task.
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
