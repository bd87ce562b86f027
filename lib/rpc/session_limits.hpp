// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <handoff/async/clock.hpp>
#include <handoff/wire/limits.hpp>

#include "rpc/memory_budget.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// The limits of what a client may make a server hold or wait for. A duration of 0 means no
/// deadline.
struct SessionLimits {
  std::uint32_t max_frame = limits::kMaxFrame;
  /// The longest pause between two requests.
  Duration idle_timeout{};
  /// The time from a frame's first byte to its last.
  Duration frame_timeout = limits::kFrameTimeout;
  /// The time in which a client that has replies to read must read some of them.
  Duration write_timeout = limits::kWriteTimeout;
  /// The time that a handler gets.
  Duration call_timeout = limits::kCallTimeout;
  /// The time that a refused client gets to read the reason.
  Duration linger_timeout = limits::kLingerTimeout;
  /// The most calls of one connection that run or wait.
  std::size_t max_calls = limits::kMaxCallsOfConnection;
  /// The number of bytes of unsent replies at which a connection is not read any more.
  std::size_t max_unsent = limits::kMaxUnsent;
  /// The most calls of all connections that run.
  std::size_t concurrency = limits::kMaxRunningCalls;
  /// Whether a request is read only when none is executed.
  bool synchronous = false;
  /// The most calls of all connections that wait to run; more are refused as busy.
  std::size_t max_waiting = limits::kMaxWaitingCalls;
  /// The framing that every client must use; unknown: each may choose.
  Framing framing = Framing::unknown;
  /// Whether a connection is read on while one of its calls waits for a place.
  bool reads_on_when_full = true;
  /// The budget of the process, which all copies of these limits share.
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();

  /// Returns the number of bytes that one connection may make this process hold before it may start
  /// no further call: at least twice the longest frame, for a request and its reply.
  std::size_t connection_memory() const {
    return std::max(2 * std::size_t{max_frame},
                    std::min(limits::kMaxConnectionMemory, memory->limit()));
  }
  /// Returns the most bytes of one connection that can have been read and not used: the start of a
  /// frame, and what arrived with its last read.
  std::size_t max_unused() const { return connection_memory() + max_unsent; }
};

}  // namespace handoff
