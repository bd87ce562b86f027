// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// A flag that one coroutine waits for.
class Event {
 public:
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Sets the flag, and lets the waiting coroutine go on in the next turn.
  void set() {
    set_ = true;
    if (waiter_) {
      posted_ = true;
      reactor_.post(std::exchange(waiter_, nullptr));
    }
  }
  void clear() { set_ = false; }
  bool is_set() const { return set_; }

  /// `co_await event`: waits until it is set. It stays set.
  auto operator co_await() {
    struct Awaiter {
      Event& event;
      std::coroutine_handle<> frame;
      bool await_ready() const { return event.set_; }
      void await_suspend(std::coroutine_handle<> awaiting) { frame = event.waiter_ = awaiting; }
      void await_resume() {
        event.posted_ = false;
        frame = nullptr;
      }
      ~Awaiter() {
        if (!frame) return;
        if (event.posted_) event.reactor_.unpost(frame);
        event.waiter_ = nullptr;
        event.posted_ = false;
      }
    };
    return Awaiter{*this, nullptr};
  }

 private:
  Reactor& reactor_;
  std::coroutine_handle<> waiter_;
  bool set_ = false;
  bool posted_ = false;
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
