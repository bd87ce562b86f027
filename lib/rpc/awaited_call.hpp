// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>

#include <handoff/async/event.hpp>
#include <handoff/async/timer.hpp>

#include "rpc/pending_call.hpp"

namespace handoff {

/// A call of a CallExecutor for which a coroutine waits: begin(), `co_await answered`, and then
/// take_result(). Destroying it before that cancels the call.
class AwaitedCall final : public PendingCall, private Timer {
 public:
  /// The reactor and the executor must outlive this.
  AwaitedCall(Reactor& reactor, CallExecutor& executor, Call what)
      : Timer(reactor), answered(reactor), executor_(executor), what_(std::move(what)) {
    set_view({what_.method, what_.params, what_.id, what_.peer, what_.deadline});
  }
  ~AwaitedCall() {
    if (is_begun_ && !answered.is_set()) { executor_.cancel(*this); }
  }

  /// Once. Throws what CallExecutor::begin() does.
  void begin() {
    const TimePoint times_out = executor_.begin(*this);
    is_begun_ = true;
    if (!answered.is_set()) { set(times_out); }
  }
  Result take_result() { return std::move(result_); }

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
