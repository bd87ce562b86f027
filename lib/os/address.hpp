// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/socket_address.hpp>

namespace handoff {

/// An address as a person writes it: where to listen or to connect.
///
///     host:port   [v6]:port   [v6%zone]:port   :port (127.0.0.1)   unix:/path   /path   ./path
///     @abstract   fd:N        exec:COMMAND
struct Address {
  enum class Kind { tcp, unix_path, abstract, inherited, exec };

  Kind kind = Kind::tcp;
  std::string host;        ///< tcp
  std::uint16_t port = 0;  ///< tcp
  std::string name;        ///< unix_path: the path; abstract: the name; exec: the command
  int number = -1;         ///< inherited: the descriptor; an Address does not own it
  std::string text;        ///< as a person would write it again

  /// Reads an address, without a look at the network or the file system. Throws InvalidArgument,
  /// "TEXT: what is wrong and how it is written".
  static Address parse(std::string_view text);

  /// Returns the only kernel address, if no name has to be looked up for it: that of a Unix socket
  /// or of a numeric host. It is for tcp, unix_path and abstract only. Throws InvalidArgument when
  /// a path is too long for unix(7).
  std::optional<SocketAddress> without_lookup() const;
  /// Returns the kernel addresses of it (a host name can have several), best first, as
  /// getaddrinfo(3) orders them. It is for tcp, unix_path and abstract only. It blocks while a name
  /// is looked up, which Client::connect() does not; a numeric host never blocks. Throws
  /// Unreachable when the name is not known.
  std::vector<SocketAddress> resolve() const;
};

}  // namespace handoff
