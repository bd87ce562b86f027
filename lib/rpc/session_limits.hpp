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

/// What a client may make a server hold or wait for. A duration of 0 is no deadline.
struct SessionLimits {
  std::uint32_t max_frame = limits::kMaxFrame;
  Duration idle_timeout{};                           ///< between two requests
  Duration frame_timeout = limits::kFrameTimeout;    ///< from a frame's first byte to its last
  Duration write_timeout = limits::kWriteTimeout;    ///< in which an unread reply must progress
  Duration call_timeout = limits::kCallTimeout;      ///< of a handler
  Duration linger_timeout = limits::kLingerTimeout;  ///< for a refused client to read why
  std::size_t max_calls = limits::kMaxCallsOfConnection;  ///< of a connection, running or waiting
  std::size_t max_unsent = limits::kMaxUnsent;            ///< bytes of replies; then reading stops
  std::size_t concurrency = limits::kMaxRunningCalls;     ///< calls of all connections that run
  bool synchronous = false;                            ///< a request is read when none is executed
  std::size_t max_waiting = limits::kMaxWaitingCalls;  ///< calls that wait to run; then "busy"
  Framing framing = Framing::unknown;                  ///< that every client must use, if any
  bool reads_on_when_full = true;  ///< a connection of whose calls one waits to run
  /// Of the process: copies of these limits share it.
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();

  /// Bytes that one connection may make us hold before it may start no further call: always two
  /// of the longest frames, a request and its reply.
  std::size_t connection_memory() const {
    return std::max(2 * std::size_t{max_frame},
                    std::min(limits::kMaxConnectionMemory, memory->limit()));
  }
  /// Bytes of one connection that were read and not used, at most: the start of a frame, and what
  /// came with its last read.
  std::size_t max_unused() const { return connection_memory() + max_unsent; }
};

}  // namespace handoff
