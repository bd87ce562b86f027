// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Decodes the header with which a proxy begins a connection that it makes for a client: versions 1
/// and 2 of the PROXY protocol (HAProxy's doc/proxy-protocol.txt, whose terms are used here).
/// Nothing here does I/O.
namespace handoff {

/// The source of a connection, as its proxy tells it.
struct ProxiedSource {
  enum class Family : std::uint8_t {
    none,  ///< the proxy tells no address (LOCAL, UNKNOWN, UNSPEC, a datagram): the socket's counts
    ipv4,
    ipv6,
    unix_socket,
  };
  Family family = Family::none;
  std::array<std::uint8_t, 16> address{};  ///< in network byte order; the first four if ipv4
  std::uint16_t port = 0;                  ///< in the host's byte order
  std::string path{};  ///< of unix_socket, as sockaddr_un has it, without the zero bytes at its end
};

/// The result of decode_proxy_header().
struct DecodedProxyHeader {
  enum class Outcome : std::uint8_t { complete, partial, malformed };
  Outcome outcome = Outcome::partial;
  /// How many of the bytes belong to the header: its size if it is complete, and as many as are
  /// sure to belong to it if it is partial, which may be all.
  std::size_t size = 0;
  ProxiedSource source{};  ///< if it is complete
  std::string_view why{};  ///< if it is malformed: a phrase that says what is wrong
};

/// Decodes the header at the beginning of `bytes`. A header is at most limits::kMaxProxyLine bytes
/// in version 1, and 16 and limits::kMaxProxyBlock in version 2.
DecodedProxyHeader decode_proxy_header(std::string_view bytes);

}  // namespace handoff
