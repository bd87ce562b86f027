// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <cstddef>
#include <string_view>

#include "wire/limits.hpp"

namespace handoff {

/// Reads a short JSON text that is plain, in one pass. A text is plain if it has neither escapes
/// nor characters beyond ASCII, as most bodies. JsonReader takes longer for these, because its
/// first pass has a cost that does not depend on the length.
///
/// A text that this class reads is valid, and JsonReader finds the same values in it. A text that
/// it does not read may be valid or not: JsonReader has to judge it. A reader that has returned
/// false must not be used again.
class PlainJson {
 public:
  /// The length in bytes of the longest text that is short.
  static constexpr std::size_t kMostBytes = 192;

  /// Begins to read `text`, which must be short and stay unchanged, and which
  /// ReceiveBuffer::kPadding readable bytes must follow.
  explicit PlainJson(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {
    assert(text.size() <= kMostBytes);
  }

  /// Reads an object; `depth` is the number of arrays and objects around it. `skip_name(at)` is
  /// called with `at` at the first quote of each name and moves it past the last one. It returns
  /// where the text of the value is to be stored, or null if no plain string is there. Returns
  /// whether the object was read.
  template <typename SkipName>
  bool read_object(int depth, SkipName skip_name) {
    at_ = skip_object(at_, end_, depth, skip_name);
    return at_ != nullptr;
  }
  /// Returns the byte after the string that begins at `at`, or null. `skip_name` calls it.
  const char* end_of_string(const char* at) const { return skip_string(at, end_); }
  /// Returns whether only space follows what was read.
  bool read_end() const { return at_ == end_ || skip_spaces(at_, end_) == end_; }

  /// Reads `text` from its first byte to its last as one value; `depth` is the number of arrays and
  /// objects that are to stand around it. The text must be padded but may be long: for one that is
  /// longer than kMostBytes the function returns false.
  static bool read_whole(std::string_view text, int depth);

 private:
  // Each of these functions is given where to begin, and returns where the rest begins, or null. It
  // may accept a token that lies partly or wholly after the end of the text; the caller notices
  // that before it accepts the next one.

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
