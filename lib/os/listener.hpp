// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <string>
#include <utility>

#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/os/socket_address.hpp>

#include "os/owned_name.hpp"

namespace handoff {

/// How a listener is made.
struct ListenOptions {
  int type = SOCK_STREAM;     ///< SOCK_STREAM or SOCK_SEQPACKET (Unix only)
  int backlog = 4096;         ///< the kernel limits it to net.core.somaxconn
  mode_t mode = 0600;         ///< the mode of a named socket's file, whatever the umask
  bool allow_public = false;  ///< accepts an address that is not loopback
  bool blocking = false;      ///< makes it blocking, for another program
};

/// A listening socket, non-blocking and close-on-exec. The sockets that it accepts inherit
/// TCP_NODELAY.
///
/// A named socket's path is owned by a lock on PATH.lock for as long as this object lives. Both
/// names are removed with the object if they still refer to its own socket and lock. The socket is
/// bound at PATH.new with its final mode and then renamed: no client sees it with another mode, and
/// the path always refers to a socket while a stale one is replaced. A file at one of the three
/// names that handoff has not made is left alone, and is an error.
class Listener {
 public:
  Listener() = default;
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;

  int fd() const { return fd_.get(); }
  /// Returns the descriptor, which the caller then owns. This object still removes a named socket's
  /// path.
  Fd release() { return std::move(fd_); }
  /// Returns the bound address, with the port that the kernel chose for ":0".
  const std::string& text() const { return text_; }
  /// Returns the descriptor that holds the lock of a named socket's path, still owned here; -1 for
  /// any other listener.
  int lock() const { return lock_.get(); }
  /// Returns the file of a named socket, for adopt() in another process.
  FileIdentity file() const { return name_.file(); }
  /// Sets whether this process or another one that has the listener removes its names in the end.
  void set_owner(OwnedName::Owner owner);
  /// Returns whether a process that shares the socket has shut it down (shutdown(2)). Does not
  /// block.
  bool is_shut_down() const;
  /// Listens on the same address again after is_shut_down(). Returns true if the same socket
  /// listens, so that every process that has it can accept again, and false if another socket took
  /// its place in this object. Throws SystemError.
  bool heal();
  /// Takes over a listener that has no name in the file system, or whose name another process
  /// removes. Throws SystemError.
  static Listener adopt(Fd listener, std::string text);
  /// Takes over a named socket of another process, which owns the names until set_owner(): `text`
  /// is the path, `lock` the descriptor of its lock, `file` what the path refers to. Throws
  /// SystemError.
  static Listener adopt(Fd listener, std::string text, Fd lock, FileIdentity file);

  /// Returns whether any user of this host can connect whatever the file modes, as to an abstract
  /// name.
  bool is_abstract() const { return text_.starts_with('@'); }

 private:
  friend Listener listen_on(const Address& address, const ListenOptions& options);

  // Members are destroyed from the last to the first: the names go while the socket is open and
  // locked.
  Fd fd_;
  Fd lock_;
  OwnedName lock_name_;
  OwnedName name_;
  std::string text_;
};

/// Thrown for an address that needs `allow_public` and does not have it: "cannot listen on
/// 0.0.0.0:80: other hosts could connect".
class NotLoopback : public InvalidArgument {
 public:
  explicit NotLoopback(const std::string& address);
};

/// Returns the kernel address on which listen_on() listens: the best one of a name, whose look-up
/// blocks. Throws what listen_on() throws for an address that is no one's to listen on. `address`
/// is no descriptor.
SocketAddress address_to_listen_on(const Address& address, const ListenOptions& options);
/// Throws what listen_on() throws if the descriptor is no listening socket.
void check_inherited(const Address& address);

/// Listens on `address`. Blocks while a name is looked up, of which only the best address is used.
/// A descriptor (fd:N) must be listening; it is taken over and made non-blocking and close-on-exec.
///
/// Throws NotLoopback, InvalidArgument for an address that nothing can listen on, Unreachable for a
/// name that is not known, and SystemError for everything else: an address in use (also if a
/// process has the socket at the path, locked or not), a symlink or a file that is no socket in the
/// way, a missing permission. It leaves nothing in the file system then.
Listener listen_on(const Address& address, const ListenOptions& options = {});

}  // namespace handoff
