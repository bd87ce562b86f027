// SPDX-License-Identifier: MIT
#include "async/exec_child.hpp"

#include <poll.h>

#include <array>
#include <chrono>
#include <csignal>
#include <utility>

#include "async/fd_watcher.hpp"
#include "async/stream.hpp"
#include "os/error.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A command closes its output a moment before it has ended; this is the time for that.
constexpr Duration kExitTime = seconds(1);

/// The signals for a command that goes on after the end of its input, each with the time before it.
struct Step {
  milliseconds patience;
  int signal;
};
constexpr std::array kSteps = {Step{milliseconds(1000), SIGTERM},
                               Step{milliseconds(1000), SIGKILL}};

void wait_for(int pidfd, int ms) {
  pollfd exited{pidfd, POLLIN, 0};
  retry([&] { return poll(&exited, 1, ms); });
}

}  // namespace

void ExecChild::Process::reap() {
  status = child.reap();
  reaped = true;
  changed.notify_all();
}

Task<bool> ExecChild::Process::wait_until_reaped(TimePoint deadline) {
  return changed.wait_until([this] { return reaped; }, deadline);
}

ExecChild::ExecChild(Reactor& reactor, Child child)
    : process_(std::make_shared<Process>(reactor, std::move(child))) {
  reactor.spawn(reap_at_end(process_));
}

ExecChild::~ExecChild() {
  if (!process_ || process_->reaped) { return; }
  for (const Step& step : kSteps) {
    wait_for(process_->child.pidfd(), static_cast<int>(step.patience.count()));
    if (!process_->child.has_ended()) { process_->child.kill_tree(step.signal); }
  }
  process_->reap();
}

/// Reaps the command as soon as it ends: its connection may stay unused for a long time, in which
/// nothing else would notice.
Task<void> ExecChild::reap_at_end(std::shared_ptr<Process> process) {
  try {
    FdWatcher exited(process->reactor, process->child.pidfd());
    while (!process->reaped && !process->child.has_ended()) { co_await exited.readable(); }
  } catch (const SystemError&) {
    co_return;  // epoll has no room; the owner reaps the command
  }
  if (!process->reaped) { process->reap(); }
}

/// The function keeps the process alive: one coroutine may write to the command while another one
/// reads from it, and each may find that it has ended and drop the ExecChild.
Task<bool> ExecChild::ended() {
  const std::shared_ptr<Process> process = process_;
  co_await process->wait_until_reaped(Clock::now() + kExitTime);
  if (!process->reaped && process->child.has_ended()) { process->reap(); }
  co_return process->reaped;
}

Task<void> ExecChild::end(ExecChild child) {
  Process& process = *child.process_;
  for (const Step& step : kSteps) {
    const bool reaped = co_await process.wait_until_reaped(Clock::now() + step.patience);
    if (reaped) { co_return; }
    process.child.kill_tree(step.signal);
  }
  co_await process.wait_until_reaped(Clock::now() + kExitTime);
}

}  // namespace handoff
