// SPDX-License-Identifier: MIT
#include "master/supervised_worker.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "os/environment.hpp"
#include "os/error.hpp"
#include "os/listen_fds.hpp"
#include "os/process_mark.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

/// The first descriptor that a spawned worker has besides the standard ones: its channel, unless it
/// inherits others.
constexpr int kFirstNumber = kFirstListenFd;
constexpr int kStandardAndChannel = 4;

}  // namespace

std::string Member::name() const {
  if (pid() <= 0) return fmt::format("worker {}", number);
  return fmt::format("worker {}, pid {}", number, pid());
}

void Member::limit(Duration duration) {
  due = deadline_after(reactor.now(), duration);
  if (exited) {
    deadline.emplace(*exited, due);
  } else {
    alarm.emplace(reactor, wake, due);
  }
}

void Member::unlimit() {
  due = kNever;
  alarm.reset();
  deadline.reset();
}

void Member::enter(WorkerPhase next, LeaveReason why) {
  phase = std::max(phase, next);
  if (leave_reason == LeaveReason::none) leave_reason = why;
}

void Member::kill(LeaveReason why) {
  unlimit();
  enter(WorkerPhase::killed, why);
  if (joined) return wake.set();
  child.kill();
}

void Member::outlive_child() {
  deadline.reset();
  exited.reset();
  if (due != kNever) alarm.emplace(reactor, wake, due);
}

std::string Member::end_in_words(const ExitStatus& status) const {
  if (!left_others) return status.text();
  if (!status.success()) return status.text() + "; what it left behind was killed";
  return status.text() +
         "; it went into the background and was killed there (run it in the foreground)";
}

ProcessTree spawn_worker(const std::vector<std::string>& command, int number, std::string mark,
                         const Fd& channel, std::span<const int> inheritance) {
  const int channel_number = kFirstNumber + static_cast<int>(inheritance.size());
  const Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing.valid()) throw SystemError(errno, "open", "/dev/null");
  SpawnOptions spawn_options;
  spawn_options.argv = command;
  spawn_options.environment = inherited_environment();
  set_mark(spawn_options.environment, mark);
  set_variable(spawn_options.environment, variable::kChannelFd, std::to_string(channel_number));
  set_variable(spawn_options.environment, variable::kWorkerNumber, std::to_string(number));
  spawn_options.descriptors = {{nothing.get(), STDIN_FILENO},
                               {STDOUT_FILENO, STDOUT_FILENO},
                               {STDERR_FILENO, STDERR_FILENO},
                               {channel.get(), channel_number}};
  for (const int listener : inheritance) {
    const auto place = static_cast<int>(spawn_options.descriptors.size()) - kStandardAndChannel;
    spawn_options.descriptors.emplace_back(listener, kFirstNumber + place);
  }
  if (!inheritance.empty()) {
    give_listen_fds(spawn_options, std::vector<std::string>(inheritance.size(), "listener"));
  }
  return {spawn(spawn_options), std::move(mark)};
}

}  // namespace handoff
