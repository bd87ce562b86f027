// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

namespace handoff {

/// The first character of a text in UTF-8.
struct Utf8Character {
  char32_t code_point = 0;
  std::size_t size = 0;  ///< in bytes; 0 if the text does not begin with valid UTF-8
};

/// Decodes the first character of `text` by RFC 3629: overlong forms and surrogates are invalid. An
/// empty text gives size 0.
Utf8Character first_utf8_character(std::string_view text);

/// Returns whether the whole of `text` is valid UTF-8.
bool is_utf8(std::string_view text);

/// Returns the start of `text` that is at most `most` bytes long and does not end in the middle of
/// a character.
std::string_view utf8_start(std::string_view text, std::size_t most);

}  // namespace handoff
