// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

/// The frames of handoff-wire(7), THE FRAME: an unsigned 32-bit little-endian length and then that
/// many bytes, as Python's `struct.pack("I", …)` makes it on little-endian machines; or a line.
namespace handoff::frame {

/// The length of the header, in bytes.
inline constexpr std::size_t kHeaderSize = 4;

}  // namespace handoff::frame

namespace handoff {

/// How the bodies on a connection are separated. One connection has the same framing in both
/// directions and for as long as it lives.
enum class Framing : std::uint8_t {
  unknown,  ///< the client's first bytes will decide; see judge_start()
  length,   ///< each body follows its length
  lines,    ///< each body ends with a newline
};

}  // namespace handoff
