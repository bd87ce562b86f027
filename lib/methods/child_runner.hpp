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

/// Who ends what the processes behind methods have started, when this process is killed. The kernel
/// ends those processes themselves.
enum class EndedBy : std::uint8_t {
  supervisor,  ///< the process that supervises this one and its tree, such as rpc-master
  guard,       ///< a TreeGuard, which is there before the first of them
};

/// How a command that runs for one call gets the params of it.
enum class ParamsForm : std::uint8_t {
  input,      ///< as JSON on its stdin
  arguments,  ///< as arguments and variables, see CallArguments; its stdin is empty
};

/// How the processes behind methods are run, and what is made of their output.
struct ProcessOptions {
  std::vector<std::string> environment_names{};  ///< handed to them besides the usual few
  bool text = false;                             ///< output that is no JSON becomes a string
  ParamsForm params = ParamsForm::input;         ///< of commands
  std::size_t max_output = 1024 * 1024;          ///< bytes for one call; more is an error
  std::shared_ptr<MemoryBudget> memory = std::make_shared<MemoryBudget>();  ///< counts output
  EndedBy ended_by = EndedBy::supervisor;
  /// Called, on the thread of the method, with each line that a process has written to its stderr:
  /// of a coprocess or service at once, of a command when it has succeeded.
  std::function<void(std::string_view method, std::string_view line)> log{};

  OutputForm form() const { return text ? OutputForm::text : OutputForm::json; }
};

/// What a process behind a method is.
struct Program {
  std::vector<std::string> argv;
  std::string path;  ///< as in SpawnOptions
  enum class Kind : std::uint8_t { file, shell } kind = Kind::file;

  static Program shell(std::string command) {
    return {{"sh", "-c", std::move(command)}, {}, Kind::shell};
  }
};

/// Starts the processes behind methods, and sees to it that nothing is left of them. Shared by all
/// threads.
class ChildRunner {
 public:
  /// `report` is called if a guard was asked for and can't be started.
  explicit ChildRunner(ProcessOptions options, const Report& report = {});
  ChildRunner(const ChildRunner&) = delete;
  ChildRunner& operator=(const ChildRunner&) = delete;
  /// Dismisses the guard. Every child must have ended.
  ~ChildRunner();

  const ProcessOptions& options() const { return options_; }
  /// Returns what logs a line of stderr of this method's processes; an empty function if nothing
  /// does. The runner must outlive it.
  StderrLines::Say log_of(std::string_view method) const;

  /// A process from its start to its end, which comes at the latest when this is destroyed.
  class Child {
   public:
    virtual ~Child() = default;

    /// Readable once it has ended. Owned by this object; -1 after end().
    virtual int pidfd() const = 0;
    virtual bool has_ended() const = 0;
    /// Kills what is left of it, also what has left its group, and reaps it. Blocks for as long as
    /// a killed process takes to die. At most once.
    virtual ExitStatus end() = 0;
  };

  /// Starts it, these descriptors its 0, 1 and 2 and the only ones that it has. Its environment is
  /// the usual few variables, those of the options, and `more`; it is a process group of its own
  /// and gains no privileges. Throws SystemError when it can't be executed.
  std::unique_ptr<Child> start(const Program& program, const std::vector<std::string>& more, int in,
                               int out, int err);

 private:
  ProcessOptions options_;
  ProcessMarks marks_;
  std::optional<TreeGuard> guard_;
};

/// Starts one certain program, these descriptors its 0, 1 and 2. Throws SystemError.
using StartChild = std::function<std::unique_ptr<ChildRunner::Child>(int in, int out, int err)>;

/// Starts `sh -c COMMAND` for a method of this name, which stands in RPC_METHOD. The runner must
/// outlive it.
StartChild starting_shell(ChildRunner& runner, std::string_view method, std::string command);

}  // namespace handoff
