// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "async/reactor.hpp"
#include "rpc/memory_budget.hpp"
#include "wire/frame.hpp"

namespace handoff {

/// What a client may make a server hold or wait for. A duration of 0 is no deadline.
struct SessionLimits {
  std::uint32_t max_frame = frame::kDefaultMaxBody;
  Duration idle_timeout{};                            ///< between two requests
  Duration frame_timeout = std::chrono::seconds(30);  ///< from a frame's first byte to its last
  Duration write_timeout = std::chrono::seconds(30);  ///< in which an unread reply must progress
  Duration call_timeout = std::chrono::seconds(30);   ///< of a handler
  Duration linger_timeout = std::chrono::seconds(1);  ///< for a refused client to read why
  std::size_t max_calls = 128;                        ///< of a connection, running or waiting
  std::size_t max_unsent = std::size_t{1} << 20;      ///< bytes of replies; then reading stops
  std::size_t concurrency = 256;                      ///< calls of all connections that run
  bool synchronous = false;                           ///< instant methods too wait for their turn
  std::size_t max_waiting = 1024;                     ///< calls that wait to run; then "busy"
  Framing framing = Framing::unknown;                 ///< that every client must use, if any
  bool reads_on_when_full = true;  ///< a connection of whose calls one waits to run
  bool begins_elsewhere = false;   ///< a call that runs waits behind its Call::gate
  /// Of the process: copies of these limits share it.
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();

  /// Bytes that one connection may make us hold before it may start no further call: always two
  /// of the longest frames, a request and its reply.
  std::size_t connection_memory() const {
    return std::max(2 * std::size_t{max_frame}, std::min(std::size_t{8} << 20, memory->limit()));
  }
  /// Bytes of one connection that were read and not used, at most: the start of a frame, and what
  /// came with its last read.
  std::size_t max_unused() const { return connection_memory() + max_unsent; }
};

}  // namespace handoff
