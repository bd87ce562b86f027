// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "os/socket_address.hpp"

namespace handoff {

/// Whether an attempt to connect that has failed may succeed later.
enum class Outlook : std::uint8_t {
  may_change,  ///< nobody listens yet, a backlog is full, a network or a host is down
  permanent,   ///< another kind of socket is there, the user may not connect, there is no folder
};

/// Why an attempt to connect has failed.
struct ConnectFailure {
  int error_number = 0;  ///< errno; 0 when a name could not be looked up
  std::string reason;    ///< "Connection refused"
  Outlook outlook = Outlook::may_change;
};

/// Explains the errno value of a socket(2) or connect(2) for `target`. Looks at the file system if
/// `target` is a path: a socket that is not there yet may come, one in a folder that is not there
/// does not; a file that is no socket refuses for ever.
ConnectFailure connect_failure(int error_number, const SocketAddress& target);

/// The failure of an attempt that nothing has answered until its deadline.
ConnectFailure no_answer();

}  // namespace handoff
