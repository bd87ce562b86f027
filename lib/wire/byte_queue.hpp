// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace handoff {

/// A queue of bytes: they are appended at its end and consumed from its start, in pieces of any
/// size. The total time grows in proportion to the bytes, not to their square as with
/// std::string::erase(0, n). The queue has no limit of its own: its user bounds what a peer can put
/// into it.
class ByteQueue {
 public:
  bool empty() const { return size() == 0; }
  std::size_t size() const { return text_.size() - start_; }
  /// Returns the bytes that were appended and not yet consumed. The view is valid until the next
  /// call that changes the queue.
  std::string_view bytes() const { return std::string_view(text_).substr(start_); }

  /// Copies `bytes` to the end of the queue. They must not lie inside the queue.
  void append(std::string_view bytes) { text_.append(bytes); }
  /// Returns a string to whose end the caller may append; the queue then holds the appended bytes
  /// too. The caller must not read or change the start of the string, nor keep the reference.
  std::string& end() { return text_; }

  /// Removes the first `count` bytes; `count` is at most size(). The storage is compacted only when
  /// the consumed part is at least kLeastDropped bytes and more than half of it, so that no byte is
  /// moved more often than another one is consumed.
  void consume(std::size_t count) {
    start_ += count;
    if (start_ == text_.size()) {
      clear();
    } else if (start_ >= kLeastDropped && start_ > text_.size() / 2) {
      text_.erase(0, start_);
      start_ = 0;
    }
  }
  /// Removes all bytes and keeps the storage.
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
