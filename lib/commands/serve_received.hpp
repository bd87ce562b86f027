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

/// Runs the commands of `fdrecv --keep`: one for each message, as many at a time as the options
/// say.
class ServeReceived {
 public:
  /// `report_failed` is called with why epoll cannot report the end of a command, which is then
  /// checked again and again; `on_end` is called when a command has ended. All arguments must
  /// outlive this object.
  ServeReceived(Reactor& reactor, const ReceiveOptions& options, StderrLog& log,
                LimitedLine& report_failed, std::function<void()> on_end);
  ServeReceived(const ServeReceived&) = delete;
  ServeReceived& operator=(const ServeReceived&) = delete;

  /// Waits for a place for a command, which the caller owns until start() or give_place_back(). At
  /// most limits::kMaxSenders coroutines may wait at a time. This object must outlive the task.
  Task<void> take_place();
  /// Gives the caller's place to another coroutine.
  void give_place_back() { places_.release(); }
  /// Starts a command with what was received, in the place that the caller owns; the place is free
  /// again when the command ends. The caller may close the descriptors after the call. Throws what
  /// spawn() throws; the place is given back then too.
  void start(const Received& received);
  /// Returns the number of commands that have not ended.
  std::size_t running() const { return running_; }

 private:
  /// Waits for the end of a command, and reaps it.
  Task<void> reap(Child child);

  Reactor& reactor_;
  const ReceiveOptions& options_;
  StderrLog& log_;
  Semaphore places_;
  LimitedLine& report_failed_;
  std::function<void()> on_end_;
  /// The number of commands that have not ended.
  std::size_t running_ = 0;
};

}  // namespace handoff
