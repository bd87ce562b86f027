// SPDX-License-Identifier: MIT
#include "methods/child_runner.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <csignal>

#include <handoff/os/error.hpp>

#include "os/environment.hpp"
#include "os/process_tree.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

constexpr std::array kUsualNames = {variable::kPath,    variable::kHome,   variable::kUser,
                                    variable::kLogname, variable::kShell,  variable::kLang,
                                    variable::kTz,      variable::kTmpdir, variable::kLcAll};

void copy_variable(Environment& environment, const std::string& name) {
  if (const auto value = read_variable(name)) { environment.push_back(assignment(name, *value)); }
}

class TreeChild final : public ChildRunner::Child {
 public:
  explicit TreeChild(ProcessTree tree) : tree_(std::move(tree)) {}
  TreeChild(const TreeChild&) = delete;
  TreeChild& operator=(const TreeChild&) = delete;
  ~TreeChild() override {
    if (tree_.pidfd() >= 0) { tree_.finish(); }
  }

  int pidfd() const override { return tree_.pidfd(); }
  bool has_ended() const override { return tree_.leader_has_ended(); }
  ExitStatus end() override { return tree_.finish(); }

 private:
  ProcessTree tree_;
};

}  // namespace

ChildRunner::ChildRunner(ProcessOptions options, const Report& report)
    : options_(std::move(options)) {
  if (options_.ended_by != EndedBy::guard) { return; }
  try {
    guard_.emplace(GuardOrders{marks_.prefix(), 0, std::chrono::milliseconds(1)});
  } catch (const SystemError& error) {
    if (!report) { return; }
    report(Severity::error,
           fmt::format("{}; what commands start will outlive this worker if it is killed",
                       error.what()));
  }
}

ChildRunner::~ChildRunner() {
  if (guard_) { guard_->dismiss(); }
}

StderrLines::Say ChildRunner::log_of(std::string_view method) const {
  if (!options_.log) { return {}; }
  return [this, name = std::string(method)](std::string_view line) { options_.log(name, line); };
}

std::unique_ptr<ChildRunner::Child> ChildRunner::start(const Program& program,
                                                       const std::vector<std::string>& more, int in,
                                                       int out, int err) {
  std::string mark = marks_.next();
  SpawnOptions options;
  options.argv = program.argv;
  options.path = program.path;
  for (const char* name : kUsualNames) { copy_variable(options.environment, name); }
  for (const std::string& name : options_.environment_names) {
    copy_variable(options.environment, name);
  }
  options.environment.insert(options.environment.end(), more.begin(), more.end());
  set_mark(options.environment, mark);
  options.descriptors = {{in, 0}, {out, 1}, {err, 2}};
  options.no_new_privileges = true;
  options.parent_death_signal = SIGKILL;
  return std::make_unique<TreeChild>(ProcessTree(spawn(options), std::move(mark)));
}

StartChild starting_shell(ChildRunner& runner, std::string_view method, std::string command) {
  return [&runner, program = Program::shell(std::move(command)),
          variables = std::vector{assignment(variable::kMethod, method)}](
             int in, int out, int err) { return runner.start(program, variables, in, out, err); };
}

}  // namespace handoff
