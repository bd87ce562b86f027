// SPDX-License-Identifier: MIT
#include "commands/rendezvous_options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <system_error>

#include "cli/options.hpp"
#include "os/error.hpp"

namespace handoff {

void add_exchange_options(Tool& tool, ExchangeOptions& options) {
  tool.add_duration("-t,--timeout", options.timeout, "Deadline of everything (default: none)");
  const auto parse_mode = [&options](const std::string& text) {
    unsigned mode = 0;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, mode, 8);
    if (error != std::errc() || at != end || mode > 0777) {
      throw InvalidArgument(fmt::format("{}: write it as 600 or 660", text));
    }
    options.mode = mode;
  };
  tool.add_value("--mode", "MODE", parse_mode,
                 "Listening: mode of the socket's file (default 600)");
  add_allowed_uids(tool, options.allowed_uids,
                   "A user at the other end, besides the own and root; repeatable");
}

}  // namespace handoff
