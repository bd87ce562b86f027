// SPDX-License-Identifier: MIT
#include "rpc/session_record.hpp"

namespace handoff {

/// The one place that decides the state of a connection in the ledger while its session waits:
///
///     phase                        situation                                    state
///     open, draining, half_closed  everything is answered, nothing is held      idle
///     open, draining, half_closed  everything but one request, nothing is held  running, silent
///     open, draining               nothing was read or written since it came    received
///     all                          anything else                                busy
///
/// Nothing of a reply is written while its request is executed.
void SessionRecord::record(SessionPhase phase, Held held, Framing framing,
                           const SessionCalls& calls) {
  using ledger::State;
  const bool is_served = phase == SessionPhase::open || phase == SessionPhase::draining ||
                         phase == SessionPhase::half_closed || phase == SessionPhase::last_turn ||
                         (phase == SessionPhase::ending && calls.any());
  if (is_served && held == Held::nothing) {
    if (!calls.any()) { return entry_->store(State::idle, framing, calls.dialect()); }
    const auto only = calls.only_request();
    if (only && !only->is_answered) { return entry_->store(State::silent, framing, only->dialect); }
    if (only && only->id.size() <= ledger::kMaxId) {
      return entry_->store_running(only->id, framing, only->dialect);
    }
  }
  if (!is_served || entry_->state() != State::received) { busy(); }
}

}  // namespace handoff
