// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "os/socket_address.hpp"

namespace handoff {

/// Says whether a failed attempt to connect may succeed later.
enum class Outlook : std::uint8_t {
  may_change,  ///< no process listens yet, a backlog is full, a network or a host is down
  permanent,   ///< the socket has another type, the user may not connect, the folder does not exist
};

/// Why an attempt to connect has failed.
struct ConnectFailure {
  int error_number = 0;  ///< errno; 0 if a name could not be looked up
  std::string reason;    ///< "Connection refused"
  Outlook outlook = Outlook::may_change;
};

/// Explains the errno value of a socket(2) or connect(2) for `target`. Examines the file system if
/// `target` is a path: a socket that does not exist may still be made, but not in a folder that
/// does not exist; a file that is no socket refuses for ever.
ConnectFailure connect_failure(int error_number, const SocketAddress& target);

/// Returns the failure of an attempt that nothing has answered until its deadline.
ConnectFailure no_answer();

}  // namespace handoff
