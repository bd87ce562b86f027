// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "wire/bytes.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// What decode_frame() or decode_line() finds at the start of the received bytes.
struct DecodedFrame {
  enum class Outcome {
    complete,   ///< The frame is there, and its body lies in the bytes given.
    partial,    ///< The frame is not whole yet; more bytes are needed.
    oversized,  ///< The body exceeds the limit; nothing after it can be understood.
  };
  Outcome outcome;
  std::string_view body;  ///< of a complete frame
  /// The length of the frame in the stream in bytes, including its header or line ending, whatever
  /// the outcome; 0 while the header or the newline has not arrived. After a complete frame the
  /// caller consumes this many bytes.
  std::size_t size = 0;
  /// The length of the body in bytes: what the header announces, or what has arrived of a line.
  std::size_t body_size = 0;
};

/// Decodes the first frame of `bytes`, which begins with its length. A body longer than `max_body`
/// bytes is oversized as soon as its header has arrived. Neither copies nor allocates; the body
/// points into `bytes`.
inline DecodedFrame decode_frame(std::span<const char> bytes, std::uint32_t max_body) {
  if (bytes.size() < frame::kHeaderSize) { return {DecodedFrame::Outcome::partial, {}, 0, 0}; }
  const std::uint32_t length = load_little_endian<std::uint32_t>(bytes.first<frame::kHeaderSize>());
  const std::size_t size = frame::kHeaderSize + std::size_t{length};
  if (length > max_body) { return {DecodedFrame::Outcome::oversized, {}, size, length}; }
  if (bytes.size() < size) { return {DecodedFrame::Outcome::partial, {}, size, length}; }
  const std::string_view body(bytes.data() + frame::kHeaderSize, length);
  return {DecodedFrame::Outcome::complete, body, size, length};
}

/// Decodes the first line of `bytes` as a frame. The body ends before the newline, and before a
/// carriage return that precedes the newline; a blank line has an empty body. A line is oversized
/// as soon as more than `max_body` bytes of it have arrived. Neither copies nor allocates, but each
/// call searches all of an incomplete line again.
DecodedFrame decode_line(std::span<const char> bytes, std::uint32_t max_body);

}  // namespace handoff
