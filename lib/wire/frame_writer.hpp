// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/bytes.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// Appends one frame to a string in three steps: the constructor reserves the header, the caller
/// appends the body, which is JSON, to the same string, and finish() completes the frame. Between
/// the steps nothing else may change the string, which must outlive the writer. A frame that is
/// neither finished nor discarded is a bug of the caller.
class FrameWriter {
 public:
  explicit FrameWriter(std::string& out, Framing framing = Framing::length)
      : out_(out), start_(out.size()), is_line_(framing == Framing::lines) {
    if (!is_line_) { out_.append(frame::kHeaderSize, '\0'); }
  }
  /// Returns how many bytes of the body have been appended so far.
  std::size_t body_size() const { return out_.size() - body_start(); }
  /// Completes the frame: writes the length into its header, or removes the newlines of the body
  /// and appends one to it.
  void finish() {
    if (is_line_) { return finish_line(); }
    const std::span<char, frame::kHeaderSize> header(out_.data() + start_, frame::kHeaderSize);
    store_little_endian(header, static_cast<std::uint32_t>(body_size()));
  }
  /// Removes the unfinished frame from the string.
  void discard() { out_.resize(start_); }
  /// Removes the body that was appended so far; the caller may append another one.
  void restart() { out_.resize(body_start()); }

 private:
  std::size_t body_start() const { return start_ + (is_line_ ? 0 : frame::kHeaderSize); }
  void finish_line();

  std::string& out_;
  std::size_t start_;
  bool is_line_;
};

/// Appends a whole frame with the length in front to `out`.
void append_frame(std::string& out, std::string_view body);

}  // namespace handoff
