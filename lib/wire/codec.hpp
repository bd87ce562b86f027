// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "wire/frame.hpp"

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

/// Writes `length` as a header to `header[0..3]`.
inline void encode_header(char* header, std::uint32_t length) {
  header[0] = static_cast<char>(length);
  header[1] = static_cast<char>(length >> 8U);
  header[2] = static_cast<char>(length >> 16U);
  header[3] = static_cast<char>(length >> 24U);
}

/// Appends one frame to `out`: made at once, its body, which is JSON, is then appended to `out` by
/// the caller, and `finish` completes it. An unfinished frame is a bug of the caller.
class FrameWriter {
 public:
  explicit FrameWriter(std::string& out, Framing framing = Framing::length)
      : out_(out), start_(out.size()), is_line_(framing == Framing::lines) {
    if (!is_line_) out_.append(frame::kHeaderSize, '\0');
  }
  std::size_t body_size() const { return out_.size() - body_start(); }
  void finish() {
    if (is_line_) return finish_line();
    encode_header(out_.data() + start_, static_cast<std::uint32_t>(body_size()));
  }
  /// Takes the unfinished frame back.
  void discard() { out_.resize(start_); }
  /// Takes its body back.
  void restart() { out_.resize(body_start()); }

 private:
  std::size_t body_start() const { return start_ + (is_line_ ? 0 : frame::kHeaderSize); }
  void finish_line();

  std::string& out_;
  std::size_t start_;
  bool is_line_;
};

/// Appends a whole frame to `out`.
void append_frame(std::string& out, std::string_view body);

/// Bytes that were received and are not yet used, in front of room for more. Behind the bytes
/// stand always kPadding readable ones, for the JSON parser reads that far past its input.
///
/// It grows with the bytes that have come, never by a length that a peer has only announced.
class ReceiveBuffer {
 public:
  static constexpr std::size_t kPadding = 64;

  explicit ReceiveBuffer(std::size_t capacity);

  std::span<char> bytes() { return {storage_.get() + start_, end_ - start_}; }
  std::span<const char> bytes() const { return {storage_.get() + start_, end_ - start_}; }
  bool empty() const { return start_ == end_; }
  /// Where to receive to; never empty after `make_room`.
  std::span<char> room() { return {storage_.get() + end_, capacity_ - end_}; }
  /// `count` bytes were received to room().
  void commit(std::size_t count) { end_ += count; }
  /// The first `count` bytes were used.
  void consume(std::size_t count);
  /// Moves the bytes to the front, and doubles the storage when less than half of it is free.
  void make_room();

  void append(std::span<const char> bytes);
  void clear() { start_ = end_ = 0; }

 private:
  void relocate(std::size_t capacity);

  std::unique_ptr<char[]> storage_;
  std::size_t capacity_;
  std::size_t start_ = 0;
  std::size_t end_ = 0;
};

}  // namespace handoff
