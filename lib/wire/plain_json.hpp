// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <cstddef>
#include <string_view>

#include "wire/limits.hpp"

namespace handoff {

/// Reads a short JSON text that is plain, in one pass. A text is plain if it has neither escapes
/// nor characters beyond ASCII, as most bodies. JsonReader takes longer for these: its first pass
/// has an effort that does not depend on the length.
///
/// A text that this reads is valid, and JsonReader reads the same in it. Any other text is for
/// JsonReader to judge, which says what is wrong with it, if anything is. A reader that has
/// returned false is of no more use.
class PlainJson {
 public:
  /// The length of the longest text that is short.
  static constexpr std::size_t kMostBytes = 192;

  /// `text` must be short, stay as it is, and have ReceiveBuffer::kPadding readable bytes after it.
  explicit PlainJson(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {
    assert(text.size() <= kMostBytes);
  }

  /// Reads an object, around which stand `depth` arrays and objects. `skip_name(at)` is called with
  /// `at` at the first quote of each name and moves it past the last one. It returns where the text
  /// of the value is to be put, or null if no plain string is there.
  template <typename SkipName>
  bool read_object(int depth, SkipName skip_name) {
    at_ = skip_object(at_, end_, depth, skip_name);
    return at_ != nullptr;
  }
  /// For `skip_name`: returns the byte after the string that begins at `at`, or null.
  const char* end_of_string(const char* at) const { return skip_string(at, end_); }
  /// Whether nothing but space follows.
  bool read_end() const { return at_ == end_ || skip_spaces(at_, end_) == end_; }

  /// Reads `text`, which needs the padding but may be long, from its first byte to its last, as one
  /// value around which `depth` arrays and objects are to stand. Reads no long one.
  static bool read_whole(std::string_view text, int depth);

 private:
  // Each of these is given where to begin, and returns where the rest begins, or null. A token may
  // be taken that is not in the text, or not all of it; that is seen before the next one is taken.

  static const char* skip_space(const char* at, const char* end) {
    return static_cast<unsigned char>(*at) > ' ' ? at : skip_spaces(at, end);
  }
  static const char* skip_spaces(const char* at, const char* end);
  template <typename SkipName>
  static const char* skip_object(const char* at, const char* end, int depth, SkipName skip_name);
  static const char* skip_array(const char* at, const char* end, int depth);
  static const char* skip_string(const char* at, const char* end);
  static const char* skip_value(const char* at, const char* end, int depth);

  const char* at_;
  const char* end_;
};

template <typename SkipName>
const char* PlainJson::skip_object(const char* at, const char* end, int depth, SkipName skip_name) {
  at = skip_space(at, end);
  if (*at != '{' || depth >= limits::kMaxDepth) { return nullptr; }
  at = skip_space(at + 1, end);
  if (*at == '}') { return at + 1; }
  for (;;) {
    std::string_view* const value = skip_name(at);
    if (value == nullptr) { return nullptr; }
    at = skip_space(at, end);
    if (*at != ':') { return nullptr; }
    const char* const begin = at = skip_space(at + 1, end);
    at = *at == '"' ? skip_string(at, end) : skip_value(at, end, depth + 1);
    if (at == nullptr) { return nullptr; }
    *value = {begin, static_cast<std::size_t>(at - begin)};
    at = skip_space(at, end);
    if (at >= end) { return nullptr; }
    if (*at == '}') { return at + 1; }
    if (*at != ',') { return nullptr; }
    at = skip_space(at + 1, end);
  }
}

}  // namespace handoff
