// SPDX-License-Identifier: MIT
#include "rpc/processes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

namespace handoff {
namespace {

constexpr std::array<const char*, 9> kUsualNames = {"PATH", "HOME", "USER",   "LOGNAME", "SHELL",
                                                    "LANG", "TZ",   "TMPDIR", "LC_ALL"};

void copy_variable(std::vector<std::string>& environment, const std::string& name) {
  if (const char* value = std::getenv(name.c_str())) {
    environment.push_back(fmt::format("{}={}", name, value));
  }
}

}  // namespace

std::string Processes::mark_of(pid_t worker) {
  return fmt::format("RPC_MARK={}-", worker);
}

Processes::Process::Process(Processes& processes, Child child, std::string mark)
    : processes_(processes), child_(std::move(child)), mark_(std::move(mark)) {}

Processes::Process::~Process() {
  if (!ended_) end();
}

ExitStatus Processes::Process::end() {
  ended_ = true;
  const std::lock_guard lock(processes_.mutex_);
  child_.kill_group(SIGKILL);
  const ExitStatus status = child_.reap();
  std::set<pid_t>& running = processes_.running_;
  running.erase(child_.pid());
  finish_orphans(mark_, [&running](pid_t pid) { return running.contains(pid); });
  return status;
}

Processes::Process Processes::start(const Program& program, const std::vector<std::string>& more,
                                    int in, int out, int err) {
  const std::lock_guard lock(mutex_);
  // The point keeps the first from being the start of the tenth.
  std::string mark = fmt::format("{}{}.", mark_of(getpid()), ++started_);
  SpawnOptions options;
  options.argv = program.argv;
  options.path = program.path;
  for (const char* name : kUsualNames) copy_variable(options.environment, name);
  for (const std::string& name : options_.environment_names) {
    copy_variable(options.environment, name);
  }
  options.environment.insert(options.environment.end(), more.begin(), more.end());
  options.environment.push_back(mark);
  options.descriptors = {{in, 0}, {out, 1}, {err, 2}};
  options.no_new_privileges = true;
  options.parent_death_signal = SIGKILL;
  Child child = spawn(options);
  running_.insert(child.pid());
  return {*this, std::move(child), std::move(mark)};
}

}  // namespace handoff
