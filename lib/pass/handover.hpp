// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

/// The bytes that fdsend(1) and fdrecv(1) put on a socket beside descriptors, as handoff-wire(7)
/// specifies them: encode and decode, no I/O. A plain message is some bytes of any value, one as a
/// rule. A message with names or a wish to be confirmed is a header and a name for each descriptor,
/// sent at once:
///
///     "HOFD"  version (1)  flags (bit 0: confirm)  count (2, little-endian)  count * (length,
///     name)
namespace handoff::handover {

/// The version of the header.
inline constexpr std::uint8_t kVersion = 1;

/// Bytes of a name at most.
inline constexpr std::size_t kMaxName = limits::kMaxName;

/// Bytes of a message at most: 253 names of the greatest length fit.
inline constexpr std::size_t kMaxMessage = limits::kMaxHandover;

/// The byte that a receiver answers once it has taken the descriptors, when the sender has asked it
/// to confirm.
inline constexpr char kConfirmation = 6;

/// Whether a message has a header.
enum class Form : std::uint8_t { plain, header };

/// All of a message but its descriptors.
struct Message {
  std::vector<std::string> names;  ///< one for each descriptor, empty where it has none
  bool confirm = false;            ///< the sender waits for kConfirmation
  Form form = Form::plain;         ///< as decode() found it
};

/// Returns the bytes of a message, to be sent with the first of its descriptors. `message.names`
/// has as many entries as descriptors are sent.
std::string encode(const Message& message);

/// Whether some bytes are a message.
enum class Decoded { complete, partial, invalid };
/// Reads into `message` the bytes that were received with `count` descriptors. Bytes that do not
/// begin like a header are plain, and complete; when it is partial, more bytes are to be received.
Decoded decode(std::string_view bytes, std::size_t count, Message& message);

/// Throws InvalidArgument unless `name` can be a descriptor's: fdrecv(1) hands it on in
/// LISTEN_FDNAMES (sd_listen_fds(3)), so it is printable ASCII without a colon.
void check_name(std::string_view name);

}  // namespace handoff::handover
