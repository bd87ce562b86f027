// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "os/connect_failure.hpp"
#include "os/socket_address.hpp"

namespace handoff {

/// The result of looking up the name of a host: addresses, all with port 0, or a failure.
struct HostLookup {
  std::vector<SocketAddress> addresses;  ///< best first
  std::optional<ConnectFailure> failure;
};

/// Asks the name service (getaddrinfo(3)). Blocks until it answers, which may take minutes if a
/// name server is down. Any thread may call it.
///
/// The failure for an unknown name may change: that of a container is known once the container
/// runs.
HostLookup look_up_host(const std::string& host);

}  // namespace handoff
