// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "async/semaphore.hpp"
#include "rpc/handlers.hpp"
#include "wire/codec.hpp"
#include "wire/frame.hpp"
#include "wire/message.hpp"

namespace handoff {

class Session;

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
  std::size_t max_waiting = 1024;                     ///< calls that wait to run; then "busy"
  Framing framing = Framing::unknown;                 ///< of every connection
};

/// What all connections of one reactor share: the methods, the limits, and memory that is only
/// used between two waits, so that an idle connection holds none.
struct Service {
  Service(Reactor& loop, std::shared_ptr<const Handlers> methods, const SessionLimits& bounds)
      : reactor(loop),
        handlers(std::move(methods)),
        limits(bounds),
        running(loop, bounds.concurrency, bounds.max_waiting) {}

  static constexpr std::size_t kInputSize = 64 * 1024;

  Reactor& reactor;
  /// May be exchanged: a call keeps those that it began with.
  std::shared_ptr<const Handlers> handlers;
  SessionLimits limits;
  Semaphore running;
  MessageParser parser;
  ReceiveBuffer input{kInputSize};
  std::string output;

  /// Finish what was started on every connection, then close it, from now on.
  void drain();

  std::size_t open = 0;            ///< connections
  std::vector<Session*> sessions;  ///< those that have begun; see Session::open
  std::uint64_t requests = 0;      ///< since the start
  bool draining = false;
  /// Is told the id of each connection that has been closed.
  std::function<void(std::uint64_t)> on_closed;
};

}  // namespace handoff
