// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>

#include "os/parse_number.hpp"

/// Functions that read the values of options from text. For text that is not such a value they
/// throw InvalidArgument with "TEXT: how it is written"; Tool puts the name of the option before
/// that.
namespace handoff {

/// Reads a duration: a number and us, ms, s, m or h, or a number of seconds; at most a century.
/// Throws InvalidArgument.
Duration parse_duration(std::string_view text);

/// Reads "MIN:MAX", two durations in order. Throws InvalidArgument.
std::pair<Duration, Duration> parse_duration_range(std::string_view text);

/// Reads a number of bytes; units are powers of 1024. Throws InvalidArgument with `advice`, which
/// tells how a size is written, unless the text is a size from `least` to `most`.
std::uint64_t parse_size(const std::string& text, std::uint64_t least, std::uint64_t most,
                         std::string_view advice);

/// Reads "N", or "N,JITTER", which is N and a random number up to JITTER. Throws InvalidArgument.
std::uint64_t parse_max_requests(std::string_view text);

/// Splits "NAME=VALUE", which `option` was given, at the first equals sign. Throws InvalidArgument,
/// which names the option and the `form`.
std::pair<std::string, std::string> split_name_value(std::string_view option, std::string_view text,
                                                     std::string_view form);

/// Throws InvalidArgument, which names `what`, unless the word is UTF-8: JSON cannot hold other
/// bytes, and changing them would not be what the user wants.
void require_utf8(std::string_view what, std::string_view word);

/// Returns the id of a user, given as that number or as the user's name. The name service may
/// block. Throws InvalidArgument.
uid_t parse_user(const std::string& text);

/// Returns "a, b or c".
std::string listed(const std::vector<std::string>& words);

/// Returns a function that reads a number from `least` to `most` into `value`, whatever the locale,
/// and otherwise throws InvalidArgument. `value` must outlive it.
template <typename Number>
std::function<void(const std::string&)> number_into(Number& value, Number least, Number most) {
  return [&value, least, most](const std::string& text) {
    const auto number = parse_number<Number>(text);
    if (!number || *number < least || *number > most) {
      // A limit of 19 digits would not help the user.
      const std::string range = static_cast<double>(most) > 1e15
                                    ? fmt::format("write a number, {} or more", least)
                                    : fmt::format("write a number from {} to {}", least, most);
      throw InvalidArgument(fmt::format("{}: {}", text.empty() ? "''" : text, range));
    }
    value = *number;
  };
}

}  // namespace handoff
