// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "wire/bytes.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// What stands at the start of some received bytes.
struct DecodedFrame {
  enum class Outcome {
    complete,   ///< `body` is the frame's, and lies in the bytes given
    partial,    ///< more bytes are needed: `size` in all, when it is not 0
    oversized,  ///< the length exceeds the limit; nothing after it can be understood
  };
  Outcome outcome;
  std::string_view body;
  std::size_t size = 0;  ///< of the whole frame; 0 while that is not known
};

/// Looks at the first frame of `bytes`, which has a length in front. Copies nothing, allocates
/// nothing.
inline DecodedFrame decode_frame(std::span<const char> bytes, std::uint32_t max_body) {
  if (bytes.size() < frame::kHeaderSize) return {DecodedFrame::Outcome::partial, {}, 0};
  const std::uint32_t length = load_little_endian<std::uint32_t>(bytes.first<frame::kHeaderSize>());
  if (length > max_body) return {DecodedFrame::Outcome::oversized, {}, length};
  const std::size_t size = frame::kHeaderSize + length;
  if (bytes.size() < size) return {DecodedFrame::Outcome::partial, {}, size};
  return {DecodedFrame::Outcome::complete, {bytes.data() + frame::kHeaderSize, length}, size};
}

/// The same for a frame that is a line: the body is what stands before its newline, and before
/// the carriage return in front of that. The body of a blank line is empty.
DecodedFrame decode_line(std::span<const char> bytes, std::uint32_t max_body);

}  // namespace handoff
