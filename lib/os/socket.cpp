// SPDX-License-Identifier: MIT
#include "os/socket.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "os/error.hpp"

namespace handoff {
namespace {

void set_option(int socket, int level, int name, int value, std::string_view attempt) {
  if (setsockopt(socket, level, name, &value, sizeof value) < 0) {
    throw SystemError(errno, attempt);
  }
}

/// Beside a named socket stand its lock and, while it is made, the socket under another name.
constexpr std::string_view kLockSuffix = ".lock";
constexpr std::string_view kBesideSuffix = ".new";

std::string with_suffix(const std::string& path, std::string_view suffix) {
  return fmt::format("{}{}", path, suffix);
}

/// The name that it is made under must fit in an address too.
void check_length(const std::string& path) {
  constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1 - kBesideSuffix.size();
  if (path.size() <= kMost) return;
  throw InvalidArgument(
      fmt::format("listen, on {}: a path to listen on has at most {} bytes", path, kMost));
}

/// The lock that decides who owns a named socket's path. Its file is removed by the owner, so
/// after the lock was had, it must still be the file that the name leads to.
Fd lock_path(const std::string& path) {
  const std::string lock_name = with_suffix(path, kLockSuffix);
  for (;;) {
    Fd lock(open(lock_name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) throw SystemError(errno, "lock", lock_name);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
      throw SystemError(errno == EWOULDBLOCK ? EADDRINUSE : errno, "listen", path);
    }
    struct stat held {};
    struct stat named {};
    if (fstat(lock.get(), &held) == 0 && stat(lock_name.c_str(), &named) == 0 &&
        held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
      return lock;
    }
  }
}

/// A stale socket may be replaced; anything else in the way is somebody's.
void check_replaceable(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) < 0) {
    if (errno == ENOENT) return;
    throw SystemError(errno, "listen", path);
  }
  if (S_ISLNK(found.st_mode)) throw SystemError(ELOOP, "listen", path);
  if (!S_ISSOCK(found.st_mode)) throw SystemError(EEXIST, "listen", path);
}

/// Whoever finds the name can connect: the socket listens before it has that.
void listen_named(int socket, const std::string& path, mode_t mode, int backlog) {
  const std::string beside = with_suffix(path, kBesideSuffix);
  const SocketAddress address = SocketAddress::unix_path(beside);
  // bind(2) gives the file the mode of the socket's own inode: there is no moment in which the
  // file exists with another one.
  if (fchmod(socket, mode) < 0) throw SystemError(errno, "set the mode", path);
  unlink(beside.c_str());
  if (bind(socket, address.data(), address.size()) < 0) throw SystemError(errno, "listen", path);
  // The umask has cut the mode; what was asked for is exact.
  if (chmod(beside.c_str(), mode) < 0 || listen(socket, backlog) < 0 ||
      rename(beside.c_str(), path.c_str()) < 0) {
    const int error = errno;
    unlink(beside.c_str());
    throw SystemError(error, "listen", path);
  }
}

void check_listening(int socket, const std::string& text) {
  if (!socket_type(socket)) throw SystemError(errno, "listen", text);
  if (!is_listening(socket)) {
    throw InvalidArgument(
        fmt::format("listen, on {}: the descriptor is not a listening socket", text));
  }
}

void bind_address(int socket, const SocketAddress& wanted, const std::string& text) {
  if (wanted.family() != AF_UNIX) {
    set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1, "set SO_REUSEADDR");
  }
  // So that 0.0.0.0:80 and [::]:80 can be listened on together.
  if (wanted.family() == AF_INET6) {
    set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1, "set IPV6_V6ONLY");
  }
  if (bind(socket, wanted.data(), wanted.size()) < 0) throw SystemError(errno, "listen", text);
}

SocketAddress name_of(int socket, int (*query)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (query(socket, reinterpret_cast<sockaddr*>(&storage), &size) < 0) return {};
  return SocketAddress(reinterpret_cast<const sockaddr*>(&storage), size);
}

}  // namespace

Listener::~Listener() {
  if (!lock_.valid()) return;
  if (!path_.empty()) unlink(path_.c_str());
  if (!lock_name_.empty()) unlink(lock_name_.c_str());
}

Listener Listener::adopt(Fd fd, Fd lock, std::string text) {
  Listener listener;
  set_close_on_exec(fd.get(), true);
  listener.fd_ = std::move(fd);
  if (lock.valid()) {
    set_close_on_exec(lock.get(), true);
    listener.lock_ = std::move(lock);
  }
  listener.text_ = std::move(text);
  return listener;
}

void Listener::own() {
  if (!lock_.valid()) return;
  path_ = Address::parse(text_).name;
  lock_name_ = with_suffix(path_, kLockSuffix);
}

bool Listener::is_shut_down() const {
  pollfd asked{fd(), POLLRDHUP, 0};
  return poll(&asked, 1, 0) > 0 && (asked.revents & (POLLHUP | POLLRDHUP)) != 0;
}

