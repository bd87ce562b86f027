// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "os/child.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"
#include "os/process_mark.hpp"
#include "os/tree_guard.hpp"

namespace handoff {

/// A process that was started as a worker (the leader), and everything that it starts: its tree.
/// Destroying the object ends no process.
class WorkerProcess {
 public:
  virtual ~WorkerProcess() = default;

  virtual pid_t pid() const = 0;
  /// Returns a descriptor that becomes readable when the leader has ended. Owned by this object.
  virtual int exit_fd() const = 0;
  virtual bool leader_has_ended() const = 0;
  /// Returns whether no process of the tree lives.
  virtual bool is_empty() const = 0;
  /// Sends SIGTERM to each process of the tree, once. Call it again when a child has ended.
  virtual void term() = 0;
  /// Sends SIGKILL to the tree. Call it again when a child has ended, until the tree is empty.
  virtual void kill() = 0;
  /// Kills what is left and reaps the leader; call nothing else after that. Blocks for as long as a
  /// killed process takes to die.
  virtual ExitStatus finish() = 0;
};

/// Starts a worker with this number on its end of a channel. The channel's number in the worker
/// follows the descriptors that it inherits, which programs that do not know handoff expect from 3
/// on (sd_listen_fds(3)). The caller keeps all descriptors. Throws SystemError if the program
/// cannot be executed.
using SpawnWorker = std::function<std::unique_ptr<WorkerProcess>(int number, const Fd& channel,
                                                                 std::span<const int> inherited)>;

/// Starts workers as processes of their own. If this process is killed, a guard ends workers that
/// need not notice the end of their channel.
class WorkerSpawner {
 public:
  struct Options {
    std::vector<std::string> command;
    /// Says whether a guard must end the workers after this process has died, because they speak no
    /// protocol on their channels.
    enum class Guard { none, ends_workers } guard = Guard::none;
    /// The time from the guard's request to end until it kills.
    std::chrono::milliseconds patience{};
  };

  WorkerSpawner(Options options, Report report);
  WorkerSpawner(const WorkerSpawner&) = delete;
  WorkerSpawner& operator=(const WorkerSpawner&) = delete;
  /// Dismisses the guard if every worker that was started is finished.
  ~WorkerSpawner();

  /// See SpawnWorker.
  std::unique_ptr<WorkerProcess> spawn(int number, const Fd& channel,
                                       std::span<const int> inherited);

 private:
  void guard_workers(std::span<const int> inherited);

  Options options_;
  Report report_;
  ProcessMarks marks_;
  std::optional<TreeGuard> guard_;
  std::shared_ptr<std::size_t> unfinished_ =
      std::make_shared<std::size_t>(0);  ///< the number of workers that are not finished
};

}  // namespace handoff
