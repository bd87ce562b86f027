// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "os/fd.hpp"
#include "os/socket_address.hpp"

namespace handoff {

/// The result of one accept4(2).
struct Accepted {
  enum class Outcome {
    connection,   ///< `fd` and `peer` are set
    would_block,  ///< no connection waits
    try_again,    ///< one connection was lost before it was accepted (accept(2): ECONNABORTED, ...)
    exhausted,    ///< out of descriptors or memory, or refused: pause, then try again
    shut_down,    ///< the listener listens no more
  };
  Outcome outcome;
  Fd fd;
  SocketAddress peer;
  int error_number = 0;
};
/// Accepts one connection. Never blocks on a non-blocking listener. The new descriptor is
/// close-on-exec and blocking, and the caller owns it. Throws SystemError if the descriptor is not
/// one to accept from.
Accepted try_accept(int listener);

/// Makes a connected pair of Unix sockets, close-on-exec and blocking. Throws SystemError.
std::pair<Fd, Fd> make_socket_pair(int type);

/// Makes a non-blocking, close-on-exec socket for `address`, with TCP_NODELAY if it is not a Unix
/// one. Throws SystemError.
Fd make_socket(const SocketAddress& address, int type = SOCK_STREAM);

/// Call this after a connect(2) of a stream to `target` has failed with EADDRNOTAVAIL. Returns
/// whether no local port was free; otherwise this host has no address of the target's family.
bool is_out_of_local_ports(const SocketAddress& target);

/// Returns whether `number` is a listening socket.
bool is_listening(int number);

/// Returns whether the other end of a Unix socket has read everything that was sent to it. When it
/// reads a message, epoll reports this end as writable again.
bool has_been_read(int number);

/// Calls setsockopt(2) with a number. Throws SystemError with `attempt`.
void set_option(int socket, int level, int name, int value, std::string_view attempt);

/// Leaves urgent data of the peer (send(2), MSG_OOB) among the other bytes of a socket: otherwise
/// the kernel takes one byte out, and a frame would wait for it for ever. Does nothing for another
/// kind of descriptor.
void keep_urgent_data(int number);

/// Returns the type of a socket (SO_TYPE), or nothing if `number` is not a socket.
std::optional<int> socket_type(int number);

/// Returns the address of this end. It is unset (family 0) if `socket` is not a socket.
SocketAddress local_address(int socket);
/// Returns the address of the other end. It is unset (family 0) if there is no peer.
SocketAddress peer_address(int socket);

}  // namespace handoff
