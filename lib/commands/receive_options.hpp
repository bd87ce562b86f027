// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "commands/rendezvous_options.hpp"

namespace handoff {

struct ReceiveOptions {
  /// Where the descriptors go in the command.
  enum class Placement {
    stdio,       ///< the only one is 0 and 1
    stdin_only,  ///< the only one is 0
    numbers,     ///< as `numbers` says, in order
    listen_fds,  ///< any number of them from 3 on, told in LISTEN_FDS (sd_listen_fds(3))
  };

  RendezvousOptions rendezvous;
  std::vector<std::string> command;  ///< none: copy the descriptor to stdout, unless `json`
  Placement placement = Placement::stdio;
  std::vector<int> numbers;
  bool json = false;                ///< say what came, and close it
  bool keep = false;                ///< go on: a process for every message
  std::uint64_t count = 0;          ///< with `keep`: messages after which it ends; 0 is never
  std::size_t max_processes = 256;  ///< with `keep`: at a time
};

}  // namespace handoff
