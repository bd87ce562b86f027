// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "os/address.hpp"
#include "os/listener.hpp"

namespace handoff {

/// Listens on each kernel address of `address`, a host name of which can have several; see
/// listen_on() for what it throws. An address that this host does not have (IPv6 may be off) is
/// left out, unless there is no other. With port 0 all of them get the port that the first gets.
/// Blocks while the name is looked up.
std::vector<Listener> listen_on_all(const Address& address, const ListenOptions& options = {});

/// The same for addresses of TCP that were looked up; there is at least one.
std::vector<Listener> listen_on_each(std::vector<SocketAddress> addresses,
                                     const ListenOptions& options = {});

/// The kernel addresses of a name, each once, in their order. Blocks as Address::resolve() does,
/// and throws the same.
std::vector<SocketAddress> distinct_addresses(const Address& address);

}  // namespace handoff
