// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// The exit statuses of every tool; each man page repeats those that its tool can give.
enum class ExitCode : int {
  done = 0,
  negative = 1,        ///< a negative answer: an error reply, no pong, a threshold missed
  usage = 2,           ///< the command line can't be understood
  unreachable = 3,     ///< nobody answers at the address
  protocol = 4,        ///< the peer broke the protocol
  timed_out = 124,     ///< a deadline passed
  failed = 125,        ///< the tool itself failed
  not_runnable = 126,  ///< the command was found and can't be run
  not_found = 127,     ///< the command was not found
};

constexpr int to_int(ExitCode code) {
  return static_cast<int>(code);
}

}  // namespace handoff
