// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include <handoff/os/address.hpp>

namespace handoff {

/// The address of a session's client, in the eight bytes that an idle connection can spare: IPv4
/// addresses (those mapped into IPv6 too) and unnamed Unix peers stand in them, others are
/// allocated; an IPv4 address is too once its text was asked for. Move-only.
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
  /// SocketAddress::text(), made once. It is valid until the object is destroyed.
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

  std::uint64_t bits_ = 0;  ///< a pointer and form, or address, port and form; 0: not known
};

}  // namespace handoff
