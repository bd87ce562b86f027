// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

/// The frames of handoff-wire(7): an unsigned 32-bit little-endian length, then that many bytes,
/// which is the `struct.pack("I", …)` of the article on every machine that it ran on; or a line.
namespace handoff::frame {

/// Bytes of the length.
inline constexpr std::size_t kHeaderSize = 4;

}  // namespace handoff::frame

namespace handoff {

/// How the bodies on a connection are told apart.
enum class Framing : std::uint8_t {
  unknown,  ///< the client's first bytes will tell
  length,   ///< a length in front of each
  lines,    ///< a newline behind each
};

}  // namespace handoff
