// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

/// What fdsend and fdrecv put on a socket beside descriptors, as handoff-wire(7) specifies it:
/// encode and decode, no I/O. Plain is some bytes of any value, one as a rule. With names or a wish
/// to be confirmed it is a header and a name for each descriptor, sent at once:
///
///     "HOFD"  version (1)  flags (bit 0: confirm)  count (2, little-endian)  count * (length,
///     name)
namespace handoff::handover {

inline constexpr std::uint8_t kVersion = 1;

/// Bytes of a name at most.
inline constexpr std::size_t kMaxName = limits::kMaxName;

/// Bytes of a message at most: 253 names of the greatest length fit.
inline constexpr std::size_t kMaxMessage = limits::kMaxHandover;

/// What a receiver answers once it has taken the descriptors, when it was asked to.
inline constexpr char kConfirmation = 6;

enum class Form : std::uint8_t { plain, header };

struct Message {
  std::vector<std::string> names;  ///< one for each descriptor, empty where it has none
  bool confirm = false;
  Form form = Form::plain;  ///< as decode() found it
};

/// `message.names` has as many entries as descriptors are sent.
std::string encode(const Message& message);

enum class Decoded { complete, partial, invalid };
/// `count` descriptors were received with `bytes`. Bytes that do not begin like a header are plain,
/// and complete.
Decoded decode(std::string_view bytes, std::size_t count, Message& message);

/// Names are handed on in LISTEN_FDNAMES: printable ASCII without a colon. Throws InvalidArgument.
void check_name(std::string_view name);

}  // namespace handoff::handover
