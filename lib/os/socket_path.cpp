// SPDX-License-Identifier: MIT
#include "os/socket_path.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>

#include "os/socket.hpp"

namespace handoff {
namespace {

constexpr std::string_view kLockSuffix = ".lock";
constexpr std::string_view kBesideSuffix = ".new";

/// The mode of a lock. An empty file of the own user with this mode counts as a lock whose owner
/// was killed; any other file belongs to another program.
constexpr mode_t kLockMode = 0600;

bool is_lock(const struct stat& found) {
  return S_ISREG(found.st_mode) && (found.st_mode & 07777U) == kLockMode && found.st_size == 0 &&
         found.st_uid == geteuid();
}

/// Opens a lock file that exists; the result is invalid if the file has gone meanwhile.
Fd open_lock(const std::string& path, const std::string& lock_name) {
  struct stat found {};
  if (lstat(lock_name.c_str(), &found) == 0 && !S_ISREG(found.st_mode)) {
    throw in_the_way(path, lock_name, S_ISLNK(found.st_mode) ? ELOOP : EEXIST);
  }
  Fd lock(open(lock_name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!lock.valid() && errno != ENOENT) { throw SystemError(errno, "lock", lock_name); }
  return lock;
}

/// Finds out whether a process has the socket that `path` refers to. A connection would use up a
/// listener that accepts only one, so this function connects with a socket of a type that cannot
/// connect to a stream: unix(7) then reports EPROTOTYPE for a socket that is open, ECONNREFUSED for
/// a stale one. Returns 0 for a stale one, EADDRINUSE for one that is open, and otherwise why it
/// cannot be found out.
int look_for_owner(const std::string& path) {
  const SocketAddress address = SocketAddress::unix_path(path);
  const Fd probe = make_socket(address, SOCK_DGRAM);
  const int error = connect(probe.get(), address.data(), address.size()) == 0 ? 0 : errno;
  switch (error) {
    case ECONNREFUSED:
    case ENOENT: return 0;
    case 0:  // a datagram socket
    case EPERM:
    case EPROTOTYPE: return EADDRINUSE;
    default: return error;
  }
}

/// Throws what lock_path() would throw.
void check_lock(const std::string& path) {
  const std::string lock_name = lock_of(path);
  const Fd lock = open_lock(path, lock_name);
  if (!lock.valid()) {
    if (const int error = error_of_making(lock_name)) {
      throw SystemError(error, "lock", lock_name);
    }
    return;
  }
  struct stat held {};
  if (fstat(lock.get(), &held) < 0) { throw SystemError(errno, "lock", lock_name); }
  if (flock(lock.get(), LOCK_SH | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK) { throw SystemError(EADDRINUSE, "listen on", path); }
    throw SystemError(errno, "lock", lock_name);
  }
  if (!is_lock(held)) { throw in_the_way(path, lock_name, EEXIST); }
}

/// Returns the socket that a process which was killed has left at `beside`. Throws if another file
/// is there.
std::optional<FileIdentity> find_leftover(const std::string& beside, const std::string& path) {
  struct stat found {};
  if (lstat(beside.c_str(), &found) < 0) {
    return std::nullopt;  // bind(2) reports what else is wrong
  }
  if (!S_ISSOCK(found.st_mode) || look_for_owner(beside) != 0) {
    throw in_the_way(path, beside, EEXIST);
  }
  return FileIdentity::of(found);
}

}  // namespace

std::string lock_of(const std::string& path) {
  return fmt::format("{}{}", path, kLockSuffix);
}

std::string beside_of(const std::string& path) {
  return fmt::format("{}{}", path, kBesideSuffix);
}

void check_length(const std::string& path) {
  constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1 - kBesideSuffix.size();
  if (path.size() <= kMost) { return; }
  throw InvalidArgument(
      fmt::format("cannot listen on {}: a path to listen on has at most {} bytes", path, kMost));
}

SystemError in_the_way(const std::string& path, const std::string& file, int error_number) {
  return SystemError::sentence(error_number,
                               fmt::format("cannot listen on {}: the file {} is in the way "
                                           "(remove it if nothing needs it)",
                                           path, file));
}

/// Takes the lock that decides who owns a named socket's path. Its file is removed by the owner, so
/// the locked file must still be the one that the name refers to.
PathLock lock_path(const std::string& path) {
  const std::string lock_name = lock_of(path);
  for (;;) {
    Fd lock(open(lock_name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kLockMode));
    const bool is_new = lock.valid();
    if (is_new) {
      fchmod(lock.get(), kLockMode);  // the umask may have reduced it
    } else {
      if (errno != EEXIST) { throw SystemError(errno, "lock", lock_name); }
      lock = open_lock(path, lock_name);
      if (!lock.valid()) { continue; }
    }
    struct stat held {};
    if (fstat(lock.get(), &held) < 0) { throw SystemError(errno, "lock", lock_name); }
    OwnedName name(lock_name, FileIdentity::of(held), OwnedName::Owner::another_process);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
      const int error = errno;
      if (error == EWOULDBLOCK) { throw SystemError(EADDRINUSE, "listen on", path); }
      if (is_new) { name.set_owner(OwnedName::Owner::this_process); }
      throw SystemError(error, "lock", lock_name);
    }
    if (!name.is_in_place()) { continue; }
    if (!is_new && !is_lock(held)) { throw in_the_way(path, lock_name, EEXIST); }
    name.set_owner(OwnedName::Owner::this_process);
    return {std::move(lock), std::move(name)};
  }
}

std::optional<FileIdentity> find_stale(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) < 0) {
    if (errno == ENOENT) { return std::nullopt; }
    throw SystemError(errno, "listen on", path);
  }
  if (S_ISLNK(found.st_mode)) { throw SystemError(ELOOP, "listen on", path); }
  if (!S_ISSOCK(found.st_mode)) { throw SystemError(EEXIST, "listen on", path); }
  if (const int error = look_for_owner(path)) { throw SystemError(error, "listen on", path); }
  return FileIdentity::of(found);
}

void check_path(const std::string& path) {
  check_length(path);
  check_lock(path);
  (void)find_stale(path);
  (void)find_leftover(beside_of(path), path);
  if (const int error = error_of_making(path)) { throw SystemError(error, "listen on", path); }
}

void remove_leftover(const std::string& beside, const std::string& path) {
  const auto leftover = find_leftover(beside, path);
  if (leftover) { const OwnedName removed(beside, *leftover); }
}

}  // namespace handoff
