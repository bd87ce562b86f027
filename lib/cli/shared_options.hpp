// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>

#include "cli/tool.hpp"
#include "os/address_list.hpp"
#include "os/address_range.hpp"
#include "rpc/server_context.hpp"

/// Adds options that several tools have. The variables that they set must outlive the parsing.
namespace handoff {

/// Adds -l/--listen, which may be given several times, and --public. A tool adds its default
/// address itself.
void add_listen_options(Tool& tool, std::vector<Address>& listen, bool& allow_public);

/// Adds to `listen` the listeners that the service manager has passed to this process
/// (sd_listen_fds(3)): LISTEN_FDS descriptors from 3 on, if LISTEN_PID is this process. They are
/// not opened or changed here.
void add_inherited_listeners(std::vector<Address>& listen);

/// Takes over these listeners, and makes them non-blocking, for a program that is told by its
/// master when to accept from them. Throws SystemError.
std::vector<Fd> take_inherited_listeners();

/// Adds an option that takes the name of a Unix socket: a path with a slash in it, or @name.
CLI::Option* add_socket_name(Tool& tool, const std::string& names, std::optional<Address>& address,
                             const std::string& help);

/// Reads the address of a server to call from a word, or those of several with commas between them,
/// of which each will do. Throws InvalidArgument, also if it is fd:N
/// and that descriptor is not open for reading and writing. Call it before this process opens
/// anything, because one of its own descriptors would be accepted.
AddressList parse_servers(std::string_view word);

/// Returns the addresses that RPC_ADDR has, or nothing if that is not set or empty.
/// Throws InvalidArgument, which names the variable, as parse_servers() does.
std::optional<AddressList> servers_of_environment();

/// Adds --proxy-from, which may be given several times.
void add_proxy_from(Tool& tool, std::vector<AddressRange>& proxies);

/// Adds the options for the limits of what a client may make a server hold or wait for.
void add_session_options(Tool& tool, SessionLimits& limits);

/// Adds --max-frame, which is at most limits::kHighestMaxFrame.
void add_max_frame(Tool& tool, std::uint32_t& max_frame, const std::string& help);

/// Adds --allow-uid, for users at the other end of a socket; it may be given several times.
void add_allowed_uids(Tool& tool, std::vector<uid_t>& uids, const std::string& help);

}  // namespace handoff
