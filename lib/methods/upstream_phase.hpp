// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// Where a connection to an upstream server is between the attempt to make it and its end.
enum class UpstreamPhase {
  connecting,       ///< calls wait for it, and more may come
  connecting_last,  ///< the same, but no more calls come: one of them has waited in vain
  open,             ///< calls go out
  retired,          ///< no more calls come; those that it has may still be answered
  closed,
};

/// What happens to a connection to an upstream server.
enum class UpstreamEvent {
  connected,
  silence,    ///< the deadline of a call has passed, and nothing has come since that call went out
  refusal,    ///< the server has refused what it can't read, and reads no more
  last_over,  ///< the last of its calls is over
  ended,      ///< it failed, or is given up
};

/// The phase after the event; the same phase when the event changes nothing.
UpstreamPhase next_phase(UpstreamPhase phase, UpstreamEvent event);

}  // namespace handoff
