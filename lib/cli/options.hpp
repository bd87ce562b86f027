// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "cli/exchange.hpp"
#include "cli/stderr_log.hpp"
#include "cli/tool_main.hpp"
#include "cluster/report.hpp"
#include "os/address.hpp"
#include "os/error.hpp"
#include "rpc/service.hpp"

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

/// An option that takes one of some words, each of which stands for a value.
template <typename Value>
CLI::Option* add_choice(CLI::App& app, const std::string& names, Value& value,
                        const std::map<std::string, Value>& words, const std::string& help) {
  return app.add_option_function<std::string>(
      names,
      [&value, words](const std::string& word) {
        const auto found = words.find(word);
        if (found != words.end()) {
          value = found->second;
          return;
        }
        std::string all;
        for (const auto& [name, meaning] : words) all += (all.empty() ? "" : ", ") + name;
        throw InvalidArgument("option, on " + word + ": write one of " + all);
      },
      help);
}

/// An option that takes one address.
CLI::Option* add_address(CLI::App& app, const std::string& names, std::optional<Address>& address,
                         const std::string& help, const std::string& type);

/// The address of a server to call, from a word. Throws InvalidArgument, also when it is fd:N and
/// that is not open for reading and writing. Call it before this process opens anything: its own
/// descriptors would do.
Address parse_server(std::string_view word);

/// What a client may make a server hold or wait for. `mark` goes before each explanation.
void add_session_options(Tool& tool, SessionLimits& limits, const std::string& mark = "");

/// Throws InvalidArgument, naming `what`, unless the address is that of a named Unix socket.
void require_named(const Address& address, std::string_view what);

/// --max-frame, which is at most frame::kHighestMaxBody.
void add_max_frame(CLI::App& app, std::uint32_t& max_frame, const std::string& help);

/// --allow-uid, whose users are at the other end of a socket.
void add_allowed_uids(CLI::App& app, std::vector<uid_t>& uids, const std::string& help);

/// -t/--timeout, --mode and --allow-uid of fdsend and fdrecv.
void add_exchange_options(Tool& tool, ExchangeOptions& options);

/// "MIN:MAX", two durations in order. Throws InvalidArgument.
std::pair<Duration, Duration> parse_duration_range(std::string_view text);

/// "N", or "N,JITTER" for N and a random number up to JITTER. Throws InvalidArgument.
std::uint64_t parse_max_requests(std::string_view text);

/// "NAME=VALUE". Throws InvalidArgument, naming `form`.
std::pair<std::string, std::string> split_name_value(std::string_view text, std::string_view form);

/// The lines of a life cycle, said as the log's level allows. The log must outlive it.
Report report_to(StderrLog& log);

}  // namespace handoff
