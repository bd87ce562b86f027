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

/// A process that was started as a worker, the leader, with everything that it starts: its tree.
/// Destroying it ends nothing.
class WorkerProcess {
 public:
  virtual ~WorkerProcess() = default;

  virtual pid_t pid() const = 0;
  /// A descriptor that becomes readable once the leader has ended. Owned by this object.
  virtual int exit_fd() const = 0;
  virtual bool leader_has_ended() const = 0;
  /// Whether nothing of the tree lives any more.
  virtual bool is_empty() const = 0;
  /// Asks the tree to end, each process once. Call it again when a child has ended.
  virtual void term() = 0;
  /// Kills the tree. Call it again when a child has ended, until the tree is empty.
  virtual void kill() = 0;
  /// Kills what is left and reaps the leader; nothing else is called after that. Blocks for as long
  /// as a killed process takes to die.
  virtual ExitStatus finish() = 0;
};

/// Starts a worker with this number on its end of a channel. The worker's channel follows the
/// descriptors that it inherits, which programs that do not know handoff look for at 3
/// (sd_listen_fds(3)). Both stay owned by the caller. Throws SystemError when the program can't be
/// executed.
using SpawnWorker = std::function<std::unique_ptr<WorkerProcess>(int number, const Fd& channel,
                                                                 std::span<const int> inherited)>;

/// Starts workers as processes of their own. If this process is killed, a guard ends those that
/// need not notice that their channel has ended.
class WorkerSpawner {
 public:
  struct Options {
    std::vector<std::string> command;
    /// Whether a worker must be told of this process's end by others, because it speaks no protocol
    /// on its channel.
    enum class Guard { none, ends_workers } guard = Guard::none;
    /// How long what a guard asks to end has until it is killed.
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
  std::shared_ptr<std::size_t> unfinished_ = std::make_shared<std::size_t>(0);  ///< workers
};

}  // namespace handoff
