// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "async/semaphore.hpp"
#include "pass/connection.hpp"
#include "rpc/memory_budget.hpp"
#include "rpc/method_table.hpp"
#include "wire/dialect.hpp"
#include "wire/framing.hpp"
#include "wire/limits.hpp"
#include "wire/receive_buffer.hpp"
#include "wire/request.hpp"

namespace handoff {

class Session;

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
  bool synchronous = false;                            ///< instant methods too wait for their turn
  std::size_t max_waiting = limits::kMaxWaitingCalls;  ///< calls that wait to run; then "busy"
  Framing framing = Framing::unknown;                  ///< that every client must use, if any
  bool reads_on_when_full = true;  ///< a connection of whose calls one waits to run
  bool begins_elsewhere = false;   ///< a call that runs waits behind its Call::gate
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

/// What all connections of one reactor share: the methods, the limits, and memory that is only
/// used between two waits, so that an idle connection holds none.
struct Service final : private PollSource {
  Service(Reactor& loop, std::shared_ptr<const MethodTable> methods, const SessionLimits& bounds);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  static constexpr std::size_t kInputSize = 64 * 1024;

  Reactor& reactor;
  /// May be exchanged: a call keeps those that it began with.
  std::shared_ptr<const MethodTable> table;
  SessionLimits limits;
  Semaphore running;
  RequestParser parser;
  ReceiveBuffer input{kInputSize};
  std::string output;
  std::string body;

  /// From now on: finish what was started on every connection, then close it, or hand it to
  /// `on_returned` with what is left to do.
  void drain(bool give_back);
  bool draining() const { return draining_; }
  /// Serve again.
  void resume() { draining_ = gives_back_ = false; }
  /// What is left ends by itself; nobody is told.
  void abandon();
  /// Ends the connection without a call that its own limits would end first. A request of it that
  /// has arrived is still answered. False when there is none.
  bool close_idlest();

  void count_requests(std::size_t count) {
    requests += count;
    if (requests_told != nullptr) requests_told->store(requests, std::memory_order_relaxed);
    if (requests_left == nullptr) return;
    const auto number = static_cast<std::int64_t>(count);
    const std::int64_t left = requests_left->fetch_sub(number, std::memory_order_relaxed);
    if (left > 0 && left <= number) on_most_requests();
  }

  void call_begins() { tell_calls(++calls); }
  void call_ends() { tell_calls(--calls); }

  std::size_t open = 0;             ///< connections
  std::vector<Session*> sessions;   ///< those that have begun; see Session::open
  std::size_t paused = 0;           ///< connections that wait for the process's memory
  std::vector<Session*> deferring;  ///< those that have replies to send at the end of the turn
  std::uint64_t requests = 0;       ///< since the start
  std::atomic<std::uint64_t>* requests_told = nullptr;  ///< the same, for other threads
  std::size_t calls = 0;                           ///< of all connections that have begun or wait
  std::atomic<std::size_t>* calls_told = nullptr;  ///< the same, for other threads
  /// Is told the id of each connection that has been closed.
  std::function<void(std::uint64_t)> on_closed;
  /// Is told a line about a connection that was closed because a call on this system failed, or
  /// memory was short: it costs that connection alone.
  std::function<void(std::string_view)> on_failed;
  /// Gets each connection that was given back.
  std::function<void(Connection)> on_returned;
  /// Is told that calls may begin which a Call::gate has held up.
  std::function<void()> on_calls_allowed;
  /// How many more there may be, of all threads, until this is called, once. None: no limit.
  std::atomic<std::int64_t>* requests_left = nullptr;
  std::function<void()> on_most_requests;

 private:
  friend class Session;
  void tell_calls(std::size_t count) {
    if (calls_told != nullptr) calls_told->store(count, std::memory_order_relaxed);
  }
  /// Sends what was answered in this turn.
  bool poll() override;

  void tell_failed(std::string_view what) const;

  bool draining_ = false;
  bool gives_back_ = false;
};

}  // namespace handoff
