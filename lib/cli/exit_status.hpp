// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// The exit statuses of all tools; each manual page repeats those of its tool. The numbers are part
/// of the interface and never change.
enum class ExitCode : int {
  done = 0,
  negative = 1,        ///< a negative answer: an error reply, no pong, a limit exceeded
  usage = 2,           ///< the command line is wrong
  unreachable = 3,     ///< no server answers at the address
  protocol = 4,        ///< the peer has broken the protocol
  timed_out = 124,     ///< a deadline has passed
  failed = 125,        ///< the tool itself has failed
  not_runnable = 126,  ///< the command exists but cannot be run
  not_found = 127,     ///< the command was not found
};

/// Returns the number of a status.
constexpr int to_int(ExitCode code) {
  return static_cast<int>(code);
}

}  // namespace handoff
