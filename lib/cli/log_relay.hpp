// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <handoff/async/mailbox.hpp>
#include <handoff/async/reactor.hpp>

#include "os/log.hpp"

namespace handoff {

/// The way of lines from other threads to a log that the main thread alone uses. It never blocks:
/// lines that the main thread does not write soon enough are dropped and counted.
class LogRelay {
 public:
  using Write = std::function<void()>;

  /// The most lines that wait for the main thread.
  static constexpr std::size_t kMostWaiting = 1024;

  /// Is made on the main thread, whose reactor `main` is, of a program that has so many threads.
  /// `report` is called on the main thread when lines were dropped. The reactor must outlive this
  /// object. Throws SystemError.
  LogRelay(Reactor& main, std::size_t threads, Report report);
  LogRelay(const LogRelay&) = delete;
  LogRelay& operator=(const LogRelay&) = delete;
  /// Calls what waits. The other threads must have ended.
  ~LogRelay();

  /// Calls `write`, which writes one line, on the main thread: at once if this is that thread, and
  /// soon otherwise.
  void run(const Write& write);

 private:
  void write_waiting();

  std::thread::id main_ = std::this_thread::get_id();
  Report report_;
  std::mutex mutex_;
  std::vector<Write> waiting_;
  std::size_t dropped_ = 0;
  std::optional<Mailbox> mailbox_;  ///< if there are other threads
};

}  // namespace handoff
