// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "os/fd.hpp"
#include "os/socket_address.hpp"

namespace handoff {

/// What one accept4(2) gave.
struct Accepted {
  enum class Outcome {
    connection,   ///< `fd` and `peer` are set
    would_block,  ///< nobody is waiting
    try_again,    ///< a connection was lost before it was accepted (accept(2): ECONNABORTED, ...)
    exhausted,    ///< out of descriptors or memory, or refused: pause, then try again
    shut_down,    ///< the listener does not listen any more
  };
  Outcome outcome;
  Fd fd;
  SocketAddress peer;
  int error_number = 0;
};
/// Never blocks on a non-blocking listener. The new descriptor is close-on-exec and blocking.
/// Throws SystemError when the descriptor is none to accept from.
Accepted try_accept(int listener);

/// A connected pair of Unix sockets, close-on-exec, blocking.
std::pair<Fd, Fd> make_socket_pair(int type);

/// A new non-blocking, close-on-exec socket for `address`, TCP_NODELAY set where it exists.
Fd make_socket(const SocketAddress& address, int type = SOCK_STREAM);

/// After a connect() of a stream to `target` has failed with EADDRNOTAVAIL: whether that was for
/// want of a free local port. (Otherwise this host has no address of the target's family.)
bool is_out_of_local_ports(const SocketAddress& target);

/// Whether it is a listening socket.
bool is_listening(int number);

/// Whether the other end of a Unix socket has read everything that was sent to it. When it reads a
/// message, this end becomes writable anew.
bool has_been_read(int number);

/// setsockopt(2) with a number. Throws SystemError, which names the `attempt`.
void set_option(int socket, int level, int name, int value, std::string_view attempt);

/// Leaves urgent data of the peer (send(2), MSG_OOB) in its place among the other bytes of a
/// socket: without this the kernel takes a byte out, and a frame would wait for it for ever.
/// Nothing happens on a descriptor of another kind.
void keep_urgent_data(int number);

/// SO_TYPE, or nothing when `number` is no socket.
std::optional<int> socket_type(int number);

SocketAddress local_address(int socket);
/// An unset address (family 0) when there is no peer.
SocketAddress peer_address(int socket);

}  // namespace handoff
