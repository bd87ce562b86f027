// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace handoff {

/// The only parser of numbers that are whole texts. Gives the number that the whole of `text` is,
/// whatever the locale; nothing when it is none, when more follows, or when it is out of the type's
/// range. There is no leading space and no plus sign. `base` may be given for an
/// integer: 8 for the mode of a file. Neither allocates nor throws.
template <typename Number, typename... Base>
std::optional<Number> parse_number(std::string_view text, Base... base) {
  Number value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value, base...);
  if (error != std::errc() || end != last) { return std::nullopt; }
  return value;
}

}  // namespace handoff
