// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "commands/rendezvous_options.hpp"

namespace handoff {

/// The options of fdrecv; the manual page says more about each.
struct ReceiveOptions {
  /// The numbers that the descriptors have in the command.
  enum class Placement {
    stdio,       ///< the only descriptor becomes 0 and 1
    stdin_only,  ///< the only descriptor becomes 0
    numbers,     ///< each gets its number in `numbers`
    listen_fds,  ///< any number of them, from 3 on, with LISTEN_FDS (sd_listen_fds(3))
  };

  RendezvousOptions rendezvous;
  std::vector<std::string> command;  ///< empty: copies the descriptor to stdout, unless `json`
  Placement placement = Placement::stdio;
  /// The numbers for Placement::numbers, one for each descriptor that a message must have.
  std::vector<int> numbers;
  bool json = false;                ///< prints what arrived and closes it
  bool keep = false;                ///< goes on after a message, with a process for each
  std::uint64_t count = 0;          ///< with `keep`: messages after which it ends; 0 is never
  std::size_t max_processes = 256;  ///< with `keep`: processes at a time
};

}  // namespace handoff
