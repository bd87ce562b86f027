// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <coroutine>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>

namespace handoff {

/// A flag that one coroutine at a time waits for.
class Event {
 public:
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Sets the flag, and resumes the waiting coroutine in the next turn, even if the flag is cleared
  /// before.
  void set() {
    set_ = true;
    if (waiter_ != nullptr) { std::exchange(waiter_, nullptr)->post(); }
  }
  void clear() { set_ = false; }
  bool is_set() const { return set_; }

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
    std::coroutine_handle<> frame_;  ///< while it is suspended
    bool posted_ = false;            ///< and not the event's waiter any more
  };
  /// `co_await event`: waits until it is set. It stays set.
  Awaiter operator co_await() { return Awaiter(*this); }

 private:
  Reactor& reactor_;
  Awaiter* waiter_ = nullptr;
  bool set_ = false;
};

/// Sets an event at a time. Destroying it calls that off.
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
