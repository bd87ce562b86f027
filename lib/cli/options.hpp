// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "cli/stderr_log.hpp"
#include "cli/tool_main.hpp"
#include "os/address.hpp"
#include "os/error.hpp"
#include "os/log.hpp"
#include "os/parse_number.hpp"
#include "rpc/server_context.hpp"

/// Options that several tools have, and words that several options take.
namespace handoff {

/// -l/--listen (repeatable) and --public. The server tools' default address is theirs to add.
void add_listen_options(Tool& tool, std::vector<Address>& listen, bool& allow_public);

/// Adds the listeners that the service manager passed to this process (sd_listen_fds(3)):
/// LISTEN_FDS descriptors from 3 on, when LISTEN_PID is ours.
void add_inherited_listeners(std::vector<Address>& listen);
/// The same, for a program that is told by its master when to accept from them.
std::vector<Fd> take_inherited_listeners();

/// An option whose every use takes one word; the words are in its results().
void add_words(CLI::App& app, const std::string& names, const std::string& help,
               const std::string& type);

/// An option that takes a number, whatever the locale.
template <typename Number>
std::function<void(const std::string&)> number_into(Number& value, Number least, Number most) {
  return [&value, least, most](const std::string& text) {
    const auto number = parse_number<Number>(text);
    if (!number || *number < least || *number > most) {
      // A limit that nobody can mean is no help.
      const std::string range = static_cast<double>(most) > 1e15
                                    ? fmt::format("write a number, {} or more", least)
                                    : fmt::format("write a number from {} to {}", least, most);
      throw InvalidArgument(fmt::format("{}: {}", text.empty() ? "''" : text, range));
    }
    value = *number;
  };
}

template <typename Number>
CLI::Option* add_number(Tool& tool, const std::string& names, const std::string& type,
                        Number& value, std::type_identity_t<Number> least,
                        std::type_identity_t<Number> most, const std::string& help) {
  return tool.add_value(names, type, number_into<Number>(value, least, most), help);
}

/// The same for one that may be given several times.
template <typename Number>
CLI::Option* add_numbers(Tool& tool, const std::string& names, const std::string& type,
                         std::vector<Number>& values, std::type_identity_t<Number> least,
                         std::type_identity_t<Number> most, const std::string& help) {
  const auto parse = [&values, least, most](const std::string& text) {
    Number value{};
    number_into<Number>(value, least, most)(text);
    values.push_back(value);
  };
  return tool.add_values(names, type, parse, help);
}

/// "a, b or c".
std::string listed(const std::vector<std::string>& words);

/// An option that takes one of some words, each of which stands for a value.
template <typename Value>
CLI::Option* add_choice(Tool& tool, const std::string& names, const std::string& type, Value& value,
                        const std::vector<std::pair<std::string, Value>>& words,
                        const std::string& help) {
  const auto parse = [&value, words](const std::string& word) {
    std::vector<std::string> all;
    for (const auto& [name, meaning] : words) {
      all.push_back(name);
      if (name != word) continue;
      value = meaning;
      return;
    }
    throw InvalidArgument(fmt::format("{}: write {}", word.empty() ? "''" : word, listed(all)));
  };
  return tool.add_value(names, type, parse, help);
}

/// An option that takes the name of a Unix socket: a path with a slash in it, or @name.
CLI::Option* add_socket_name(Tool& tool, const std::string& names, std::optional<Address>& address,
                             const std::string& help);

/// The address of a server to call, from a word. Throws InvalidArgument, also when it is fd:N and
/// that is not open for reading and writing. Call it before this process opens anything: its own
/// descriptors would do.
Address parse_server(std::string_view word);

/// What a client may make a server hold or wait for. `mark` goes before each explanation.
void add_session_options(Tool& tool, SessionLimits& limits, const std::string& mark = "");

/// Throws InvalidArgument, naming `what`, unless the word is UTF-8: JSON has no place for other
/// bytes, and to change them would be to do something else than the user wants.
void require_utf8(std::string_view what, std::string_view word);

/// --max-frame, which is at most limits::kHighestMaxFrame.
void add_max_frame(Tool& tool, std::uint32_t& max_frame, const std::string& help);

/// --allow-uid, whose users are at the other end of a socket.
void add_allowed_uids(Tool& tool, std::vector<uid_t>& uids, const std::string& help);

/// "MIN:MAX", two durations in order. Throws InvalidArgument.
std::pair<Duration, Duration> parse_duration_range(std::string_view text);

/// "N", or "N,JITTER" for N and a random number up to JITTER. Throws InvalidArgument.
std::uint64_t parse_max_requests(std::string_view text);

/// "NAME=VALUE", given to `option`. Throws InvalidArgument, naming the option and the `form`.
std::pair<std::string, std::string> split_name_value(std::string_view option, std::string_view text,
                                                     std::string_view form);

/// The lines of a life cycle, said as the log's level allows. The log must outlive it.
Report report_to(StderrLog& log);

}  // namespace handoff
