// SPDX-License-Identifier: MIT
#include "master/worker_spawner.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/environment.hpp"
#include "os/listen_fds.hpp"
#include "os/process_tree.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

class SpawnedWorker final : public WorkerProcess {
 public:
  SpawnedWorker(ProcessTree tree, std::shared_ptr<std::size_t> unfinished)
      : tree_(std::move(tree)), unfinished_(std::move(unfinished)) {
    ++*unfinished_;
  }

  pid_t pid() const override { return tree_.pid(); }
  int exit_fd() const override { return tree_.pidfd(); }
  bool leader_has_ended() const override { return tree_.leader_has_ended(); }
  bool is_empty() const override { return tree_.is_empty(); }
  void term() override { tree_.term(); }
  void kill() override { tree_.kill(); }
  ExitStatus finish() override {
    const ExitStatus status = tree_.finish();
    --*unfinished_;
    return status;
  }

 private:
  ProcessTree tree_;
  std::shared_ptr<std::size_t> unfinished_;
};

}  // namespace

WorkerSpawner::WorkerSpawner(Options options, Report report)
    : options_(std::move(options)), report_(std::move(report)) {}

WorkerSpawner::~WorkerSpawner() {
  if (guard_ && *unfinished_ == 0) { guard_->dismiss(); }
}

std::unique_ptr<WorkerProcess> WorkerSpawner::spawn(int number, const Fd& channel,
                                                    std::span<const int> inherited) {
  guard_workers(inherited);
  std::string mark = marks_.next();
  const Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing.valid()) { throw SystemError(errno, "open", "/dev/null"); }
  SpawnOptions options;
  options.argv = options_.command;
  options.environment = inherited_environment();
  set_mark(options.environment, mark);
  options.descriptors = {{nothing.get(), STDIN_FILENO},
                         {STDOUT_FILENO, STDOUT_FILENO},
                         {STDERR_FILENO, STDERR_FILENO}};
  int next = kFirstListenFd;
  for (const int fd : inherited) { options.descriptors.emplace_back(fd, next++); }
  options.descriptors.emplace_back(channel.get(), next);
  set_variable(options.environment, variable::kChannelFd, std::to_string(next));
  set_variable(options.environment, variable::kWorkerNumber, std::to_string(number));
  if (!inherited.empty()) {
    give_listen_fds(options, std::vector<std::string>(inherited.size(), "listener"));
  }
  return std::make_unique<SpawnedWorker>(ProcessTree(handoff::spawn(options), std::move(mark)),
                                         unfinished_);
}

void WorkerSpawner::guard_workers(std::span<const int> inherited) {
  if (guard_ || options_.guard == Options::Guard::none) { return; }
  GuardOrders orders;
  orders.mark = marks_.prefix();
  orders.signal = inherited.empty() ? 0 : SIGTERM;
  orders.patience = options_.patience;
  try {
    guard_.emplace(orders);
  } catch (const SystemError& error) {
    report_(Severity::error,
            fmt::format("{}; workers will outlive this master if it is killed", error.what()));
  }
}

}  // namespace handoff
