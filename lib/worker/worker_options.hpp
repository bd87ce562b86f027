// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// A call that a worker makes of itself.
struct ReadyCall {
  std::string method;
  std::string params = "null";  ///< valid JSON
};

struct WorkerOptions {
  SessionLimits limits;     ///< of all threads together
  std::size_t threads = 1;  ///< reactors
  std::size_t credits = 0;  ///< connections held at a time; 0: what the descriptor limit allows
  bool allow_public = false;
  Duration drain_timeout = std::chrono::seconds(30);
  bool reloads = false;  ///< HUP has the methods made again; otherwise it drains
  std::uint64_t max_requests = ~std::uint64_t{0};  ///< then it asks to be drained and replaced
  Duration max_lifetime{};                         ///< the same; 0: none
  /// Besides this process's user and root: those whose master is joined, and who may connect to an
  /// abstract name.
  std::vector<uid_t> allowed_uids;
  std::optional<ReadyCall> ready;  ///< the worker serves nothing before this has succeeded
  bool wake_all = false;           ///< by each connection at a listener that a master has passed

  bool limits_requests() const { return max_requests != WorkerOptions().max_requests; }
};

}  // namespace handoff
