// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "os/address.hpp"

namespace handoff {

/// The address of a session's client, in the eight bytes that an idle connection can spare: IPv4
/// addresses (those mapped into IPv6 too) and unnamed Unix peers stand in them, others are
/// allocated. Move-only.
class ClientAddress {
 public:
  /// Throws std::bad_alloc.
  explicit ClientAddress(const SocketAddress& address);
  ClientAddress(ClientAddress&& other) noexcept;
  ClientAddress& operator=(ClientAddress&& other) noexcept;
  ~ClientAddress();

  /// False for an address of family 0.
  bool is_known() const { return bits_ != 0; }
  /// The address as it was given.
  SocketAddress get() const;
  /// SocketAddress::text(), made once. The reference is good until the object is moved or
  /// destroyed.
  const std::string& text();

 private:
  struct Allocated;
  enum class Form : std::uint8_t { allocated, v4, mapped_v4, unnamed };

  Form form() const { return static_cast<Form>(bits_ & kFormMask); }
  Allocated* allocated() const;
  void allocate(const SocketAddress& address);

  static constexpr std::uint64_t kFormMask = 3;

  std::uint64_t bits_ = 0;  ///< a pointer, or address, port and form; 0: not known
};

}  // namespace handoff
