// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include <handoff/os/address.hpp>

#include "os/listen_check.hpp"
#include "os/listener.hpp"

namespace handoff {

/// Listens on each kernel address of `address`, which can have several if it is a host name; see
/// listen_on() for what it throws. An address that this host does not have (IPv6 may be off) is
/// left out, unless there is no other. With port 0 all of them get the port that the first one
/// gets. Blocks while the name is looked up.
std::vector<Listener> listen_on_all(const Address& address, const ListenOptions& options = {});

/// Does the same for TCP addresses that were looked up, of which there must be at least one. Does
/// not block.
std::vector<Listener> listen_on_each(std::vector<SocketAddress> addresses,
                                     const ListenOptions& options = {});

/// Does for each kernel address what check_listen_on() does, and leaves out the same ones.
std::vector<ListenCheck> check_listen_on_all(const Address& address,
                                             const ListenOptions& options = {});

/// Returns the kernel addresses of a name, each once, in their order. Blocks and throws as
/// Address::resolve() does.
std::vector<SocketAddress> distinct_addresses(const Address& address);

}  // namespace handoff
