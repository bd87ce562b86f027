// SPDX-License-Identifier: MIT
#include "os/socket.hpp"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "os/error.hpp"

namespace handoff {
namespace {

SocketAddress name_of(int socket, int (*query)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (query(socket, reinterpret_cast<sockaddr*>(&storage), &size) < 0) { return {}; }
  return SocketAddress(reinterpret_cast<const sockaddr*>(&storage), size);
}

}  // namespace

Accepted try_accept(int listener) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* const peer = reinterpret_cast<sockaddr*>(&storage);
  Fd fd(accept4(listener, peer, &size, SOCK_CLOEXEC));
  if (!fd.valid() && is_refused(errno)) {
    // The seccomp profile may know only the older call. EPERM from a firewall concerned one
    // connection only.
    fd = Fd(accept(listener, peer, &size));
    if (fd.valid()) { set_close_on_exec(fd.get()); }
  }
  if (fd.valid()) {
    return {Accepted::Outcome::connection, std::move(fd), SocketAddress(peer, size), 0};
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
    case EINVAL: return {Accepted::Outcome::shut_down, {}, {}, error};
    case EBADF:
    case ENOTSOCK: throw SystemError(error, "accept a connection");
    default: return {Accepted::Outcome::exhausted, {}, {}, error};
  }
}

std::pair<Fd, Fd> make_socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0) {
    throw SystemError(errno, "create a socket pair");
  }
  return {Fd(ends[0]), Fd(ends[1])};
}

Fd make_socket(const SocketAddress& address, int type) {
  Fd fd(socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) { throw SystemError(errno, "create a socket"); }
  if (address.family() != AF_UNIX) {
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "set TCP_NODELAY");
  }
  return fd;
}

/// A connect(2) of a datagram socket chooses a local address in the same way, but takes its port
/// from other ones.
bool is_out_of_local_ports(const SocketAddress& target) {
  if (target.family() == AF_UNIX) { return false; }
  const Fd probe(socket(target.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return probe.valid() && connect(probe.get(), target.data(), target.size()) == 0;
}

bool is_listening(int number) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

bool has_been_read(int number) {
  // The kernel counts its own memory for a message, at least this much, and takes the last byte of
  // it off only after it has woken this process.
  constexpr int kLeastMessage = 256;
  int unread = 0;
  return ioctl(number, SIOCOUTQ, &unread) < 0 || unread < kLeastMessage;
}

void keep_urgent_data(int number) {
  const int on = 1;
  setsockopt(number, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

std::optional<int> socket_type(int number) {
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size) < 0) { return std::nullopt; }
  return type;
}

void set_option(int socket, int level, int name, int value, std::string_view attempt) {
  if (setsockopt(socket, level, name, &value, sizeof value) < 0) {
    throw SystemError(errno, attempt);
  }
}

SocketAddress local_address(int socket) {
  return name_of(socket, getsockname);
}

SocketAddress peer_address(int socket) {
  return name_of(socket, getpeername);
}

}  // namespace handoff
