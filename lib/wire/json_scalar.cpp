// SPDX-License-Identifier: MIT
#include "wire/json_scalar.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include "wire/json_reader.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// A number with no more digits than these before the point and in the exponent is below 1e300.
constexpr std::size_t kSafeDigits = 200;
constexpr std::size_t kSafeExponentDigits = 2;

/// Removes the digits from the front of `text`. Returns how many there were.
std::size_t take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') { ++count; }
  text.remove_prefix(count);
  return count;
}

/// Returns whether the first digit other than 0 stands for ten or more, exponent included. `text`
/// is a number other than 0.
bool is_large(std::string_view text) {
  const std::string_view digits = text.substr(0, text.find_first_of("eE"));
  const std::size_t first = digits.find_first_of("123456789");
  const std::size_t point = std::min(digits.find('.'), digits.size());
  const auto distance = static_cast<long>(point) - static_cast<long>(first);
  const long power = distance > 0 ? distance - 1 : distance;
  if (digits.size() == text.size()) { return power > 0; }

  std::string_view exponent = text.substr(digits.size() + 1);
  const bool is_negative = exponent.starts_with('-');
  if (is_negative || exponent.starts_with('+')) { exponent.remove_prefix(1); }
  long shift = std::numeric_limits<long>::max();  // remains when it has too many digits for a long
  std::from_chars(exponent.data(), exponent.data() + exponent.size(), shift);
  return is_negative ? power > shift : shift > -power;
}

/// strtod(3) is not used because its decimal point is that of the locale. A number too small for a
/// double is read as 0; from_chars reports it in the same way as one that is too large.
bool fits_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::isfinite(value) : !is_large(text);
}

}  // namespace

bool is_json_number(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('-')) { rest.remove_prefix(1); }
  const bool leading_zero = rest.starts_with('0');
  const std::size_t digits = take_digits(rest);
  if (digits == 0 || (leading_zero && digits > 1)) { return false; }
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    if (take_digits(rest) == 0) { return false; }
  }
  std::size_t exponent_digits = 0;
  if (rest.starts_with('e') || rest.starts_with('E')) {
    rest.remove_prefix(1);
    if (rest.starts_with('+') || rest.starts_with('-')) { rest.remove_prefix(1); }
    exponent_digits = take_digits(rest);
    if (exponent_digits == 0) { return false; }
  }
  if (!rest.empty()) { return false; }
  if (digits <= kSafeDigits && exponent_digits <= kSafeExponentDigits) { return true; }
  return fits_double(text);
}

bool is_json_id(std::string_view text) {
  if (text.empty()) { return false; }
  if (text.front() != '"') { return is_json_number(text); }
  if (text.back() != '"') { return false; }
  JsonReader reader;
  const std::string copy = padded(text);
  return reader.read_whole({copy.data(), text.size()}, 0) == JsonProblem::none;
}

}  // namespace handoff
