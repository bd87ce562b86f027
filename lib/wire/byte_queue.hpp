// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace handoff {

/// Bytes that are added at one end and used from the other, in any pieces. The time that this takes
/// grows with the bytes, and not with their square, as that of std::string::erase(0, n) does.
class ByteQueue {
 public:
  bool empty() const { return size() == 0; }
  std::size_t size() const { return text_.size() - start_; }
  /// All that was added and not used. Valid until the next change.
  std::string_view bytes() const { return std::string_view(text_).substr(start_); }

  void append(std::string_view bytes) { text_.append(bytes); }
  /// What is appended to this string is added. Its start is of no concern to the caller, who must
  /// not keep the reference.
  std::string& end() { return text_; }

  /// The first `count` bytes were used. They are dropped once they are the greater part, and many:
  /// so no byte is moved more often than another one is used.
  void consume(std::size_t count) {
    start_ += count;
    if (start_ == text_.size()) {
      clear();
    } else if (start_ >= kLeastDropped && start_ > text_.size() / 2) {
      text_.erase(0, start_);
      start_ = 0;
    }
  }
  void clear() {
    text_.clear();
    start_ = 0;
  }

 private:
  static constexpr std::size_t kLeastDropped = 4096;

  std::string text_;
  std::size_t start_ = 0;
};

}  // namespace handoff
