// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "pass/ledger_entry.hpp"
#include "rpc/session_calls.hpp"
#include "rpc/session_phase.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// What a session says of its connection in the ledger, so that another process can go on from
/// there if this one dies: see handoff-wire(7), THE LEDGER. Without an entry it says nothing. Only
/// the thread that serves the connection uses it.
class SessionRecord {
 public:
  /// The entry must outlive this, unless it is null.
  explicit SessionRecord(ledger::Entry* entry) : entry_(entry) {}

  /// Bytes are about to be read or written, or have been taken over: only this process can go on.
  void busy() {
    if (entry_ != nullptr) { entry_->store(ledger::State::busy); }
  }
  /// The connection is about to be shut down.
  void closed() {
    if (entry_ != nullptr) { entry_->store(ledger::State::closed); }
  }

  /// Bytes of the connection that were read and not used, or are still to be written.
  enum class Held : std::uint8_t { nothing, some };
  /// The session is about to wait, or a call of it has ended.
  void update(SessionPhase phase, Held held, Framing framing, const SessionCalls& calls) {
    if (entry_ != nullptr) { record(phase, held, framing, calls); }
  }

 private:
  void record(SessionPhase phase, Held held, Framing framing, const SessionCalls& calls);

  ledger::Entry* entry_;
};

}  // namespace handoff
