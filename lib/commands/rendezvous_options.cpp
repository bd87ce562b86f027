// SPDX-License-Identifier: MIT
#include "commands/rendezvous_options.hpp"

#include <fmt/format.h>

#include <string>

#include "cli/shared_options.hpp"
#include "os/error.hpp"
#include "os/parse_number.hpp"

namespace handoff {

void add_rendezvous_options(Tool& tool, RendezvousOptions& options) {
  tool.add_duration("-t,--timeout", options.timeout, "Deadline of everything (default: none)");
  const auto parse_mode = [&options](const std::string& text) {
    const auto mode = parse_number<unsigned>(text, 8);
    if (!mode || *mode > 0777) {
      throw InvalidArgument(fmt::format("{}: write it as 600 or 660", text));
    }
    options.mode = *mode;
  };
  tool.add_value("--mode", "MODE", parse_mode,
                 "Listening: mode of the socket's file (default 600)");
  add_allowed_uids(tool, options.allowed_uids,
                   "A user at the other end, besides the own and root; repeatable");
}

}  // namespace handoff
