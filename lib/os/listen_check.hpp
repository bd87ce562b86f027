// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <handoff/os/address.hpp>
#include <handoff/os/socket_address.hpp>

#include "os/listener.hpp"

namespace handoff {

/// Where listen_on() would listen.
struct ListenCheck {
  std::string text;
  bool is_in_use = false;  ///< a process, maybe the server that runs, listens there now
};

/// Finds out whether listen_on() would succeed, an address in use aside, and throws what it would
/// throw otherwise. Listens nowhere, takes no port and changes nothing in the file system.
/// Blocks while a name is looked up.
ListenCheck check_listen_on(const Address& address, const ListenOptions& options = {});

/// Returns whether a line of /proc/net/tcp or /proc/net/tcp6 is that of a listener which has this
/// address, or this port at all addresses.
bool is_line_of_listener(std::string_view line, const SocketAddress& address);

/// Returns whether a line of /proc/net/unix is that of a socket of this type with this name:
/// "@name" for an abstract one.
bool is_line_of_name(std::string_view line, std::string_view name, int type);

}  // namespace handoff
