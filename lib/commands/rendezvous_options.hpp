// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "cli/tool.hpp"
#include "os/address.hpp"

namespace handoff {

/// Reads the word SOCKET: a path, "@abstract", "unix:PATH", "fd:N", or "-" for the descriptor
/// `dash`. Throws InvalidArgument for any other word and for a descriptor that is not a Unix
/// socket.
Address parse_socket(std::string_view word, int dash);

/// The options that fdsend and fdrecv share.
struct RendezvousOptions {
  /// Where the two meet: a path, an abstract name, or a descriptor; see parse_socket().
  Address socket;
  bool listen = false;  ///< listens rather than connects; a descriptor is used as it is
  bool wait = false;    ///< when connecting: waits until the socket exists
  mode_t mode = 0600;   ///< when listening: the mode of the socket's file
  std::vector<uid_t>
      allowed_uids;    ///< users that may be at the other end, besides the own and root
  Duration timeout{};  ///< for everything together; 0 is none
};

/// Adds -t/--timeout, --mode and --allow-uid to a tool. `options` must outlive the parsing.
void add_rendezvous_options(Tool& tool, RendezvousOptions& options);

}  // namespace handoff
