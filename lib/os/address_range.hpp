// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/socket_address.hpp>

namespace handoff {

/// The addresses that begin with the same bits, or all Unix sockets.
class AddressRange {
 public:
  /// Reads a range as a person writes it: "10.0.0.0/8", "fd00::/8", a single address, or "unix". An
  /// IPv4 range that is mapped into IPv6 is that IPv4 range. Throws InvalidArgument, "TEXT: what is
  /// wrong and how it is written".
  static AddressRange parse(std::string_view text);
  /// Returns the text that was read.
  const std::string& text() const { return text_; }

  /// Returns whether the address is in the range. An IPv4 address that is mapped into IPv6 counts
  /// as an IPv4 address. An address of family 0 is in none.
  bool contains(const SocketAddress& address) const;

 private:
  using Bytes = std::array<std::uint8_t, 16>;

  int family_ = 0;     ///< AF_INET, AF_INET6 or AF_UNIX
  unsigned bits_ = 0;  ///< how many bits of the address count
  Bytes address_{};    ///< in network byte order; IPv4 has the first four
  std::string text_;
};

/// Returns the texts of the ranges, with a space between each two, as parse_ranges() reads them.
std::string text_of(std::span<const AddressRange> ranges);
/// Reads ranges with spaces between them. Throws InvalidArgument as AddressRange::parse() does.
std::vector<AddressRange> parse_ranges(std::string_view text);

/// Returns whether one of the ranges contains the address.
bool any_contains(std::span<const AddressRange> ranges, const SocketAddress& address);

}  // namespace handoff
