// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/limits.hpp"

/// Encodes and decodes the bytes that fdsend and fdrecv exchange together with descriptors, which
/// handoff-wire(7), THE HANDOVER, specifies. Nothing here does I/O. A plain message is any bytes,
/// usually one. A message with names or a request for confirmation is a header and a name for each
/// descriptor, sent at once:
///
///     "HOFD"  version (1)  flags (1; bit 0: confirm)  count (2, little-endian)
///     count * (length (1)  name)
namespace handoff::handover {

inline constexpr std::uint8_t kVersion = 1;

/// The longest name, in bytes.
inline constexpr std::size_t kMaxName = limits::kMaxName;

/// The longest message, in bytes: 253 names of the greatest length fit.
inline constexpr std::size_t kMaxMessage = limits::kMaxHandover;

/// The byte that a receiver answers after it has taken over the descriptors, if it was asked to.
inline constexpr char kConfirmation = 6;

/// The two forms of a message.
enum class Form : std::uint8_t { plain, header };

/// The content of a message.
struct Message {
  std::vector<std::string> names;  ///< one for each descriptor, empty if it has none
  bool confirm = false;
  Form form = Form::plain;  ///< set by decode()
};

/// Encodes a message with a header. `message.names` has one entry for each descriptor; each is
/// empty or has passed check_name().
std::string encode(const Message& message);

enum class Decoded { complete, partial, invalid };
/// Decodes `bytes`, with which `count` descriptors were received so far, into `message`. Bytes that
/// do not begin like a header are plain, and complete. `partial` means that more bytes are needed.
Decoded decode(std::string_view bytes, std::size_t count, Message& message);

/// Throws InvalidArgument unless the name can be handed on in LISTEN_FDNAMES (sd_listen_fds(3)): 1
/// to kMaxName printable ASCII characters without a space or a colon.
void check_name(std::string_view name);

}  // namespace handoff::handover
