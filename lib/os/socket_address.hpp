// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace handoff {

/// An address as the kernel has it: IPv4, IPv6 or Unix. A copy is independent and owns no resource.
class SocketAddress {
 public:
  /// No address: its family is 0.
  SocketAddress() = default;
  /// Copies an address as accept(2) or getsockname(2) gives it, of at most sizeof(sockaddr_un)
  /// bytes.
  SocketAddress(const sockaddr* address, socklen_t length);
  /// The address of a Unix socket that is a file. Throws InvalidArgument when the path is empty or
  /// exceeds the 107 bytes of unix(7).
  static SocketAddress unix_path(std::string_view path);
  /// The address of a Unix socket with this abstract name, which is given without its leading NUL
  /// byte. Throws InvalidArgument when the name is too long.
  static SocketAddress unix_abstract(std::string_view name);

  /// AF_INET, AF_INET6, AF_UNIX, or 0.
  int family() const { return storage_.generic.sa_family; }
  /// What connect(2) and bind(2) take. The address stays this object's.
  const sockaddr* data() const { return &storage_.generic; }
  socklen_t size() const { return size_; }
  /// Returns whether only this host can reach it: IPv4 127/8, also mapped into IPv6, ::1, and every
  /// Unix address.
  bool is_loopback() const;
  /// The port in the host's byte order, which set_port() takes too; 0 for a Unix address.
  std::uint16_t port() const;
  void set_port(std::uint16_t port);
  /// Writes the address as a person would: "127.0.0.1:8080", "[::1]:8080", "[fe80::1%eth0]:8080",
  /// "/run/x.sock", "@name", "unix" for an unnamed peer. An IPv4 address that is mapped into IPv6,
  /// as a listener for both has them, is written as an IPv4 address.
  std::string text() const;

 private:
  union {
    sockaddr_un local;  // the largest comes first: only the first is zeroed
    sockaddr generic;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_{};
  socklen_t size_ = 0;
};

}  // namespace handoff
