// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <handoff/async/clock.hpp>
#include <handoff/rpc/call.hpp>

namespace handoff {

/// A call that a CallExecutor has begun and not finished. Its owner keeps it, and the texts of
/// view(), until it is finished or cancelled. Used on the executor's thread only.
class PendingCall {
 public:
  PendingCall() = default;
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  /// Returns the call; its texts are valid until the call is finished or cancelled.
  const CallView& view() const { return view_; }

  /// A number by which its executor finds the call again. Only the executor uses it; it is 0 when
  /// the call begins.
  std::uint64_t ticket() const { return ticket_; }
  void set_ticket(std::uint64_t ticket) { ticket_ = ticket; }

  /// Answers the call; called once. All JSON in `result` must be valid, and its views must not
  /// point into view(); they are used within this function only. The call must not be used
  /// afterwards, because it may have been destroyed.
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

/// Executes calls in its own time, without a coroutine for each: a call is begun, and finished
/// later by a callback. It goes on when the client has left, and must outlive its calls. Used on
/// one thread only.
class CallExecutor {
 public:
  /// Begins the call, and may finish it before it returns. Returns when the call times out if it is
  /// not finished by then; kNever means never. An exception becomes the error -32603 of the call,
  /// which the executor must have forgotten by then.
  virtual TimePoint begin(PendingCall& call) = 0;
  /// Called at the time that begin() has returned. Finishes the call before it returns.
  virtual void time_out(PendingCall& call) = 0;
  /// Forgets the call without finishing it, because it is about to be destroyed.
  virtual void cancel(PendingCall& call) = 0;

 protected:
  ~CallExecutor() = default;
};

}  // namespace handoff
