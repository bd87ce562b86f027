// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <string>
#include <utility>

#include "os/address.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/owned_name.hpp"

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
/// A named socket's path is owned by a lock on PATH.lock for as long as this object lives. Both
/// names are removed with the object if they still refer to its own socket and lock. The socket is
/// bound at PATH.new with its final mode and renamed into place: no client sees it with another
/// mode, and there is no moment without a socket when a stale one is replaced. A file at one of the
/// three names that handoff has not made is left alone, and is an error.
class Listener {
 public:
  Listener() = default;
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;

  int fd() const { return fd_.get(); }
  /// The descriptor, now owned by the caller. A named socket's path stays ours to remove.
  Fd release() { return std::move(fd_); }
  /// The bound address, with the port that the kernel chose for ":0".
  const std::string& text() const { return text_; }
  /// The descriptor that holds the lock of a named socket's path; -1 for another listener.
  int lock() const { return lock_.get(); }
  /// The file of a named socket, for adopt().
  FileIdentity file() const { return name_.file(); }
  /// Says whether this process or another that has the listener removes its names in the end.
  void set_owner(OwnedName::Owner owner);
  /// Whether some process that shares the socket has shut it down.
  bool is_shut_down() const;
  /// Listens again when that has happened, on the same address. True when the same socket does, so
  /// that whoever has it can accept again; false when another took its place here. Throws
  /// SystemError.
  bool heal();
  /// Takes a listener of another process that has no name in the file system, or whose name that
  /// process removes.
  static Listener adopt(Fd listener, std::string text);
  /// Takes a named socket of another process, which goes on owning the names until set_owner():
  /// `text` is the path, `lock` the descriptor of its lock, `file` what the path refers to.
  static Listener adopt(Fd listener, std::string text, Fd lock, FileIdentity file);

  /// Anybody on this host can connect, whatever the file modes: an abstract name.
  bool is_abstract() const { return text_.starts_with('@'); }

 private:
  friend Listener listen_on(const Address& address, const ListenOptions& options);

  // Destroyed from the last to the first: the names go while the socket is open and locked.
  Fd fd_;
  Fd lock_;
  OwnedName lock_name_;
  OwnedName name_;
  std::string text_;
};

/// An address that needs `allow_public` and does not have it: "cannot listen on 0.0.0.0:80: other
/// hosts could connect".
class NotLoopback : public InvalidArgument {
 public:
  explicit NotLoopback(const std::string& address);
};

/// Throws NotLoopback, InvalidArgument for an address that nothing can listen on, and
/// SystemError for everything else: in use (also when a process has the socket at the path, locked
/// or not), a symlink or a file that is no socket in the way, permission. It leaves nothing behind
/// then. A descriptor (fd:N) is taken as it is, and must be listening.
Listener listen_on(const Address& address, const ListenOptions& options = {});

}  // namespace handoff
