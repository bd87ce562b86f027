// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

/// The frame of handoff-wire(7): an unsigned 32-bit little-endian length, then that many bytes.
/// This is the `struct.pack("I", …)` of the article on every machine that it ran on.
namespace handoff::frame {

/// Bytes of the length.
inline constexpr std::size_t kHeaderSize = 4;

/// The longest body that is accepted unless `--max-frame` says otherwise.
inline constexpr std::uint32_t kDefaultMaxBody = 1024 * 1024;

/// How deep arrays and objects may nest in a body.
inline constexpr int kMaxDepth = 64;

}  // namespace handoff::frame
