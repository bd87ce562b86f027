// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  /// "127.0.0.1:8080", "[::1]:8080", "/run/x.sock", "@name", "unix" for an unnamed peer.
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

/// An address as a person writes it: where to listen or to connect.
///
///     host:port   [v6]:port   :port (127.0.0.1)   unix:/path   /path   ./path
///     @abstract   fd:N        exec:COMMAND
struct Address {
  enum class Kind { tcp, unix_path, abstract, inherited, exec };

  Kind kind = Kind::tcp;
  std::string host;        ///< tcp
  std::uint16_t port = 0;  ///< tcp
  std::string name;        ///< unix_path: the path; abstract: the name; exec: the command
  int number = -1;         ///< inherited: the descriptor
  std::string text;        ///< as a person would write it again

  /// Throws InvalidArgument, "TEXT: what is wrong and how it is written".
  static Address parse(std::string_view text);

  /// The kernel addresses behind it (a host name can have several), best first. Only for tcp,
  /// unix_path and abstract. Blocks while a name is looked up; a numeric host never blocks.
  /// Throws Unreachable when the name is not known.
  std::vector<SocketAddress> resolve() const;
};

}  // namespace handoff
