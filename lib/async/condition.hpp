// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"

namespace handoff {

/// Something that may have changed, which any number of coroutines wait for. Each looks for itself
/// whether it was what it waited for.
class Condition {
 public:
  explicit Condition(Reactor& reactor) : reactor_(reactor) {}
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// All that wait go on, in the next turn.
  void notify_all() {
    for (Event* event : waiting_) event->set();
  }

  /// Waits for the next notify_all(), or until `deadline`.
  Task<void> wait(TimePoint deadline = kNever) {
    Waiting waiting(*this);
    const Alarm alarm(reactor_, waiting.event, deadline);
    co_await waiting.event;
  }

 private:
  struct Waiting {
    explicit Waiting(Condition& of) : condition(of), event(of.reactor_) {
      condition.waiting_.push_back(&event);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { std::erase(condition.waiting_, &event); }

    Condition& condition;
    Event event;
  };

  Reactor& reactor_;
  std::vector<Event*> waiting_;
};

}  // namespace handoff
