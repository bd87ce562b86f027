// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <handoff/os/socket_address.hpp>

#include "wire/proxy_header.hpp"

namespace handoff {

/// Returns the address that a proxy has told, or `own`, that of the proxy, if it has told none;
/// nothing if it is a path that is not UTF-8 or has control characters, because such a text must
/// not reach logs and environments.
std::optional<SocketAddress> peer_of(const ProxiedSource& source, const SocketAddress& own);

}  // namespace handoff
