// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "os/owned_name.hpp"

/// The three names of a named socket: its path, and next to it its lock and, while it is made, the
/// socket under another name.
namespace handoff {

/// Returns the path of the lock that decides who owns the path of a named socket.
std::string lock_of(const std::string& path);
/// Returns the path under which a named socket is made.
std::string beside_of(const std::string& path);

/// Throws InvalidArgument if a path is too long to listen on: the name under which the socket is
/// made must fit into an address too.
void check_length(const std::string& path);

/// Returns the error that `file`, a name next to `path`, belongs to another program.
SystemError in_the_way(const std::string& path, const std::string& file, int error_number);

/// A lock that this process has, and its file, which is removed with it.
struct PathLock {
  Fd file;
  OwnedName name;
};

/// Takes the lock of a path. Throws SystemError, with EADDRINUSE if another process has it.
PathLock lock_path(const std::string& path);

/// Returns the stale socket at `path`, which may be replaced, or nothing when the name is free.
/// Throws SystemError for anything else, which belongs to another process.
std::optional<FileIdentity> find_stale(const std::string& path);

/// Throws what check_length(), lock_path() and find_stale() would throw, or the making of the files
/// afterwards. Changes nothing in the file system. For an instant it shares the lock that a process
/// which was killed has left.
void check_path(const std::string& path);

/// Frees the name under which the socket at `path` is made, if a process that was killed has left a
/// socket there.
void remove_leftover(const std::string& beside, const std::string& path);

}  // namespace handoff
