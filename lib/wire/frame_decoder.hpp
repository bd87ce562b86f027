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
    complete,   ///< The frame is there, and its body lies in the bytes given.
    partial,    ///< More bytes are needed.
    oversized,  ///< The body exceeds the limit; nothing after it can be understood.
  };
  Outcome outcome;
  std::string_view body;  ///< of a complete frame
  /// The bytes that the frame takes in the stream, its header or line ending included, whatever the
  /// outcome; 0 as long as its header or its newline is not there.
  std::size_t size = 0;
  /// The bytes of its body: as many as the header announces, or as many of a line as are there.
  std::size_t body_size = 0;
};

/// Looks at the first frame of `bytes`, which has a length in front. Copies nothing, allocates
/// nothing.
inline DecodedFrame decode_frame(std::span<const char> bytes, std::uint32_t max_body) {
  if (bytes.size() < frame::kHeaderSize) { return {DecodedFrame::Outcome::partial, {}, 0, 0}; }
  const std::uint32_t length = load_little_endian<std::uint32_t>(bytes.first<frame::kHeaderSize>());
  const std::size_t size = frame::kHeaderSize + std::size_t{length};
  if (length > max_body) { return {DecodedFrame::Outcome::oversized, {}, size, length}; }
  if (bytes.size() < size) { return {DecodedFrame::Outcome::partial, {}, size, length}; }
  const std::string_view body(bytes.data() + frame::kHeaderSize, length);
  return {DecodedFrame::Outcome::complete, body, size, length};
}

/// The same for a frame that is a line: the body is what stands before its newline, and before
/// the carriage return in front of that. The body of a blank line is empty.
DecodedFrame decode_line(std::span<const char> bytes, std::uint32_t max_body);

}  // namespace handoff
