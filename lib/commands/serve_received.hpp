// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>

#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/semaphore.hpp"
#include "async/task.hpp"
#include "cli/stderr_log.hpp"
#include "commands/receive_options.hpp"
#include "os/child.hpp"
#include "pass/handover_receiver.hpp"

namespace handoff {

/// The commands of `fdrecv --keep`: one for each message, as many at a time as the options say.
class ServeReceived {
 public:
  /// All of these must outlive it. `report_failed` is told of a command whose end cannot be
  /// awaited, which is tried again; `on_end` is called when a command has ended.
  ServeReceived(Reactor& reactor, const ReceiveOptions& options, StderrLog& log,
                LimitedLine& report_failed, std::function<void()> on_end);
  ServeReceived(const ServeReceived&) = delete;
  ServeReceived& operator=(const ServeReceived&) = delete;

  /// Waits for a place for a command, which the caller then has until start() or give_place_back().
  /// At most limits::kMaxSenders coroutines may wait at a time.
  Task<void> take_place();
  void give_place_back() { places_.release(); }
  /// Starts a command with what was received, in the place that the caller has. Throws what spawn()
  /// throws; the place is given back then, as at the command's end.
  void start(const Received& received);
  /// Commands that have not ended.
  std::size_t running() const { return running_; }

 private:
  Task<void> reap(Child child);

  Reactor& reactor_;
  const ReceiveOptions& options_;
  StderrLog& log_;
  Semaphore places_;
  LimitedLine& report_failed_;
  std::function<void()> on_end_;
  std::size_t running_ = 0;
};

}  // namespace handoff
