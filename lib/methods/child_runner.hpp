// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "methods/output_result.hpp"
#include "methods/stderr_lines.hpp"
#include "os/child.hpp"
#include "os/log.hpp"
#include "os/process_mark.hpp"
#include "os/tree_guard.hpp"
#include "rpc/memory_budget.hpp"

namespace handoff {

/// Who kills the processes that a method's process has started, when this process is killed. The
/// kernel itself ends the methods' own processes then.
enum class EndedBy : std::uint8_t {
  supervisor,  ///< the process that supervises this one and its process tree, such as rpc-master
  guard,       ///< a TreeGuard, which is started before the first of them
};

/// How a command that runs once per call gets the call's params.
enum class ParamsForm : std::uint8_t {
  input,      ///< as JSON on its stdin
  arguments,  ///< as arguments and variables, see CallArguments; its stdin is empty
};

/// How the processes behind methods are run, and what their output may be.
struct ProcessOptions {
  std::vector<std::string> environment_names{};  ///< variables that they get besides the usual ones
  bool text = false;                      ///< whether output that is not JSON becomes a string
  ParamsForm params = ParamsForm::input;  ///< how commands get their params
  /// The most bytes of output for one call; more is an error.
  std::size_t max_output = 1024 * 1024;
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();  ///< counts their output
  EndedBy ended_by = EndedBy::supervisor;
  /// Called, on the thread of the method, with each line that a process has written to its stderr:
  /// of a coprocess or service at once, of a command when it has succeeded.
  std::function<void(std::string_view method, std::string_view line)> log{};

  OutputForm form() const { return text ? OutputForm::text : OutputForm::json; }
};

/// The program that a method runs.
struct Program {
  std::vector<std::string> argv;
  std::string path;  ///< as in SpawnOptions::path
  enum class Kind : std::uint8_t { file, shell } kind = Kind::file;

  static Program shell(std::string command) {
    return {{"sh", "-c", std::move(command)}, {}, Kind::shell};
  }
};

/// Starts the processes behind methods, and ensures that nothing of them is left. All threads share
/// one runner.
class ChildRunner {
 public:
  /// `report` is called if the options ask for a guard that cannot be started.
  explicit ChildRunner(ProcessOptions options, const Report& report = {});
  ChildRunner(const ChildRunner&) = delete;
  ChildRunner& operator=(const ChildRunner&) = delete;
  /// Dismisses the guard. Every child must have ended.
  ~ChildRunner();

  const ProcessOptions& options() const { return options_; }
  /// Returns what logs a line of stderr of this method's processes; an empty function if nothing
  /// does. The runner must outlive it.
  StderrLines::Say log_of(std::string_view method) const;

  /// A process from its start to its end. The destructor kills it if it has not ended. Used by one
  /// thread at a time.
  class Child {
   public:
    virtual ~Child() = default;

    /// Returns a descriptor that is readable once the process has ended. This object owns it; -1
    /// after end().
    virtual int pidfd() const = 0;
    /// Returns whether the process has ended. Does not block.
    virtual bool has_ended() const = 0;
    /// Kills what is left of the process and of everything that it has started, in any process
    /// group, and reaps it. Blocks as long as a killed process takes to die. Call it at most once.
    virtual ExitStatus end() = 0;
  };

  /// Starts the program with these descriptors as its 0, 1 and 2, and with no others; the caller
  /// keeps them. Its environment has the usual variables, those of the options, and `more`. It is
  /// in a process group of its own and can gain no privileges. Throws SystemError if the program
  /// cannot be executed.
  std::unique_ptr<Child> start(const Program& program, const std::vector<std::string>& more, int in,
                               int out, int err);

 private:
  ProcessOptions options_;
  ProcessMarks marks_;
  std::optional<TreeGuard> guard_;
};

/// Starts one certain program with these descriptors as its 0, 1 and 2; the caller keeps them.
/// Throws SystemError.
using StartChild = std::function<std::unique_ptr<ChildRunner::Child>(int in, int out, int err)>;

/// Returns a function that starts `sh -c COMMAND` for the method of this name, which the command
/// finds in RPC_METHOD. The runner must outlive the function.
StartChild starting_shell(ChildRunner& runner, std::string_view method, std::string command);

}  // namespace handoff
