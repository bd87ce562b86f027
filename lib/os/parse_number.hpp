// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace handoff {

/// The number that the whole of `text` is, whatever the locale; nothing when it is none, when more
/// follows, or when it is out of the type's range. There is no leading space and no plus sign.
template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

}  // namespace handoff
