// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "os/address_range.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// A call that a worker makes of itself.
struct ReadyCall {
  std::string method;
  std::string params = "null";  ///< valid JSON
};

/// How a worker serves; the manual page rpc-worker(1) says more about the options.
struct WorkerOptions {
  SessionLimits limits;     ///< for all threads together
  std::size_t threads = 1;  ///< reactors, each with a thread of its own
  std::size_t credits = 0;  ///< connections at a time; 0: what the descriptor limit allows
  bool allow_public = false;
  Duration drain_timeout = std::chrono::seconds(30);
  /// How long a worker that serves alone goes on after a signal, and ends each connection after its
  /// next reply; 0: not at all.
  Duration lame_duck{};
  bool reloads = false;  ///< SIGHUP makes the methods again; otherwise it drains the worker
  std::uint64_t max_requests =
      ~std::uint64_t{0};    ///< after this many it asks to be drained and replaced
  Duration max_lifetime{};  ///< after this time it asks to be drained and replaced; 0: never
  /// Users who are allowed besides this process's own and root: as the master that is joined, and
  /// to connect to an abstract name.
  std::vector<uid_t> allowed_uids;
  std::optional<ReadyCall> ready;     ///< the worker serves nothing before this has succeeded
  std::vector<AddressRange> proxies;  ///< whose connections, accepted alone, begin with a header
  bool wake_all = false;              ///< each connection at a passed listener wakes all workers
  const CallLog* calls = nullptr;  ///< where calls are logged, if they are; it outlives the worker

  /// Returns whether max_requests is set.
  bool limits_requests() const { return max_requests != WorkerOptions().max_requests; }
};

}  // namespace handoff
