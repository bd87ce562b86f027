// SPDX-License-Identifier: MIT
#include "async/exec_child.hpp"

#include <poll.h>

#include <array>
#include <chrono>
#include <csignal>
#include <utility>

#include "async/stream.hpp"
#include "os/error.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A command closes its output a moment before it has ended.
constexpr Duration kExitTime = seconds(1);
constexpr Duration kLookPause = milliseconds(2);

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

ExecChild::ExecChild(ExecChild&& other) noexcept
    : reactor_(other.reactor_),
      child_(std::move(other.child_)),
      status_(other.status_),
      reaped_(std::exchange(other.reaped_, true)) {}

ExecChild::~ExecChild() {
  if (reaped_) return;
  for (const Step& step : kSteps) {
    wait_for(child_.pidfd(), static_cast<int>(step.patience.count()));
    if (!child_.has_ended()) child_.kill_tree(step.signal);
  }
  reap();
}

void ExecChild::reap() {
  status_ = child_.reap();
  reaped_ = true;
}

/// One coroutine may write to the command while another one reads from it, and both find it gone.
Task<bool> ExecChild::ended() {
  const TimePoint limit = Clock::now() + kExitTime;
  while (!reaped_ && !child_.has_ended()) {
    if (Clock::now() >= limit) co_return false;
    co_await reactor_->sleep_until(Clock::now() + kLookPause);
  }
  if (!reaped_) reap();
  co_return true;
}

Task<void> ExecChild::end(ExecChild child) {
  if (child.reaped_) co_return;
  {
    Readiness exited(*child.reactor_, child.child_.pidfd());
    for (const Step& step : kSteps) {
      const Deadline limit(exited, Clock::now() + step.patience);
      if (child.child_.has_ended() || co_await exited.readable()) break;
      child.child_.kill_tree(step.signal);
    }
    if (!child.child_.has_ended()) co_await exited.readable();
  }
  child.reap();
}

}  // namespace handoff
