// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

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

/// The length that a header says. Written out, so that it is one load.
inline std::uint32_t decode_header(std::span<const char, frame::kHeaderSize> header) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(header[i]));
  };
  return byte(0) | byte(1) << 8U | byte(2) << 16U | byte(3) << 24U;
}

/// Looks at the first frame of `bytes`, which has a length in front. Copies nothing, allocates
/// nothing.
inline DecodedFrame decode_frame(std::span<const char> bytes, std::uint32_t max_body) {
  if (bytes.size() < frame::kHeaderSize) return {DecodedFrame::Outcome::partial, {}, 0};
  const std::uint32_t length = decode_header(bytes.first<frame::kHeaderSize>());
  if (length > max_body) return {DecodedFrame::Outcome::oversized, {}, length};
  const std::size_t size = frame::kHeaderSize + length;
  if (bytes.size() < size) return {DecodedFrame::Outcome::partial, {}, size};
  return {DecodedFrame::Outcome::complete, {bytes.data() + frame::kHeaderSize, length}, size};
}

/// The same for a frame that is a line: the body is what stands before its newline, and before
/// the carriage return in front of that. The body of a blank line is empty.
DecodedFrame decode_line(std::span<const char> bytes, std::uint32_t max_body);

}  // namespace handoff
