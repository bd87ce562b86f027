// SPDX-License-Identifier: MIT
#include "wire/json_scalar.hpp"

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace handoff {
namespace {

/// Numbers with no more digits in front of the point, and in the exponent, are below 1e300.
constexpr std::size_t kSafeDigits = 200;
constexpr std::size_t kSafeExponentDigits = 2;

/// Takes the digits off the front of `text`; how many there were.
std::size_t take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  text.remove_prefix(count);
  return count;
}

}  // namespace

bool is_json_number(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('-')) rest.remove_prefix(1);
  const bool leading_zero = rest.starts_with('0');
  const std::size_t digits = take_digits(rest);
  if (digits == 0 || (leading_zero && digits > 1)) return false;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    if (take_digits(rest) == 0) return false;
  }
  std::size_t exponent_digits = 0;
  if (rest.starts_with('e') || rest.starts_with('E')) {
    rest.remove_prefix(1);
    if (rest.starts_with('+') || rest.starts_with('-')) rest.remove_prefix(1);
    exponent_digits = take_digits(rest);
    if (exponent_digits == 0) return false;
  }
  if (!rest.empty()) return false;
  if (digits <= kSafeDigits && exponent_digits <= kSafeExponentDigits) return true;
  return std::isfinite(std::strtod(std::string(text).c_str(), nullptr));
}

}  // namespace handoff
