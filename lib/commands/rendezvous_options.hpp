// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "cli/tool.hpp"
#include "os/address.hpp"

namespace handoff {

/// The word SOCKET: a path, "@abstract", "fd:N", or "-" for `dash`. Throws InvalidArgument.
Address parse_socket(std::string_view word, int dash);

struct RendezvousOptions {
  Address socket;
  bool listen = false;              ///< else connect; a descriptor is used as it is
  bool wait = false;                ///< connecting: until the socket is there
  mode_t mode = 0600;               ///< listening: of the socket's file
  std::vector<uid_t> allowed_uids;  ///< besides our own and root, at the end of a named socket
  Duration timeout{};               ///< of everything; 0 is none
};

/// -t/--timeout, --mode and --allow-uid of fdsend and fdrecv.
void add_rendezvous_options(Tool& tool, RendezvousOptions& options);

}  // namespace handoff
