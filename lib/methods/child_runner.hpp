// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "methods/output_result.hpp"
#include "os/process_mark.hpp"
#include "os/process_tree.hpp"
#include "rpc/memory_budget.hpp"

namespace handoff {

/// How the processes behind methods are run, and what is made of their output.
struct ProcessOptions {
  std::vector<std::string> environment_names;  ///< handed to them besides the usual few
  bool text = false;                           ///< output that is no JSON becomes a string
  std::size_t max_output = 1024 * 1024;        ///< bytes for one call; more is an error
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();  ///< counts output

  OutputForm form() const { return text ? OutputForm::text : OutputForm::json; }
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

  /// A process from its start to its end, which comes at the latest when this is destroyed.
  class Process {
   public:
    explicit Process(ProcessTree tree) : tree_(std::move(tree)) {}
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process();

    int pidfd() const { return tree_.pidfd(); }
    bool has_ended() const { return tree_.leader_has_ended(); }
    /// Kills what is left of it, also what has left its group.
    ExitStatus end() { return tree_.finish(); }

   private:
    ProcessTree tree_;
  };

  /// Starts it, these descriptors its 0, 1 and 2 and the only ones that it has. Its environment is
  /// the usual few variables, those of the options, and `more`; it is a process group of its own
  /// and gains no privileges. Throws SystemError when it can't be executed.
  Process start(const Program& program, const std::vector<std::string>& more, int in, int out,
                int err);

 private:
  ProcessOptions options_;
  ProcessMarks marks_;
};

}  // namespace handoff
