// SPDX-License-Identifier: MIT
#include "rpc/client_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <memory>
#include <utility>

namespace handoff {
namespace {

constexpr unsigned kPortShift = 16;
constexpr unsigned kAddressShift = 32;

/// `address` is a mapped IPv4 address and nothing else: no flow, no scope.
bool is_plain_mapped(const SocketAddress& address) {
  if (address.family() != AF_INET6 || address.size() != sizeof(sockaddr_in6)) return false;
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

}  // namespace

/// An IPv6 address takes a quarter of what a path may.
struct ClientAddress::Allocated {
  explicit Allocated(const SocketAddress& address) {
    if (address.family() == AF_INET6 && address.size() == sizeof v6) {
      std::memcpy(&v6, address.data(), sizeof v6);
    } else {
      other = std::make_unique<SocketAddress>(address);
    }
  }

  sockaddr_in6 v6{};
  std::unique_ptr<SocketAddress> other;  ///< instead of `v6`
  std::unique_ptr<std::string> text;     ///< once it was asked for
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
  if (is_known()) delete allocated();
}

SocketAddress ClientAddress::get() const {
  const auto address = static_cast<std::uint32_t>(bits_ >> kAddressShift);
  const auto port = static_cast<std::uint16_t>(bits_ >> kPortShift);
  switch (form()) {
    case Form::v4: {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = port;
      v4.sin_addr.s_addr = address;
      return whole(v4);
    }
    case Form::mapped_v4: {
      sockaddr_in6 v6{};
      v6.sin6_family = AF_INET6;
      v6.sin6_port = port;
      v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xFF;
      std::memcpy(&v6.sin6_addr.s6_addr[12], &address, sizeof address);
      return whole(v6);
    }
    case Form::unnamed: return whole(sa_family_t{AF_UNIX});
    case Form::allocated: break;
  }
  if (!is_known()) return {};
  const Allocated& kept = *allocated();
  return kept.other ? *kept.other : whole(kept.v6);
}

const std::string& ClientAddress::text() {
  static const std::string kUnknown = SocketAddress().text();
  if (!is_known()) return kUnknown;
  if (form() != Form::allocated) allocate(get());
  Allocated& kept = *allocated();
  if (!kept.text) kept.text = std::make_unique<std::string>(get().text());
  return *kept.text;
}

/// Null in every other form.
ClientAddress::Allocated* ClientAddress::allocated() const {
  return form() == Form::allocated ? reinterpret_cast<Allocated*>(bits_) : nullptr;
}

void ClientAddress::allocate(const SocketAddress& address) {
  static_assert(alignof(Allocated) > kFormMask);
  bits_ = reinterpret_cast<std::uint64_t>(new Allocated(address));
}

}  // namespace handoff
