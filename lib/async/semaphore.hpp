// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"

namespace handoff {

/// Lets a given number of coroutines in at a time. Others wait in the order of their arrival, up to
/// a bound.
///
///     if (co_await semaphore.acquire(deadline) != Semaphore::Outcome::acquired) { co_return; }
///     const SemaphorePlace place(semaphore);   // given back at the end of the scope
class Semaphore {
 public:
  /// `places` coroutines are let in, and `max_waiting` may wait. The reactor must outlive this
  /// object.
  Semaphore(Reactor& reactor, std::size_t places, std::size_t max_waiting)
      : reactor_(reactor), free_(places), max_waiting_(max_waiting) {}

  /// Returns whether acquire() would succeed at once.
  bool available() const { return free_ > 0; }

  /// Takes a place if one is free. Returns whether it did. The caller gives it back with release().
  bool try_acquire() {
    if (free_ == 0) { return false; }
    --free_;
    return true;
  }

  /// How an acquire() ended.
  enum class Outcome {
    acquired,
    full,       ///< max_waiting coroutines wait already
    timed_out,  ///< the deadline came before a place
  };
  /// Waits for a place, which the caller gives back with release(), best through a SemaphorePlace.
  /// A coroutine that is destroyed while it waits loses nothing. The semaphore must outlive the
  /// task.
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

  /// Gives a place back: the coroutine that has waited longest gets it.
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
  /// One waiting coroutine. If it is destroyed after it was granted a place and before it runs, the
  /// place goes to the next.
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

/// Owns an acquired place and gives it back when it is destroyed. One made without a semaphore owns
/// none. The semaphore must outlive it.
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

  /// Returns whether it owns a place.
  explicit operator bool() const { return semaphore_ != nullptr; }

 private:
  Semaphore* semaphore_ = nullptr;
};

}  // namespace handoff
