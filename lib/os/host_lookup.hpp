// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "os/connect_failure.hpp"
#include "os/socket_address.hpp"

namespace handoff {

/// What a lookup of a host's name has given: addresses, all with port 0, or a failure.
struct HostLookup {
  std::vector<SocketAddress> addresses;  ///< best first
  std::optional<ConnectFailure> failure;
};

/// Asks the name service (getaddrinfo(3)). Blocks for as long as that takes, which may be minutes
/// when a name server does not answer; may be called on any thread.
///
/// A name that is not known may change: that of a container is known once it runs.
HostLookup look_up_host(const std::string& host);

}  // namespace handoff
