// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

namespace handoff {

/// Any number of coroutines wait for a change of some state; each looks for itself whether the
/// change is the one that it waits for. A Condition is used on its reactor's thread only; Mailbox
/// brings the news from another thread.
class Condition {
 public:
  /// The reactor must outlive the condition.
  explicit Condition(Reactor& reactor) : reactor_(reactor) {}
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// Resumes all coroutines that wait now, in the next turn of the reactor. It does not block.
  void notify_all() {
    for (Waiting* waiting : waiting_) {
      waiting->notified = true;
      waiting->event.set();
    }
  }

  /// Waits for the next notify_all(), or until `deadline`. The task gives false when the deadline
  /// came first, and in the next turn when it has passed already: a loop that goes on then spins.
  /// The condition must outlive the task. Destroying the task ends the wait.
  Task<bool> wait(TimePoint deadline = kNever) {
    Waiting waiting(*this);
    const EventTimeout timeout(reactor_, waiting.event, deadline);
    co_await waiting.event;
    co_return waiting.notified;
  }

  /// Waits until `holds()`, which is called at once, after each notify_all() and at `deadline`. The
  /// task gives what it returned last: false only when the deadline has passed. What `holds` refers
  /// to must outlive the task, and so must the condition. An exception of `holds` leaves the task.
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
  /// A coroutine that waits. It is in the list for as long as its frame keeps this object.
  struct Waiting {
    explicit Waiting(Condition& of) : condition(of), event(of.reactor_) {
      condition.waiting_.push_back(this);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { std::erase(condition.waiting_, this); }

    Condition& condition;
    Event event;
    bool notified = false;  ///< by notify_all(), and not by the deadline
  };

  Reactor& reactor_;
  std::vector<Waiting*> waiting_;  ///< of every coroutine that waits; none is owned here
};

}  // namespace handoff
