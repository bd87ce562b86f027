// SPDX-License-Identifier: MIT
#include "master/supervised_worker.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "os/error.hpp"
#include "os/process_mark.hpp"

namespace handoff {
namespace {

/// The first descriptor that a spawned worker has besides the standard ones: its channel, unless it
/// inherits others.
constexpr int kFirstNumber = 3;
constexpr int kStandardAndChannel = 4;

}  // namespace

std::string SupervisedWorker::name() const {
  if (pid() <= 0) return fmt::format("worker {}", number);
  return fmt::format("worker {}, pid {}", number, pid());
}

void SupervisedWorker::limit(Duration duration) {
  due = deadline_after(reactor.now(), duration);
  if (exited) {
    deadline.emplace(*exited, due);
  } else {
    alarm.emplace(reactor, wake, due);
  }
}

void SupervisedWorker::unlimit() {
  due = kNever;
  alarm.reset();
  deadline.reset();
}

void SupervisedWorker::enter(WorkerPhase next, LeaveReason why) {
  phase = std::max(phase, next);
  if (leave_reason == LeaveReason::none) leave_reason = why;
}

void SupervisedWorker::kill(LeaveReason why) {
  unlimit();
  enter(WorkerPhase::killed, why);
  if (joined) return wake.set();
  child.kill();
}

void SupervisedWorker::outlive_child() {
  deadline.reset();
  exited.reset();
  if (due != kNever) alarm.emplace(reactor, wake, due);
}

std::string SupervisedWorker::end_in_words(const ExitStatus& status) const {
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
  spawn_options.environment.push_back(fmt::format("HANDOFF_CHANNEL_FD={}", channel_number));
  spawn_options.environment.push_back(fmt::format("HANDOFF_WORKER={}", number));
  spawn_options.descriptors = {{nothing.get(), STDIN_FILENO},
                               {STDOUT_FILENO, STDOUT_FILENO},
                               {STDERR_FILENO, STDERR_FILENO},
                               {channel.get(), channel_number}};
  std::string names;
  for (const int listener : inheritance) {
    const auto place = static_cast<int>(spawn_options.descriptors.size()) - kStandardAndChannel;
    spawn_options.descriptors.emplace_back(listener, kFirstNumber + place);
    names += place == 0 ? "listener" : ":listener";
  }
  if (!inheritance.empty()) {
    spawn_options.environment.push_back(fmt::format("LISTEN_FDS={}", inheritance.size()));
    spawn_options.environment.push_back("LISTEN_FDNAMES=" + names);
    spawn_options.listen_pid = true;
  }
  return {spawn(spawn_options), std::move(mark)};
}

}  // namespace handoff
