// SPDX-License-Identifier: MIT
#include "wire/json_position.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace handoff {
namespace {

bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

/// Returns the length of the first character of `text` in bytes, as its first byte announces it,
/// but at most the length of `text`.
std::size_t first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(size, text.size());
}

/// Returns the offset of the first invalid character. simdjson says only whether a text is valid,
/// but does so fast for long ones: so the invalid text is halved, between two characters, until one
/// character is left.
std::size_t invalid_utf8_in(std::string_view text) {
  std::size_t at = 0;
  std::size_t size = text.size();
  while (size > first_character(text.substr(at))) {
    std::size_t half = size / 2;
    while (half > 0 && !begins_character(text[at + half])) { --half; }
    if (half == 0) { half = first_character(text.substr(at)); }
    if (simdjson::validate_utf8(text.data() + at, half)) {
      at += half;
      size -= half;
    } else {
      size = half;
    }
  }
  return at;
}

/// The positions of interest in the strings of a text, which need not be valid.
struct Strings {
  std::size_t last_quote = 0;  ///< the last quote that opens a string
  std::size_t control_character =
      std::string_view::npos;  ///< the first control character in a string
};

Strings strings_in(std::string_view text) {
  Strings found;
  bool is_inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      is_inside = !is_inside;
      if (is_inside) { found.last_quote = i; }
    } else if (is_inside && text[i] == '\\') {
      ++i;
    } else if (is_inside && static_cast<unsigned char>(text[i]) < ' ') {
      found.control_character = std::min(found.control_character, i);
    }
  }
  return found;
}

std::size_t offset_of(const JsonReader& reader, JsonProblem problem) {
  const std::string_view text = reader.text();
  switch (problem) {
    case JsonProblem::utf8: return invalid_utf8_in(text);
    case JsonProblem::unclosed_string: return strings_in(text).last_quote;
    case JsonProblem::control_character:
      return std::min(strings_in(text).control_character, text.size());
    default: return reader.offset();
  }
}

}  // namespace

std::string explain(const JsonReader& reader, JsonProblem problem) {
  const std::string_view what = describe(problem);
  if (problem == JsonProblem::none || problem == JsonProblem::empty) { return std::string(what); }
  const std::string_view text = reader.text();
  const std::size_t offset = offset_of(reader, problem);
  const std::string_view before = text.substr(0, offset);
  const std::string_view line_start = before.substr(before.rfind('\n') + 1);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto column = 1 + std::count_if(line_start.begin(), line_start.end(), begins_character);
  return fmt::format("{} at {}column {}{}", what, line > 1 ? fmt::format("line {}, ", line) : "",
                     column, offset == text.size() ? ", the end" : "");
}

}  // namespace handoff
