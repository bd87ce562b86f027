// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace handoff {

/// Where a connection is in its life. Session::enter has the table of transitions.
enum class SessionPhase : std::uint8_t {
  open,         ///< requests are read and answered
  half_closed,  ///< the client sends no more; the calls that run are still answered
  draining,     ///< it ends as soon as nothing is under way
  last_turn,    ///< the replies to what is read next are the last ones of the connection
  ending,       ///< it ends after the last reply; requests that still arrive are refused
  refused,      ///< the client is a stranger or broke the protocol; it gets what was written
  lingering,    ///< all was written; the refused client has a moment to read it
  closed        ///< nothing is read or written any more; it goes when its calls have ended
};

/// Why a connection ends.
enum class CloseReason : std::uint8_t {
  none,         ///< it does not end yet
  client,       ///< the client has ended it
  idle,         ///< no request came in time, or another connection needed its place
  drained,      ///< the server serves no more
  returned,     ///< it was given back, and is served elsewhere
  protocol,     ///< a stranger, a frame that is too long, or one that did not arrive in time
  write_error,  ///< the client is gone, or took no reply in time
  failed,       ///< a call on this system failed, or memory was short
  abandoned     ///< its owner has lost interest in it; it ended later, or was cut off
};

}  // namespace handoff
