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
  SocketAddress() = default;
  /// Copies `length` bytes of an address that the kernel has returned.
  SocketAddress(const sockaddr* address, socklen_t length);
  /// Makes the address of a path. Throws InvalidArgument if the path is empty or longer than the
  /// 107 bytes of unix(7).
  static SocketAddress unix_path(std::string_view path);
  /// Makes an abstract address from its name without the leading NUL byte. Throws InvalidArgument
  /// as unix_path() does.
  static SocketAddress unix_abstract(std::string_view name);

  int family() const { return storage_.generic.sa_family; }
  const sockaddr* data() const { return &storage_.generic; }
  socklen_t size() const { return size_; }
  /// Returns whether only this host can reach the address: IPv4 127/8, also mapped into IPv6, ::1,
  /// and every Unix address.
  bool is_loopback() const;
  /// Returns the port; 0 for a Unix address, whose port set_port() does not change.
  std::uint16_t port() const;
  void set_port(std::uint16_t port);
  /// Returns the address as text: "127.0.0.1:8080", "[::1]:8080", "[fe80::1%eth0]:8080",
  /// "/run/x.sock", "@name", or "unix" for an unnamed peer. An IPv4 address that is mapped into
  /// IPv6, as a listener for both reports them, is shown as an IPv4 address.
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
