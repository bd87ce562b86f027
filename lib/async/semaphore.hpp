// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>

#include "async/reactor.hpp"
#include "async/task.hpp"

namespace handoff {

/// Lets so many in at a time; the others wait in the order in which they came, up to a bound.
class Semaphore {
 public:
  Semaphore(Reactor& reactor, std::size_t places, std::size_t max_waiting)
      : reactor_(reactor), free_(places), max_waiting_(max_waiting) {}

  /// Whether acquire() would succeed at once.
  bool available() const { return free_ > 0; }

  /// True once a place is had; false at once when too many wait already.
  Task<bool> acquire() {
    if (free_ > 0) {
      --free_;
      co_return true;
    }
    if (waiting_.size() >= max_waiting_) co_return false;
    Turn turn{*this, Event(reactor_)};
    waiting_.push_back(&turn);
    co_await turn.came;
    turn.taken = true;
    co_return true;
  }

  /// Gives a place to whoever has waited longest.
  void release() {
    if (waiting_.empty()) {
      ++free_;
      return;
    }
    Turn* next = waiting_.front();
    waiting_.pop_front();
    next->came.set();
  }

 private:
  struct Turn {
    Semaphore& semaphore;
    Event came;
    bool taken = false;
    ~Turn() {
      if (!came.is_set()) {
        std::erase(semaphore.waiting_, this);
      } else if (!taken) {
        semaphore.release();
      }
    }
  };

  Reactor& reactor_;
  std::size_t free_;
  std::size_t max_waiting_;
  std::deque<Turn*> waiting_;
};

}  // namespace handoff
