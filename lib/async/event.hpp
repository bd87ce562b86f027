// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <coroutine>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

namespace handoff {

/// A flag that one coroutine at a time waits for. It is used on its reactor's thread only. Where
/// several coroutines wait, or the state is more than a flag, Condition is the class to use.
class Event {
 public:
  /// The reactor must outlive the event. The flag is clear at first.
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Sets the flag, and resumes the waiting coroutine in the next turn of the reactor, even if the
  /// flag is cleared before. It does not block.
  void set() {
    set_ = true;
    if (waiter_ != nullptr) { std::exchange(waiter_, nullptr)->post(); }
  }
  /// Clears the flag: the next coroutine that awaits the event waits.
  void clear() { set_ = false; }
  /// Returns whether the flag is set. A coroutine that awaits it then does not wait.
  bool is_set() const { return set_; }

  /// `co_await event` makes it. Destroying it, with the coroutine that waits, ends the wait.
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

    // The three functions that `co_await` calls.
    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> frame) {
      assert(event_.waiter_ == nullptr);
      frame_ = frame;
      event_.waiter_ = this;
    }
    void await_resume() { frame_ = nullptr; }

    /// Event::set() calls this once: the coroutine has its turn next.
    void post() {
      posted_ = true;
      event_.reactor_.post(frame_);
    }

   private:
    Event& event_;
    std::coroutine_handle<> frame_;  ///< while it is suspended
    /// The coroutine is posted, and so not the event's waiter any more.
    bool posted_ = false;
  };
  /// `co_await event` waits until the flag is set, and leaves it set. When it is set already, the
  /// coroutine goes on at once. The event must outlive the wait.
  Awaiter operator co_await() { return Awaiter(*this); }

 private:
  Reactor& reactor_;
  Awaiter* waiter_ = nullptr;  ///< of the coroutine that waits and is not yet posted
  bool set_ = false;
};

/// Sets an event when a deadline passes. Destroying it before calls that off.
class EventTimeout final : private Timer {
 public:
  /// The reactor and the event must outlive this object. kNever sets the event never.
  EventTimeout(Reactor& reactor, Event& event, TimePoint when) : Timer(reactor), event_(event) {
    set(when);
  }

 private:
  /// The deadline has passed.
  void on_timer() override { event_.set(); }

  Event& event_;
};

}  // namespace handoff
