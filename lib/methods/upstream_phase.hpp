// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// The phase of a connection to an upstream server.
enum class UpstreamPhase {
  connecting,       ///< calls wait for the connection, and more may be added
  connecting_last,  ///< the connection is being made, but gets no more calls: one of them has
                    ///< waited in vain
  open,             ///< calls are sent
  retired,          ///< the connection gets no more calls; those that it has may still be answered
  closed,
};

/// What happens to a connection to an upstream server.
enum class UpstreamEvent {
  connected,
  silence,    ///< the deadline of a call has passed, and nothing has arrived since it was sent
  refusal,    ///< the server has refused what it cannot read, and reads no more
  last_over,  ///< the last call of the connection is over
  ended,      ///< the connection has failed, or is given up
};

/// Returns the phase after the event; the old phase if the event changes nothing.
UpstreamPhase next_phase(UpstreamPhase phase, UpstreamEvent event);

}  // namespace handoff
