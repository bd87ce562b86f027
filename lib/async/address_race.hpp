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

/// The result of an attempt to connect: a socket or a failure.
struct ConnectOutcome {
  Fd socket;
  ConnectFailure failure;  ///< only meaningful without a socket
  bool timed_out = false;  ///< without a socket: the deadline passed while an attempt was under way
};

/// Makes a non-blocking, close-on-exec socket for `target`; `type` is SOCK_STREAM or the like. If
/// that fails, returns an invalid Fd and sets `failure`.
Fd try_make_socket(const SocketAddress& target, int type, ConnectFailure& failure);

/// How long one attempt runs before the next address is tried too (RFC 8305, section 5: the
/// Connection Attempt Delay).
inline constexpr Duration kAttemptDelay = std::chrono::milliseconds(250);

/// Connects to the addresses of one host, of which there must be at least one, and returns the
/// first socket that is connected (RFC 8305). The next address is tried `attempt_delay` after the
/// one before it, or at once when that has failed; IPv6 and IPv4 take turns. The failure names each
/// reason once, with an address. The sockets of the other attempts are closed.
///
/// A socket that is connected to itself counts as refused: a connect to a local port on which no
/// server listens can be given that very port for its own end.
///
/// Expected failures are results. Throws SystemError if epoll has no room. The reactor must outlive
/// the task.
Task<ConnectOutcome> race_addresses(Reactor& reactor, std::vector<SocketAddress> targets, int type,
                                    TimePoint deadline, Duration attempt_delay = kAttemptDelay);

}  // namespace handoff
