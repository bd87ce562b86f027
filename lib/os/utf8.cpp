// SPDX-License-Identifier: MIT
#include "os/utf8.hpp"

namespace handoff {
namespace {

/// What the first byte of a character says about it.
struct Lead {
  std::size_t size;  ///< bytes of the character; 0 if no character begins with this byte
  unsigned bits;     ///< the first bits of the code point
  char32_t least;    ///< the least code point that needs this many bytes
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) { return {1, byte, 0}; }
  if (byte >= 0xC2 && byte < 0xE0) { return {2, byte & 0x1FU, 0x80}; }
  if (byte >= 0xE0 && byte < 0xF0) { return {3, byte & 0x0FU, 0x800}; }
  if (byte >= 0xF0 && byte < 0xF5) { return {4, byte & 0x07U, 0x10000}; }
  return {0, 0, 0};
}

}  // namespace

Utf8Character first_utf8_character(std::string_view text) {
  if (text.empty()) { return {}; }
  const Lead lead = lead_of(static_cast<unsigned char>(text.front()));
  if (lead.size == 0 || text.size() < lead.size) { return {}; }
  char32_t code_point = lead.bits;
  for (std::size_t i = 1; i < lead.size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80U) { return {}; }
    code_point = code_point << 6U | (byte & 0x3FU);
  }
  const bool is_surrogate = code_point >= 0xD800 && code_point < 0xE000;
  if (code_point < lead.least || is_surrogate || code_point > 0x10FFFF) { return {}; }
  return {code_point, lead.size};
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = first_utf8_character(text).size;
    if (size == 0) { return false; }
    text.remove_prefix(size);
  }
  return true;
}

std::string_view utf8_start(std::string_view text, std::size_t most) {
  if (text.size() <= most) { return text; }
  constexpr std::size_t kLongestCharacter = 4;
  for (std::size_t cut = 0; cut < kLongestCharacter && cut <= most; ++cut) {
    const bool is_inside = (static_cast<unsigned char>(text[most - cut]) & 0xC0U) == 0x80U;
    if (!is_inside) { return text.substr(0, most - cut); }
  }
  return text.substr(0, most);
}

}  // namespace handoff
