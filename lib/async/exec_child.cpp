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

/// A command closes its output a moment before it has ended.
constexpr Duration kExitTime = seconds(1);

/// What is sent to a command that goes on without input, after so long each.
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

/// Reaps the command at once: its connection may stay unused for long.
Task<void> ExecChild::reap_at_end(std::shared_ptr<Process> process) {
  try {
    FdWatcher exited(process->reactor, process->child.pidfd());
    while (!process->reaped && !process->child.has_ended()) { co_await exited.readable(); }
  } catch (const SystemError&) {
    co_return;  // no room in epoll: it is reaped by its owner
  }
  if (!process->reaped) { process->reap(); }
}

/// One coroutine may write to the command while another one reads from it, and both find it gone.
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
