// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace handoff {

/// The bytes of a connection that were received and not yet consumed, with room for more after
/// them. At least kPadding readable bytes follow the received ones at any time, because the JSON
/// reader reads up to that far past its input.
///
/// The buffer grows with the bytes that have arrived, never by a length that a peer has only
/// announced. It has no limit: its user stops receiving. Any call that is not const may invalidate
/// views into it.
class ReceiveBuffer {
 public:
  /// The readable bytes after the received ones.
  static constexpr std::size_t kPadding = 64;

  /// Allocates room for `capacity` bytes, at least one, and the padding.
  explicit ReceiveBuffer(std::size_t capacity);

  /// Returns the bytes that were received and not yet consumed.
  std::span<char> bytes() { return {storage_.get() + start_, end_ - start_}; }
  std::span<const char> bytes() const { return {storage_.get() + start_, end_ - start_}; }
  bool empty() const { return start_ == end_; }
  /// Returns where the next bytes are to be received; never empty after make_room().
  std::span<char> room() { return {storage_.get() + end_, capacity_ - end_}; }
  /// Adds the first `count` bytes of room() to the received ones.
  void commit(std::size_t count) { end_ += count; }
  /// Removes the first `count` of the received bytes; `count` is at most bytes().size().
  void consume(std::size_t count);
  /// Moves the bytes to the front, or doubles the storage if they take up more than half of it.
  void make_room();

  /// Copies `bytes` after the received ones, and grows the storage if it has no room for them.
  void append(std::span<const char> bytes);
  /// Removes all bytes and keeps the storage.
  void clear() { start_ = end_ = 0; }

 private:
  void relocate(std::size_t capacity);

  std::unique_ptr<char[]> storage_;
  std::size_t capacity_;
  std::size_t start_ = 0;
  std::size_t end_ = 0;
};

/// Returns a copy of `text` that the padding follows, for JsonReader. The copy's size includes the
/// padding; pass its first text.size() bytes to the reader.
std::string padded(std::string_view text);

}  // namespace handoff
