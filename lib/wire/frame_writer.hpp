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

/// Appends one frame to `out`: made at once, its body, which is JSON, is then appended to `out` by
/// the caller, and `finish` completes it. An unfinished frame is a bug of the caller.
class FrameWriter {
 public:
  explicit FrameWriter(std::string& out, Framing framing = Framing::length)
      : out_(out), start_(out.size()), is_line_(framing == Framing::lines) {
    if (!is_line_) { out_.append(frame::kHeaderSize, '\0'); }
  }
  std::size_t body_size() const { return out_.size() - body_start(); }
  void finish() {
    if (is_line_) { return finish_line(); }
    const std::span<char, frame::kHeaderSize> header(out_.data() + start_, frame::kHeaderSize);
    store_little_endian(header, static_cast<std::uint32_t>(body_size()));
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

}  // namespace handoff
