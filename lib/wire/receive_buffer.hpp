// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace handoff {

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

/// A copy of `text` with the padding behind it, for the JSON reader.
std::string padded(std::string_view text);

}  // namespace handoff
