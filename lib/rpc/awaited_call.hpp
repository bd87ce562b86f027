// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>

#include <handoff/async/event.hpp>
#include <handoff/async/timer.hpp>

#include "rpc/pending_call.hpp"

namespace handoff {

/// A call that a coroutine has a CallExecutor run: begin(), `co_await answered`, then
/// take_result(). The destructor cancels a call that was begun and not answered. Used on the
/// reactor's thread only.
class AwaitedCall final : public PendingCall, private Timer {
 public:
  /// Prepares the call. The reactor and the executor must outlive this object.
  AwaitedCall(Reactor& reactor, CallExecutor& executor, Call what)
      : Timer(reactor), answered(reactor), executor_(executor), what_(std::move(what)) {
    set_view({what_.method, what_.params, what_.id, what_.peer, what_.deadline});
  }
  ~AwaitedCall() {
    if (is_begun_ && !answered.is_set()) { executor_.cancel(*this); }
  }

  /// Begins the call, and arms its time-out. Call it once. Throws what CallExecutor::begin()
  /// throws.
  void begin() {
    const TimePoint times_out = executor_.begin(*this);
    is_begun_ = true;
    if (!answered.is_set()) { set(times_out); }
  }
  /// Returns the result, which is moved out. Call it once, after `answered` was set.
  Result take_result() { return std::move(result_); }

  /// Set when the result is there.
  Event answered;

 private:
  void finish(const ResultView& result) override {
    result_ = {std::string(result.json), result.code, std::string(result.message)};
    Timer::cancel();
    answered.set();
  }
  void on_timer() override { executor_.time_out(*this); }

  CallExecutor& executor_;
  Call what_;
  Result result_;
  bool is_begun_ = false;
};

}  // namespace handoff
