// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "os/error.hpp"
#include "os/parse_number.hpp"

/// The values of options, read from text. A text that is no such value throws InvalidArgument with
/// "TEXT: how it is written"; Tool puts the name of the option before that.
namespace handoff {

/// Throws InvalidArgument, "TEXT: how it is written".
Duration parse_duration(std::string_view text);

/// "MIN:MAX", two durations in order. Throws InvalidArgument.
std::pair<Duration, Duration> parse_duration_range(std::string_view text);

/// A number of bytes; units are powers of 1024. Throws InvalidArgument, which says what `advice`
/// does, for a text that is no size from `least` to `most`.
std::uint64_t parse_size(const std::string& text, std::uint64_t least, std::uint64_t most,
                         std::string_view advice);

/// "N", or "N,JITTER" for N and a random number up to JITTER. Throws InvalidArgument.
std::uint64_t parse_max_requests(std::string_view text);

/// "NAME=VALUE", given to `option`. Throws InvalidArgument, naming the option and the `form`.
std::pair<std::string, std::string> split_name_value(std::string_view option, std::string_view text,
                                                     std::string_view form);

/// Throws InvalidArgument, naming `what`, unless the word is UTF-8: JSON has no place for other
/// bytes, and to change them would be to do something else than the user wants.
void require_utf8(std::string_view what, std::string_view word);

/// "a, b or c".
std::string listed(const std::vector<std::string>& words);

/// An option that takes a number, whatever the locale.
template <typename Number>
std::function<void(const std::string&)> number_into(Number& value, Number least, Number most) {
  return [&value, least, most](const std::string& text) {
    const auto number = parse_number<Number>(text);
    if (!number || *number < least || *number > most) {
      // A limit of 19 digits helps no user.
      const std::string range = static_cast<double>(most) > 1e15
                                    ? fmt::format("write a number, {} or more", least)
                                    : fmt::format("write a number from {} to {}", least, most);
      throw InvalidArgument(fmt::format("{}: {}", text.empty() ? "''" : text, range));
    }
    value = *number;
  };
}

}  // namespace handoff
