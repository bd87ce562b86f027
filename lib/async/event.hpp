// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <coroutine>
#include <utility>

#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// A flag that one coroutine at a time waits for. The waiting coroutine may be destroyed at any
/// time.
///
/// A coroutine that waits for a change of some state rather than for a flag uses a Condition;
/// several coroutines can wait for that.
class Event {
 public:
  /// The reactor must outlive this object.
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Sets the flag. A waiting coroutine is posted to the reactor and is resumed even if the flag is
  /// cleared before that.
  void set() {
    set_ = true;
    if (waiter_ != nullptr) { std::exchange(waiter_, nullptr)->post(); }
  }
  /// Clears the flag; a later wait waits for the next set().
  void clear() { set_ = false; }
  bool is_set() const { return set_; }

  /// What `co_await event` waits with. The event must outlive it.
  class Awaiter {
   public:
    explicit Awaiter(Event& event) : event_(event) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      if (!frame_) { return; }
      if (posted_) {
        event_.reactor_.unpost(frame_);
      } else {
        event_.waiter_ = nullptr;
      }
    }

    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> frame) {
      assert(event_.waiter_ == nullptr);
      frame_ = frame;
      event_.waiter_ = this;
    }
    void await_resume() { frame_ = nullptr; }

    void post() {
      posted_ = true;
      event_.reactor_.post(frame_);
    }

   private:
    Event& event_;
    std::coroutine_handle<> frame_;  ///< null unless the coroutine is suspended
    bool posted_ = false;  ///< the coroutine is posted, and is no longer the event's waiter
  };
  /// `co_await event` waits until the event is set. The event stays set.
  Awaiter operator co_await() { return Awaiter(*this); }

 private:
  Reactor& reactor_;
  Awaiter* waiter_ = nullptr;
  bool set_ = false;
};

/// Sets an event at a given time; kNever is no time. Destroying this object cancels that. The
/// reactor and the event must outlive it.
class EventTimeout final : private Timer {
 public:
  EventTimeout(Reactor& reactor, Event& event, TimePoint when) : Timer(reactor), event_(event) {
    set(when);
  }

 private:
  void on_timer() override { event_.set(); }

  Event& event_;
};

}  // namespace handoff
