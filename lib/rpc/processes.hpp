// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "os/process.hpp"
#include "rpc/memory_budget.hpp"

namespace handoff {

/// How the processes behind methods are run, and what is made of their output.
struct ProcessOptions {
  std::vector<std::string> environment_names;  ///< handed to them besides the usual few
  bool text = false;                           ///< output that is no JSON becomes a string
  std::size_t max_output = 1024 * 1024;        ///< bytes for one call; more is an error
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();  ///< counts output
};

/// What a process behind a method is.
struct Program {
  std::vector<std::string> argv;
  std::string path;  ///< as in SpawnOptions

  static Program shell(std::string command) { return {{"sh", "-c", std::move(command)}, {}}; }
};

/// The processes behind methods: starts them, and sees to it that nothing is left of them. Shared
/// by all threads.
class Processes {
 public:
  explicit Processes(ProcessOptions options) : options_(std::move(options)) {}
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  const ProcessOptions& options() const { return options_; }

  /// What the environment of every process of a worker's methods has a variable that starts with.
  /// Whoever outlives the worker can find them by it.
  static std::string mark_of(pid_t worker);

  /// A process from its start to its end, which comes at the latest when this is destroyed.
  class Process {
   public:
    Process(Processes& processes, Child child, std::string mark);
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process();

    int pidfd() const { return child_.pidfd(); }
    bool has_ended() const { return child_.has_ended(); }
    /// Kills what is left of it: its group, as long as it is not reaped and so the number is not
    /// used again, then those who left the group, by their mark.
    ExitStatus end();

   private:
    Processes& processes_;
    Child child_;
    std::string mark_;
    bool ended_ = false;
  };

  /// Starts it, these descriptors its 0, 1 and 2 and the only ones that it has. Its environment is
  /// the usual few variables, those of the options, and `more`; it is a process group of its own
  /// and gains no privileges. Throws SystemError when it can't be executed.
  Process start(const Program& program, const std::vector<std::string>& more, int in, int out,
                int err);

 private:
  ProcessOptions options_;
  /// Held while a process is started, and while one is ended: else one thread could take the child
  /// of another for an orphan.
  std::mutex mutex_;
  std::set<pid_t> running_;
  std::uint64_t started_ = 0;
};

}  // namespace handoff
