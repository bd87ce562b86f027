// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <handoff/async/clock.hpp>
#include <handoff/rpc/call.hpp>

namespace handoff {

/// A call that a CallExecutor has begun and not finished. Its owner keeps it, and the texts of
/// view(), until it is finished or cancelled. On one thread.
class PendingCall {
 public:
  PendingCall() = default;
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  const CallView& view() const { return view_; }

  /// By which its executor finds it again; only the executor uses it. 0 when the call begins.
  std::uint64_t ticket() const { return ticket_; }
  void set_ticket(std::uint64_t ticket) { ticket_ = ticket; }

  /// Answers the call, once. The views of `result`, in which all JSON is valid, are used within
  /// this function only; they may not point into view(). The call must not be used afterwards: it
  /// may have been destroyed.
  virtual void finish(const ResultView& result) = 0;

 protected:
  ~PendingCall() = default;
  void set_view(const CallView& view) {
    view_ = view;
    ticket_ = 0;
  }

 private:
  CallView view_;
  std::uint64_t ticket_ = 0;
};

/// Executes calls in its own time, without a coroutine for each: a call is begun, and later
/// finished by a callback. It goes on when the client has left, and must outlive its calls.
class CallExecutor {
 public:
  /// Takes the call, which it may finish before this returns. Returns when the call is to time out
  /// if it is not finished by then; kNever for a call that never does. An exception becomes the
  /// error -32603 of the call, which the executor must have forgotten then.
  virtual TimePoint begin(PendingCall& call) = 0;
  /// The time that begin() has returned has come. Finishes the call before this returns.
  virtual void time_out(PendingCall& call) = 0;
  /// Forgets the call, without finishing it: it is about to be destroyed.
  virtual void cancel(PendingCall& call) = 0;

 protected:
  ~CallExecutor() = default;
};

}  // namespace handoff
