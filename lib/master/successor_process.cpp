// SPDX-License-Identifier: MIT
#include "master/successor_process.hpp"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "os/environment.hpp"
#include "os/sealed_memory.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

class SpawnedSuccessor final : public SuccessorProcess {
 public:
  explicit SpawnedSuccessor(Child child) : child_(std::move(child)) {}

  pid_t pid() const override { return child_.pid(); }
  int ended_fd() const override { return child_.pidfd(); }
  bool has_ended() const override { return child_.has_ended(); }
  ExitStatus kill_and_reap() override {
    child_.kill(SIGKILL);
    return child_.reap();
  }

 private:
  Child child_;
};

}  // namespace

std::unique_ptr<SuccessorProcess> spawn_successor(
    const SuccessorCommand& command, const SocketsToInherit& sockets, const ServiceManager& manager,
    const std::function<void(const Child&)>& started) {
  constexpr int kFirst = STDERR_FILENO + 1;
  EncodedSockets encoded = encode(sockets, kFirst);
  // A variable has at most 128 KiB (execve(2)), which many listeners exceed.
  const Fd file = make_input_file("handoff-succession", encoded.text);
  const int number = kFirst + static_cast<int>(encoded.descriptors.size());
  SpawnOptions options;
  options.path = command.program;
  options.argv = command.argv;
  options.new_group = false;  // it takes the place of this process on the terminal too
  options.descriptors = std::move(encoded.descriptors);
  options.descriptors.emplace_back(file.get(), number);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    options.descriptors.emplace_back(standard, standard);
  }
  options.environment = inherited_environment();
  set_variable(options.environment, variable::kSuccession, std::to_string(number));
  for (std::string& entry : manager.variables()) {
    options.environment.push_back(std::move(entry));
  }
  Child child = spawn(options);
  try {
    started(child);
  } catch (...) {
    child.kill(SIGKILL);
    child.reap();
    throw;
  }
  return std::make_unique<SpawnedSuccessor>(std::move(child));
}

}  // namespace handoff
