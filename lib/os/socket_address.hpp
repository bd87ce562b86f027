// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace handoff {

/// An address as the kernel knows it: IPv4, IPv6 or Unix.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t length);
  /// Throws InvalidArgument when the path is empty or exceeds the 107 bytes of unix(7).
  static SocketAddress unix_path(std::string_view path);
  /// The abstract name, without its leading NUL byte.
  static SocketAddress unix_abstract(std::string_view name);

  int family() const { return storage_.generic.sa_family; }
  const sockaddr* data() const { return &storage_.generic; }
  socklen_t size() const { return size_; }
  /// IPv4 127/8, ::1, the former mapped into IPv6, and every Unix address.
  bool is_loopback() const;
  /// 0 for a Unix address.
  std::uint16_t port() const;
  void set_port(std::uint16_t port);
  /// "127.0.0.1:8080", "[::1]:8080", "[fe80::1%eth0]:8080", "/run/x.sock", "@name", "unix" for an
  /// unnamed peer. An IPv4 address that is mapped into IPv6, as a listener for both has them, is an
  /// IPv4 address.
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
