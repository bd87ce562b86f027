// SPDX-License-Identifier: MIT
#include "commands/serve_received.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "async/fd_watcher.hpp"
#include "commands/exec_received.hpp"
#include "os/error.hpp"
#include "os/spawn.hpp"
#include "wire/limits.hpp"

namespace handoff {
namespace {

/// The pause between two checks of a command whose end epoll cannot report.
constexpr auto kLookPause = std::chrono::milliseconds(100);

}  // namespace

ServeReceived::ServeReceived(Reactor& reactor, const ReceiveOptions& options, StderrLog& log,
                             LimitedLine& report_failed, std::function<void()> on_end)
    : reactor_(reactor),
      options_(options),
      log_(log),
      places_(reactor, options.max_processes, limits::kMaxSenders),
      report_failed_(report_failed),
      on_end_(std::move(on_end)) {}

Task<void> ServeReceived::take_place() {
  co_await places_.acquire();
}

void ServeReceived::start(const Received& received) {
  Child child;
  try {
    child = spawn(spawn_options(options_, received));
  } catch (...) {
    places_.release();
    throw;
  }
  ++running_;
  reactor_.spawn(reap(std::move(child)));
}

Task<void> ServeReceived::reap(Child child) {
  while (!child.has_ended()) {
    FdWatcher exited(reactor_, child.pidfd());
    try {
      co_await exited.readable();
      continue;
    } catch (const SystemError& error) {
      report_failed_(fmt::format("{}, pid {}: {}; trying again", options_.command.front(),
                                 child.pid(), error.what()));
    }
    co_await reactor_.sleep_until(reactor_.now() + kLookPause);
  }
  const pid_t pid = child.pid();
  const ExitStatus status = child.reap();
  if (!status.success()) {
    log_.detail(fmt::format("{}, pid {}: {}", options_.command.front(), pid, status.text()));
  }
  --running_;
  places_.release();
  on_end_();
}

}  // namespace handoff
