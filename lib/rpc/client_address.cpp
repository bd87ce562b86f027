// SPDX-License-Identifier: MIT
#include "rpc/client_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace handoff {
namespace {

constexpr unsigned kPortShift = 16;
constexpr unsigned kAddressShift = 32;

/// Returns whether `address` is a mapped IPv4 address without a flow label or a scope, so that form
/// and bits say everything about it.
bool is_plain_mapped(const SocketAddress& address) {
  if (address.family() != AF_INET6 || address.size() != sizeof(sockaddr_in6)) { return false; }
  sockaddr_in6 v6{};
  std::memcpy(&v6, address.data(), sizeof v6);
  return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_flowinfo == 0 && v6.sin6_scope_id == 0;
}

std::uint64_t pack(std::uint32_t address, std::uint16_t port) {
  return std::uint64_t{address} << kAddressShift | std::uint64_t{port} << kPortShift;
}

template <typename Address>
SocketAddress whole(const Address& address) {
  return SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

/// These return the address that the bits hold.
SocketAddress v4_of(std::uint64_t bits) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = static_cast<std::uint16_t>(bits >> kPortShift);
  v4.sin_addr.s_addr = static_cast<std::uint32_t>(bits >> kAddressShift);
  return whole(v4);
}
SocketAddress mapped_v4_of(std::uint64_t bits) {
  const auto address = static_cast<std::uint32_t>(bits >> kAddressShift);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = static_cast<std::uint16_t>(bits >> kPortShift);
  v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xFF;
  std::memcpy(&v6.sin6_addr.s6_addr[12], &address, sizeof address);
  return whole(v6);
}

}  // namespace

/// An IPv4 address and its text. Every client has one once a command or a worker with a queue has
/// executed a call of it.
struct ClientAddress::WithText {
  std::uint64_t bits;  ///< the value of `bits_` before it became a pointer
  std::uint8_t size = 0;
  std::array<char, std::string_view("255.255.255.255:65535").size()> text{};
};

/// An address that does not fit into the bits. IPv6 addresses have a member of their own because
/// they take a quarter of the memory that a Unix path may.
struct ClientAddress::Allocated {
  explicit Allocated(const SocketAddress& address) {
    if (address.family() == AF_INET6 && address.size() == sizeof v6) {
      std::memcpy(&v6, address.data(), sizeof v6);
    } else {
      other = std::make_unique<SocketAddress>(address);
    }
  }

  sockaddr_in6 v6{};
  std::unique_ptr<SocketAddress> other;  ///< if not null, the address; `v6` is not used then
  std::unique_ptr<std::string> text;     ///< null until text() is called
};

ClientAddress::ClientAddress(const SocketAddress& address) {
  if (address.family() == AF_INET && address.size() == sizeof(sockaddr_in)) {
    sockaddr_in v4{};
    std::memcpy(&v4, address.data(), sizeof v4);
    bits_ = pack(v4.sin_addr.s_addr, v4.sin_port) | static_cast<std::uint64_t>(Form::v4);
  } else if (is_plain_mapped(address)) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address.data(), sizeof v6);
    std::uint32_t last = 0;
    std::memcpy(&last, &v6.sin6_addr.s6_addr[12], sizeof last);
    bits_ = pack(last, v6.sin6_port) | static_cast<std::uint64_t>(Form::mapped_v4);
  } else if (address.family() == AF_UNIX && address.size() == sizeof(sa_family_t)) {
    bits_ = static_cast<std::uint64_t>(Form::unnamed);
  } else if (address.family() != AF_UNSPEC) {
    allocate(address);
  }
}

ClientAddress::ClientAddress(ClientAddress&& other) noexcept
    : bits_(std::exchange(other.bits_, 0)) {}

ClientAddress& ClientAddress::operator=(ClientAddress&& other) noexcept {
  std::swap(bits_, other.bits_);
  return *this;
}

ClientAddress::~ClientAddress() {
  if (form() == Form::allocated) { delete pointer_to<Allocated>(); }
  if (form() == Form::with_text) { delete pointer_to<WithText>(); }
}

SocketAddress ClientAddress::get() const {
  const std::uint64_t bits = form() == Form::with_text ? pointer_to<WithText>()->bits : bits_;
  switch (form_of(bits)) {
    case Form::v4: return v4_of(bits);
    case Form::mapped_v4: return mapped_v4_of(bits);
    case Form::unnamed: return whole(sa_family_t{AF_UNIX});
    case Form::allocated:
    case Form::with_text: break;
  }
  if (!is_known()) { return {}; }
  const Allocated& kept = *pointer_to<Allocated>();
  return kept.other ? *kept.other : whole(kept.v6);
}

std::string_view ClientAddress::text() {
  static const std::string kUnknown = SocketAddress().text();
  static const std::string kUnnamed = whole(sa_family_t{AF_UNIX}).text();
  if (!is_known()) { return kUnknown; }
  if (form() == Form::unnamed) { return kUnnamed; }
  if (form() == Form::v4 || form() == Form::mapped_v4) { make_text(); }
  if (form() == Form::with_text) {
    const WithText& kept = *pointer_to<WithText>();
    return {kept.text.data(), kept.size};
  }
  Allocated& kept = *pointer_to<Allocated>();
  if (!kept.text) { kept.text = std::make_unique<std::string>(get().text()); }
  return *kept.text;
}

void ClientAddress::make_text() {
  static_assert(alignof(WithText) > kFormMask);
  const std::string text = get().text();
  auto kept = std::make_unique<WithText>(WithText{bits_});
  kept->size = static_cast<std::uint8_t>(std::min(text.size(), kept->text.size()));
  std::copy_n(text.begin(), kept->size, kept->text.begin());
  bits_ =
      reinterpret_cast<std::uint64_t>(kept.release()) | static_cast<std::uint64_t>(Form::with_text);
}

void ClientAddress::allocate(const SocketAddress& address) {
  static_assert(alignof(Allocated) > kFormMask);
  bits_ = reinterpret_cast<std::uint64_t>(new Allocated(address));
}

}  // namespace handoff
