// SPDX-License-Identifier: MIT
#include "os/address_range.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include <handoff/os/error.hpp>

#include "os/parse_number.hpp"

namespace handoff {
namespace {

constexpr unsigned kV4Bits = 32;
constexpr unsigned kV6Bits = 128;
constexpr unsigned kMappedBits = 96;

/// What the address of an IPv4 host begins with in IPv6.
constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

bool is_mapped(const std::array<std::uint8_t, 16>& address) {
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

/// Makes the last four bytes, an IPv4 address, the first.
void unmap(std::array<std::uint8_t, 16>& address) {
  const std::array<std::uint8_t, 16> mapped = address;
  address = {};
  std::copy(mapped.begin() + kMapped.size(), mapped.end(), address.begin());
}

/// Returns whether two addresses have the same first bits.
bool same_bits(const std::array<std::uint8_t, 16>& left, const std::array<std::uint8_t, 16>& right,
               unsigned bits) {
  const unsigned whole = bits / 8;
  if (!std::equal(left.begin(), left.begin() + whole, right.begin())) { return false; }
  const unsigned rest = bits % 8;
  return rest == 0 || (left[whole] ^ right[whole]) >> (8 - rest) == 0;
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw InvalidArgument(fmt::format("{}: {}", text.empty() ? "''" : text, why));
}

}  // namespace

AddressRange AddressRange::parse(std::string_view text) {
  AddressRange range;
  range.text_ = text;
  if (text == "unix") {
    range.family_ = AF_UNIX;
    return range;
  }
  const std::size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  if (inet_pton(AF_INET, host.c_str(), range.address_.data()) == 1) {
    range.family_ = AF_INET;
  } else if (inet_pton(AF_INET6, host.c_str(), range.address_.data()) == 1) {
    range.family_ = AF_INET6;
  } else {
    refuse(text, "write addresses such as 10.0.0.0/8, 192.0.2.7 or fd00::/8, or unix");
  }
  const unsigned most = range.family_ == AF_INET ? kV4Bits : kV6Bits;
  range.bits_ = most;
  if (slash != std::string_view::npos) {
    const auto bits = parse_number<unsigned>(text.substr(slash + 1));
    if (!bits || *bits > most) {
      refuse(text, fmt::format("write a number of bits from 0 to {} after the slash", most));
    }
    range.bits_ = *bits;
  }
  if (range.family_ == AF_INET6 && range.bits_ >= kMappedBits && is_mapped(range.address_)) {
    range.family_ = AF_INET;
    range.bits_ -= kMappedBits;
    unmap(range.address_);
  }
  Bytes first{};
  std::copy_n(range.address_.begin(), (range.bits_ + 7) / 8, first.begin());
  if (range.bits_ % 8 != 0) {
    std::uint8_t& last = first[range.bits_ / 8];
    last = static_cast<std::uint8_t>(last & (0xFF00U >> range.bits_ % 8));
  }
  if (first != range.address_) {
    refuse(text, "the address has bits beyond those that the number after the slash counts");
  }
  return range;
}

bool AddressRange::contains(const SocketAddress& address) const {
  if (family_ == AF_UNIX) { return address.family() == AF_UNIX; }
  Bytes bytes{};
  int family = address.family();
  if (family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address.data(), std::min<std::size_t>(address.size(), sizeof v4));
    std::memcpy(bytes.data(), &v4.sin_addr, sizeof v4.sin_addr);
  } else if (family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address.data(), std::min<std::size_t>(address.size(), sizeof v6));
    std::memcpy(bytes.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    if (is_mapped(bytes)) {
      family = AF_INET;
      unmap(bytes);
    }
  }
  return family == family_ && same_bits(bytes, address_, bits_);
}

std::string text_of(std::span<const AddressRange> ranges) {
  std::string text;
  for (const AddressRange& range : ranges) {
    text.append(text.empty() ? "" : " ").append(range.text());
  }
  return text;
}

std::vector<AddressRange> parse_ranges(std::string_view text) {
  std::vector<AddressRange> ranges;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    ranges.push_back(AddressRange::parse(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return ranges;
}

bool any_contains(std::span<const AddressRange> ranges, const SocketAddress& address) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const AddressRange& range) { return range.contains(address); });
}

}  // namespace handoff
