// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "async/event.hpp"
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

  /// Takes a place, if there is one now.
  bool try_acquire() {
    if (free_ == 0) { return false; }
    --free_;
    return true;
  }

  enum class Outcome {
    acquired,
    full,       ///< too many wait already
    timed_out,  ///< the deadline came first
  };
  /// Waits for a place, which release() gives back.
  Task<Outcome> acquire(TimePoint deadline = kNever) {
    if (try_acquire()) { co_return Outcome::acquired; }
    if (waiting_.size() >= max_waiting_) { co_return Outcome::full; }
    Waiter waiter{*this, Event(reactor_)};
    waiting_.push_back(&waiter);
    const EventTimeout alarm(reactor_, waiter.came, deadline);
    co_await waiter.came;
    waiter.taken = waiter.granted;
    co_return waiter.granted ? Outcome::acquired : Outcome::timed_out;
  }

  /// Gives a place to whoever has waited longest.
  void release() {
    if (waiting_.empty()) {
      ++free_;
      return;
    }
    Waiter* next = waiting_.front();
    waiting_.pop_front();
    next->granted = true;
    next->came.set();
  }

 private:
  struct Waiter {
    Semaphore& semaphore;
    Event came;
    bool granted = false;
    bool taken = false;
    ~Waiter() {
      if (!granted) {
        std::erase(semaphore.waiting_, this);
      } else if (!taken) {
        semaphore.release();
      }
    }
  };

  Reactor& reactor_;
  std::size_t free_;
  std::size_t max_waiting_;
  std::deque<Waiter*> waiting_;
};

/// Gives an acquired place back when it goes. Made without one, it has none.
class SemaphorePlace {
 public:
  SemaphorePlace() = default;
  explicit SemaphorePlace(Semaphore& semaphore) : semaphore_(&semaphore) {}
  SemaphorePlace(SemaphorePlace&& other) noexcept
      : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
  SemaphorePlace& operator=(SemaphorePlace&& other) noexcept {
    std::swap(semaphore_, other.semaphore_);
    return *this;
  }
  ~SemaphorePlace() {
    if (semaphore_ != nullptr) { semaphore_->release(); }
  }

  explicit operator bool() const { return semaphore_ != nullptr; }

 private:
  Semaphore* semaphore_ = nullptr;
};

}  // namespace handoff
