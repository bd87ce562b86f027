// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/socket_address.hpp"

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
  int number = -1;         ///< inherited: the descriptor
  std::string text;        ///< the address as a person would write it

  /// Reads an address. Looks nothing up and opens nothing. Throws InvalidArgument, "TEXT: what is
  /// wrong and how it is written".
  static Address parse(std::string_view text);

  /// Returns the kernel address if no name has to be looked up for it: that of a Unix socket or of
  /// a numeric host. Only for tcp, unix_path and abstract.
  std::optional<SocketAddress> without_lookup() const;
  /// Returns the kernel addresses that it stands for, best first; a host name can have several.
  /// Only for tcp, unix_path and abstract. Blocks while a name is looked up, which Resolver avoids;
  /// a numeric host never blocks. Throws Unreachable if the lookup fails.
  std::vector<SocketAddress> resolve() const;
};

}  // namespace handoff
