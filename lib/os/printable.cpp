// SPDX-License-Identifier: MIT
#include "os/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "os/utf8.hpp"

namespace handoff {
namespace {

std::string escape(char32_t code_point) {
  switch (code_point) {
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
  }
  const auto number = static_cast<std::uint32_t>(code_point);
  return code_point < 0x80 ? fmt::format("\\x{:02x}", number) : fmt::format("\\u{:04x}", number);
}

}  // namespace

bool is_control_character(char32_t code_point) {
  const auto is_between = [code_point](char32_t first, char32_t last) {
    return code_point >= first && code_point <= last;
  };
  return code_point < 0x20 || is_between(0x7F, 0x9F) || code_point == 0x061C ||
         is_between(0x200E, 0x200F) || is_between(0x2028, 0x202E) || is_between(0x2066, 0x2069);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character next = first_utf8_character(text);
    if (next.size == 0) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}",
                     static_cast<unsigned char>(text.front()));
      text.remove_prefix(1);
      continue;
    }
    if (is_control_character(next.code_point)) {
      out.append(escape(next.code_point));
    } else {
      out.append(text.substr(0, next.size));
    }
    text.remove_prefix(next.size);
  }
  return out;
}

std::string printable_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const Utf8Character next = first_utf8_character(json);
    if (next.code_point != '\n' && is_control_character(next.code_point)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}",
                     static_cast<std::uint32_t>(next.code_point));
    } else {
      out.append(json.substr(0, next.size));
    }
    json.remove_prefix(std::max<std::size_t>(next.size, 1));
  }
  return out;
}

}  // namespace handoff
