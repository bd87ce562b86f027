// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace handoff {

/// The phase of a connection. The table of transitions stands before Session::enter.
enum class SessionPhase : std::uint8_t {
  open,         ///< requests are read and answered
  half_closed,  ///< the client sends no more; the calls that run are still answered
  draining,     ///< the connection ends as soon as nothing is under way
  last_turn,    ///< the replies to what is read next are the last ones of the connection
  ending,     ///< the connection ends after its last reply; requests that still arrive are refused
  refused,    ///< the client is a stranger or has broken the protocol; replies are still written to
              ///< it
  lingering,  ///< everything was written; the client has a moment to read it
  closed      ///< nothing more is read or written; the session ends when its calls have ended
};

/// Why a connection ends.
enum class CloseReason : std::uint8_t {
  none,         ///< the connection does not end yet
  client,       ///< the client has ended it
  idle,         ///< no request came in time, or another connection needed its place
  drained,      ///< the server serves no more
  returned,     ///< it was given back, and is served elsewhere
  protocol,     ///< a stranger, a frame that is too long, or one that did not arrive in time
  write_error,  ///< the client has left, or has not read a reply in time
  failed,       ///< a system call failed, or memory was short
  abandoned     ///< its owner has lost interest in it, and it has ended later or was cut off
};

}  // namespace handoff
