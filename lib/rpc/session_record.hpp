// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "pass/ledger_entry.hpp"
#include "rpc/session_calls.hpp"
#include "rpc/session_phase.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// Writes the state of a session's connection into the worker's ledger, so that another process can
/// go on from there if this one dies; see handoff-wire(7), THE LEDGER. Without an entry it does
/// nothing. Used only by the thread that serves the connection.
class SessionRecord {
 public:
  /// `entry` may be null; otherwise it must outlive this object.
  explicit SessionRecord(ledger::Entry* entry) : entry_(entry) {}

  /// Records that bytes are about to be read or written, or were taken over: only this process can
  /// go on.
  void busy() {
    if (entry_ != nullptr) { entry_->store(ledger::State::busy); }
  }
  /// Records that the connection is about to be shut down.
  void closed() {
    if (entry_ != nullptr) { entry_->store(ledger::State::closed); }
  }

  /// Whether there are bytes of the connection that were read and not used, or are still to be
  /// written.
  enum class Held : std::uint8_t { nothing, some };
  /// Records the state while the session waits. Call it before a wait, and when a call has ended.
  void update(SessionPhase phase, Held held, Framing framing, const SessionCalls& calls) {
    if (entry_ != nullptr) { record(phase, held, framing, calls); }
  }

 private:
  void record(SessionPhase phase, Held held, Framing framing, const SessionCalls& calls);

  ledger::Entry* entry_;
};

}  // namespace handoff
