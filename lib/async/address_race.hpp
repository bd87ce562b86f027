// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/connect_failure.hpp"
#include "os/fd.hpp"
#include "os/socket_address.hpp"

namespace handoff {

/// What an attempt to connect has given: a socket, or a failure.
struct ConnectOutcome {
  Fd socket;
  ConnectFailure failure;  ///< when there is no socket
  bool timed_out = false;  ///< the deadline has passed before there was another failure
};

/// A non-blocking socket for `target`; when that can't be made, an invalid one and `failure`.
Fd try_make_socket(const SocketAddress& target, int type, ConnectFailure& failure);

/// RFC 8305, section 5: the Connection Attempt Delay.
inline constexpr Duration kAttemptDelay = std::chrono::milliseconds(250);

/// Connects to the addresses of one host, and gives the first socket that is connected (RFC 8305):
/// the next address is tried `attempt_delay` after the one before it, or at once when that has
/// failed; IPv6 and IPv4 take turns. The failure names each reason once, with an address.
///
/// A socket that is connected to itself counts as refused: a connect to a port where nobody listens
/// can take that very port for its own end.
Task<ConnectOutcome> race_addresses(Reactor& reactor, std::vector<SocketAddress> targets, int type,
                                    TimePoint deadline, Duration attempt_delay = kAttemptDelay);

}  // namespace handoff
