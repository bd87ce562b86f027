// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include <handoff/os/address.hpp>

namespace handoff {

/// The address of a session's client, in eight bytes, because every idle connection has one. IPv4
/// addresses (also those mapped into IPv6) and unnamed Unix peers fit into these bytes; other
/// addresses are allocated, and so is an IPv4 address once its text was asked for. Move-only.
class ClientAddress {
 public:
  /// Stores a copy of `address`. Throws std::bad_alloc.
  explicit ClientAddress(const SocketAddress& address);
  ClientAddress(ClientAddress&& other) noexcept;
  ClientAddress& operator=(ClientAddress&& other) noexcept;
  ~ClientAddress();

  /// Returns false for an address of family 0.
  bool is_known() const { return bits_ != 0; }
  /// Returns the address as it was given.
  SocketAddress get() const;
  /// Returns the text that SocketAddress::text() gives. It is made at the first call, and valid
  /// until this object is destroyed. Throws std::bad_alloc.
  std::string_view text();

 private:
  struct Allocated;
  struct WithText;
  enum class Form : std::uint8_t { allocated, v4, mapped_v4, unnamed, with_text };

  static Form form_of(std::uint64_t bits) { return static_cast<Form>(bits & kFormMask); }
  Form form() const { return form_of(bits_); }
  template <typename Pointee>
  Pointee* pointer_to() const {
    return reinterpret_cast<Pointee*>(bits_ & ~kFormMask);
  }
  void allocate(const SocketAddress& address);
  void make_text();

  static constexpr std::uint64_t kFormMask = 7;

  /// A pointer and its form, or address, port and form; 0: the address is not known.
  std::uint64_t bits_ = 0;
};

}  // namespace handoff