bool Listener::heal() {
  const Address address = Address::parse(text_);
  const int type = socket_type(fd()).value_or(SOCK_STREAM);
  if (address.kind == Address::Kind::tcp && listen(fd(), ListenOptions().backlog) == 0) {
    // The kernel has kept a port that was asked for. One that it chose itself it has freed, and the
    // socket has another now.
    if (local_address(fd()).text() == text_) return true;
    shutdown(fd(), SHUT_RDWR);
  }
  const SocketAddress wanted = address.resolve().front();
  Fd fresh = make_socket(wanted, type);
  if (address.kind == Address::Kind::unix_path) {
    struct stat old {};
    if (!lock_.valid() || stat(address.name.c_str(), &old) < 0) {
      throw SystemError(EADDRINUSE, "listen", text_);  // it is not ours to replace
    }
    listen_named(fresh.get(), address.name, old.st_mode & 0777U, ListenOptions().backlog);
  } else {
    bind_address(fresh.get(), wanted, text_);
    if (listen(fresh.get(), ListenOptions().backlog) < 0) throw SystemError(errno, "listen", text_);
  }
  set_nonblocking(fresh.get(), (fcntl(fd(), F_GETFL) & O_NONBLOCK) != 0);
  fd_ = std::move(fresh);
  return false;
}

Listener listen_on(const Address& address, const ListenOptions& options) {
  Listener listener;
  if (address.kind == Address::Kind::inherited) {
    check_listening(address.number, address.text);
    set_close_on_exec(address.number, true);
    set_nonblocking(address.number);
    listener.fd_ = Fd(address.number);
    const SocketAddress bound = local_address(address.number);
    if (bound.family() != AF_UNIX) {
      set_option(address.number, IPPROTO_TCP, TCP_NODELAY, 1, "set TCP_NODELAY");
    }
    listener.text_ = bound.text();
    return listener;
  }
  if (address.kind == Address::Kind::exec) {
    throw InvalidArgument(
        fmt::format("listen, on {}: a command can't be listened on", address.text));
  }

  const SocketAddress wanted = address.resolve().front();
  if (!wanted.is_loopback() && !options.allow_public) {
    throw InvalidArgument(fmt::format(
        "listen, on {}: other hosts could connect; add --public if they shall", address.text));
  }
  listener.fd_ = make_socket(wanted, options.type);
  const int socket = listener.fd_.get();
  if (address.kind == Address::Kind::unix_path) {
    check_length(address.name);
    listener.lock_ = lock_path(address.name);
    listener.lock_name_ = with_suffix(address.name, kLockSuffix);
    check_replaceable(address.name);
    listen_named(socket, address.name, options.mode, options.backlog);
    listener.path_ = address.name;
  } else {
    bind_address(socket, wanted, address.text);
    if (listen(socket, options.backlog) < 0) throw SystemError(errno, "listen", address.text);
  }
  if (options.blocking) set_nonblocking(socket, false);
  listener.text_ = wanted.family() == AF_UNIX ? address.text : local_address(socket).text();
  return listener;
}

Accepted try_accept(int listener) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  const int fd = accept4(listener, reinterpret_cast<sockaddr*>(&storage), &size, SOCK_CLOEXEC);
  if (fd >= 0) {
    return {Accepted::Outcome::connection, Fd(fd),
            SocketAddress(reinterpret_cast<const sockaddr*>(&storage), size), 0};
  }
  const int error = errno;
  switch (error) {
    case EAGAIN: return {Accepted::Outcome::would_block, {}, {}, error};
    // accept(2) reports pending errors of the new connection as its own.
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM: return {Accepted::Outcome::try_again, {}, {}, error};
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return {Accepted::Outcome::exhausted, {}, {}, error};
    case EINVAL: return {Accepted::Outcome::shut_down, {}, {}, error};
    default: throw SystemError(error, "accept");
  }
}

std::pair<Fd, Fd> make_socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0) {
    throw SystemError(errno, "socketpair");
  }
  return {Fd(ends[0]), Fd(ends[1])};
}

Fd make_socket(const SocketAddress& address, int type) {
  Fd fd(socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) throw SystemError(errno, "socket");
  if (address.family() != AF_UNIX) {
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "set TCP_NODELAY");
  }
  return fd;
}

bool is_listening(int number) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

bool has_been_read(int number) {
  // The kernel counts its own memory for a message, at least so much, and takes the last byte of it
  // off only after it has woken us.
  constexpr int kLeastMessage = 256;
  int unread = 0;
  return ioctl(number, SIOCOUTQ, &unread) < 0 || unread < kLeastMessage;
}

std::optional<int> socket_type(int number) {
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return std::nullopt;
  return type;
}

SocketAddress local_address(int socket) {
  return name_of(socket, getsockname);
}

SocketAddress peer_address(int socket) {
  return name_of(socket, getpeername);
}

uid_t peer_uid(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) {
    throw SystemError(errno, "ask for the peer's user");
  }
  return credentials.uid;
}

bool is_allowed_peer(int socket, const std::vector<uid_t>& allowed) {
  const uid_t uid = peer_uid(socket);
  return uid == geteuid() || std::find(allowed.begin(), allowed.end(), uid) != allowed.end();
}

}  // namespace handoff
