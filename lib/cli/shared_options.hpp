// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/tool.hpp"
#include "os/address.hpp"
#include "os/fd.hpp"
#include "rpc/server_context.hpp"

/// Options that several tools have.
namespace handoff {

/// -l/--listen (repeatable) and --public. The server tools' default address is theirs to add.
void add_listen_options(Tool& tool, std::vector<Address>& listen, bool& allow_public);

/// Adds the listeners that the service manager passed to this process (sd_listen_fds(3)):
/// LISTEN_FDS descriptors from 3 on, when LISTEN_PID is ours.
void add_inherited_listeners(std::vector<Address>& listen);

/// The same, for a program that is told by its master when to accept from them.
std::vector<Fd> take_inherited_listeners();

/// An option that takes the name of a Unix socket: a path with a slash in it, or @name.
CLI::Option* add_socket_name(Tool& tool, const std::string& names, std::optional<Address>& address,
                             const std::string& help);

/// The address of a server to call, from a word. Throws InvalidArgument, also when it is fd:N and
/// that is not open for reading and writing. Call it before this process opens anything: its own
/// descriptors would do.
Address parse_server(std::string_view word);

/// What a client may make a server hold or wait for. `mark` goes before each explanation.
void add_session_options(Tool& tool, SessionLimits& limits, const std::string& mark = "");

/// --max-frame, which is at most limits::kHighestMaxFrame.
void add_max_frame(Tool& tool, std::uint32_t& max_frame, const std::string& help);

/// --allow-uid, whose users are at the other end of a socket.
void add_allowed_uids(Tool& tool, std::vector<uid_t>& uids, const std::string& help);

}  // namespace handoff
