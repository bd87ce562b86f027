// SPDX-License-Identifier: MIT
#include "cli/option_values.hpp"

#include <CLI/CLI.hpp>
#include <pwd.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "os/utf8.hpp"

namespace handoff {

Duration parse_duration(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double seconds = 0;
  if (unit == "us") {
    seconds = 1e-6;
  } else if (unit == "ms") {
    seconds = 1e-3;
  } else if (unit == "s" || unit.empty()) {
    seconds = 1;
  } else if (unit == "m") {
    seconds = 60;
  } else if (unit == "h") {
    seconds = 3600;
  }
  // A century is long enough for any use, and fits into nanoseconds.
  constexpr double kMost = 3600.0 * 24 * 365 * 100;
  if (error != std::errc() || seconds == 0 || !std::isfinite(value) || value < 0 ||
      value * seconds > kMost) {
    throw InvalidArgument(fmt::format("{}: write a duration such as 250ms, 2s, 1m or 1h",
                                      text.empty() ? "''" : text));
  }
  const auto duration =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value * seconds));
  // The value must not become 0, which has a meaning of its own.
  if (value > 0 && duration == Duration()) {
    throw InvalidArgument(fmt::format("{}: shorter than a nanosecond", text));
  }
  return duration;
}

std::pair<Duration, Duration> parse_duration_range(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    throw InvalidArgument(fmt::format("{}: write MIN:MAX, as in 100ms:10s", text));
  }
  const Duration low = parse_duration(text.substr(0, colon));
  const Duration high = parse_duration(text.substr(colon + 1));
  if (low > high) { throw InvalidArgument(fmt::format("{}: the first exceeds the second", text)); }
  return {low, high};
}

std::uint64_t parse_size(const std::string& text, std::uint64_t least, std::uint64_t most,
                         std::string_view advice) {
  std::uint64_t bytes = 0;
  try {
    std::string size = text;
    CLI::AsSizeValue(false)(size);
    bytes = parse_number<std::uint64_t>(size).value_or(0);
  } catch (const CLI::ValidationError&) {
    // The text is no size; 0 is refused in the same way.
  }
  if (bytes >= least && bytes <= most) { return bytes; }
  throw InvalidArgument(
      fmt::format("{}: write a size such as {}", text.empty() ? "''" : text, advice));
}

std::uint64_t parse_max_requests(std::string_view text) {
  const auto number = [&](std::string_view digits) {
    const auto value = parse_number<std::uint64_t>(digits);
    if (!value || *value > 1'000'000'000'000) {
      throw InvalidArgument(fmt::format("{}: write N or N,JITTER", text));
    }
    return *value;
  };
  const auto comma = text.find(',');
  const std::uint64_t most = number(text.substr(0, comma));
  if (most == 0) { throw InvalidArgument("0: write 1 or more"); }
  if (comma == std::string_view::npos) { return most; }
  std::random_device random;
  return most +
         std::uniform_int_distribution<std::uint64_t>(0, number(text.substr(comma + 1)))(random);
}

std::pair<std::string, std::string> split_name_value(std::string_view option, std::string_view text,
                                                     std::string_view form) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InvalidArgument(fmt::format("{} {}: write {}", option, text, form));
  }
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

void require_utf8(std::string_view what, std::string_view word) {
  if (is_utf8(word)) { return; }
  throw InvalidArgument(
      fmt::format("{} {}: write it in UTF-8, for JSON has nothing else", what, word));
}

uid_t parse_user(const std::string& text) {
  // (uid_t)-1 is no user: chown(2) and others take it for "leave it as it is".
  const auto number = parse_number<uid_t>(text);
  if (number && *number != std::numeric_limits<uid_t>::max()) { return *number; }
  if (const passwd* user = getpwnam(text.c_str())) { return user->pw_uid; }
  throw InvalidArgument(
      fmt::format("{}: no user has that name or number", text.empty() ? "''" : text));
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) { text += i + 1 == words.size() ? " or " : ", "; }
    text += words[i];
  }
  return text;
}

}  // namespace handoff
