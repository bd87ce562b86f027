// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "os/address.hpp"
#include "os/fd.hpp"

namespace handoff {

struct ListenOptions {
  int type = SOCK_STREAM;     ///< SOCK_STREAM or SOCK_SEQPACKET (Unix only)
  int backlog = 4096;         ///< cut by the kernel to net.core.somaxconn
  mode_t mode = 0600;         ///< of a named socket's file
  bool allow_public = false;  ///< whether an address that is not loopback is accepted
  bool blocking = false;      ///< for a listener that is made for another program
};

/// A listening socket. Non-blocking, close-on-exec; what it accepts inherits TCP_NODELAY.
///
/// A named socket's path is owned by a lock on PATH.lock for as long as this object lives, and
/// removed with it. The socket is bound beside the path with its final mode and renamed into
/// place, so nobody ever sees it with another mode, and there is no moment without a socket when
/// a stale one is replaced.
class Listener {
 public:
  Listener() = default;
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int fd() const { return fd_.get(); }
  /// The descriptor, now owned by the caller. A named socket's path stays ours to remove.
  Fd release() { return std::move(fd_); }
  /// The bound address, with the port that the kernel chose for ":0".
  const std::string& text() const { return text_; }
  /// The descriptor that holds the lock of a named socket's path; -1 for another listener.
  int lock() const { return lock_.get(); }
  /// Another process owns the listener now: its path is left alone.
  void disown() { path_.clear(), lock_name_.clear(); }
  /// Whether some process that shares the socket has shut it down.
  bool is_shut_down() const;
  /// Listens again when that has happened, on the same address. True when the same socket does, so
  /// that whoever has it can accept again; false when another took its place here. Throws
  /// SystemError.
  bool heal();
  /// An adopted listener's path is ours to remove from now on.
  void own();
  /// A listener of another process, which has disowned it or will. `lock` is not valid for one that
  /// has no path of its own; else `text` is that path.
  static Listener adopt(Fd listener, Fd lock, std::string text);

  /// Anybody on this host can connect, whatever the file modes: an abstract name.
  bool is_abstract() const { return text_.starts_with('@'); }

 private:
  friend Listener listen_on(const Address& address, const ListenOptions& options);

  Fd fd_;
  Fd lock_;
  std::string lock_name_;
  std::string path_;
  std::string text_;
};

/// Throws InvalidArgument for an address that needs `allow_public` and does not have it, and
/// SystemError for everything else: in use (also when the path has a live owner), a symlink or
/// a file that is no socket in the way, permission. A descriptor (fd:N) is taken as it is, and
/// must be listening.
Listener listen_on(const Address& address, const ListenOptions& options = {});

/// What one accept4(2) gave.
struct Accepted {
  enum class Outcome {
    connection,   ///< `fd` and `peer` are set
    would_block,  ///< nobody is waiting
    try_again,    ///< a connection was lost before it was accepted (accept(2): ECONNABORTED, ...)
    exhausted,    ///< out of descriptors or memory: pause, then try again
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

/// Whether it is a listening socket.
bool is_listening(int number);

/// Whether the other end of a Unix socket has read everything that was sent to it. When it reads a
/// message, this end becomes writable anew.
bool has_been_read(int number);

/// SO_TYPE, or nothing when `number` is no socket.
std::optional<int> socket_type(int number);

SocketAddress local_address(int socket);
/// An unset address (family 0) when there is no peer.
SocketAddress peer_address(int socket);

/// The user at the other end of a connected Unix socket when it connected (SO_PEERCRED).
uid_t peer_uid(int socket);

/// Whether the user at the other end of a Unix socket is our own or one of `allowed`.
bool is_allowed_peer(int socket, const std::vector<uid_t>& allowed);

}  // namespace handoff
