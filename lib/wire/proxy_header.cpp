// SPDX-License-Identifier: MIT
#include "wire/proxy_header.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include <handoff/wire/limits.hpp>

namespace handoff {
namespace {

using Outcome = DecodedProxyHeader::Outcome;
using Family = ProxiedSource::Family;

constexpr std::string_view kLineStart = "PROXY ";
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixedSize = 16;  ///< the part of version 2 before the addresses
constexpr std::size_t kPathSize = 108;

DecodedProxyHeader malformed(std::string_view why) {
  return {.outcome = Outcome::malformed, .why = why};
}

/// Returns whether `bytes` are `start`, begin with it, or are a part of it.
bool may_begin(std::string_view bytes, std::string_view start) {
  const std::size_t common = std::min(bytes.size(), start.size());
  return bytes.substr(0, common) == start.substr(0, common);
}

std::uint16_t big_endian(std::string_view bytes) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[0]) << 8U |
                                    static_cast<unsigned char>(bytes[1]));
}

// Version 1.

/// Takes the next word of the line, which ends at exactly one space or with the line.
std::string_view take_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

/// Reads a decimal number without a zero in front.
std::optional<std::uint16_t> read_port(std::string_view word) {
  std::uint16_t port = 0;
  const char* end = word.data() + word.size();
  const auto read = std::from_chars(word.data(), end, port);
  const bool has_zero = word.size() > 1 && word.front() == '0';
  if (read.ec != std::errc() || read.ptr != end || has_zero) { return std::nullopt; }
  return port;
}

bool read_address(int family, std::string_view word, std::array<std::uint8_t, 16>& address) {
  return inet_pton(family, std::string(word).c_str(), address.data()) == 1 &&
         word.find('\0') == std::string_view::npos;
}

/// Decodes the words after "PROXY TCP4 " or "PROXY TCP6 ".
std::optional<ProxiedSource> read_words(int family, std::string_view line) {
  const auto spaces = std::count(line.begin(), line.end(), ' ');
  ProxiedSource source;
  source.family = family == AF_INET ? Family::ipv4 : Family::ipv6;
  std::array<std::uint8_t, 16> destination{};
  const bool has_addresses = spaces == 3 && read_address(family, take_word(line), source.address) &&
                             read_address(family, take_word(line), destination);
  if (!has_addresses) { return std::nullopt; }
  const auto port = read_port(take_word(line));
  if (!port || !read_port(take_word(line))) { return std::nullopt; }
  source.port = *port;
  return source;
}

/// A line feed ends the line, and only "\r\n" may.
DecodedProxyHeader decode_line(std::string_view bytes) {
  const std::size_t feed = bytes.substr(0, limits::kMaxProxyLine).find('\n');
  if (feed == std::string_view::npos) {
    if (bytes.size() >= limits::kMaxProxyLine) { return malformed("the line is too long"); }
    return {.outcome = Outcome::partial, .size = bytes.size()};
  }
  if (bytes[feed - 1] != '\r') { return malformed("the line does not end in CRLF"); }
  std::string_view line = bytes.substr(kLineStart.size(), feed - 1 - kLineStart.size());
  DecodedProxyHeader decoded{.outcome = Outcome::complete, .size = feed + 1};
  const std::string_view protocol = take_word(line);
  if (protocol == "UNKNOWN") { return decoded; }
  if (protocol != "TCP4" && protocol != "TCP6") { return malformed("the protocol is not known"); }
  auto source = read_words(protocol == "TCP4" ? AF_INET : AF_INET6, line);
  if (!source) { return malformed("the addresses of the line are not valid"); }
  decoded.source = std::move(*source);
  return decoded;
}

// Version 2.

/// Decodes the addresses of a stream; `family` is the number of the protocol.
std::optional<ProxiedSource> read_block(unsigned family, std::string_view block) {
  ProxiedSource source;
  const auto take_source = [&](Family of, std::size_t length) {
    if (block.size() < 2 * length + 4) { return false; }
    source.family = of;
    std::copy_n(block.begin(), length, source.address.begin());
    source.port = big_endian(block.substr(2 * length));
    return true;
  };
  switch (family) {
    case 1: return take_source(Family::ipv4, 4) ? std::optional(source) : std::nullopt;
    case 2: return take_source(Family::ipv6, 16) ? std::optional(source) : std::nullopt;
    default: break;
  }
  if (block.size() < 2 * kPathSize) { return std::nullopt; }
  const std::string_view path = block.substr(0, kPathSize);
  source.family = Family::unix_socket;
  source.path = path.substr(0, path.find_last_not_of('\0') + 1);
  return source;
}

DecodedProxyHeader decode_binary(std::string_view bytes) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  if (bytes.size() > 12 && (byte(12) >> 4U) != 2) { return malformed("the version is not known"); }
  if (bytes.size() > 12 && (byte(12) & 15U) > 1) { return malformed("the command is not known"); }
  if (bytes.size() > 13 && ((byte(13) >> 4U) > 3 || (byte(13) & 15U) > 2)) {
    return malformed("the family of the addresses is not known");
  }
  if (bytes.size() < kFixedSize) { return {.outcome = Outcome::partial, .size = bytes.size()}; }
  const std::size_t length = big_endian(bytes.substr(14));
  if (length > limits::kMaxProxyBlock) { return malformed("the block is too long"); }
  if (bytes.size() < kFixedSize + length) {
    return {.outcome = Outcome::partial, .size = bytes.size()};
  }
  DecodedProxyHeader decoded{.outcome = Outcome::complete, .size = kFixedSize + length};
  const unsigned family = byte(13) >> 4U;
  const bool tells_source = (byte(12) & 15U) == 1 && family != 0 && (byte(13) & 15U) == 1;
  if (!tells_source) { return decoded; }
  auto source = read_block(family, bytes.substr(kFixedSize, length));
  if (!source) { return malformed("the block is too short for its addresses"); }
  decoded.source = std::move(*source);
  return decoded;
}

}  // namespace

DecodedProxyHeader decode_proxy_header(std::string_view bytes) {
  if (bytes.empty()) { return {}; }
  if (may_begin(bytes, kLineStart)) { return decode_line(bytes); }
  if (may_begin(bytes, kSignature)) { return decode_binary(bytes); }
  return malformed("it begins in another way");
}

}  // namespace handoff
