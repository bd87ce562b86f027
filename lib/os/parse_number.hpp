// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace handoff {

/// Returns the number that the whole of `text` is, whatever the locale; nothing if it is no number,
/// if anything follows, or if it is out of the type's range. Leading space and a plus sign are not
/// allowed. `base` may be given for an integer: 8 for the mode of a file. Neither allocates nor
/// throws. All texts that are numbers are read by this function.
template <typename Number, typename... Base>
std::optional<Number> parse_number(std::string_view text, Base... base) {
  Number value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value, base...);
  if (error != std::errc() || end != last) { return std::nullopt; }
  return value;
}

}  // namespace handoff
