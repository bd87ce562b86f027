// SPDX-License-Identifier: MIT
#include "os/child.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>

#include <cassert>
#include <csignal>
#include <cstring>
#include <fstream>
#include <vector>

#include "os/error.hpp"

namespace handoff {

std::string ExitStatus::text() const {
  if (signal == 0) { return fmt::format("exit status {}", code); }
  const char* name = sigdescr_np(signal);
  if (name == nullptr) {
    return fmt::format("signal {}", signal);  // a real-time signal has no name
  }
  return fmt::format("signal {} ({})", signal, name);
}

void Child::kill(int signal) const {
  // No other process gets the number before the child is reaped here. Some seccomp profiles refuse
  // pidfd_send_signal(2).
  if (!has_ended()) { ::kill(pid_, signal); }
}

void Child::kill_group(int signal) const {
  assert(pid_ > 1);  // 0, 1 and -1 would mean other processes
  ::kill(-pid_, signal);
}

void Child::kill_tree(int signal) const {
  if (has_ended()) { return; }
  std::vector<pid_t> tree = {pid_};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", tree[i]));
    for (pid_t pid = 0; children >> pid;) { tree.push_back(pid); }
  }
  // The child is not reaped yet, so its number is its own. A descendant may end just now and its
  // number be free, but the kernel gives numbers in turn.
  for (const pid_t pid : tree) { ::kill(pid, signal); }
}

bool Child::has_ended() const {
  pollfd poll_fd{pidfd_.get(), POLLIN, 0};
  return poll(&poll_fd, 1, 0) > 0;
}

ExitStatus Child::reap() {
  siginfo_t info{};
  const auto wait = [&](int options) {
    const auto id = static_cast<id_t>(pidfd_.get());
    // P_PIDFD is 3 (Linux 5.4); older headers lack the name.
    return retry([&] { return waitid(static_cast<idtype_t>(3), id, &info, options); });
  };
  wait(WEXITED | WNOWAIT);
  // The number is free from here on: the claim ends in the same step.
  const auto lock = ChildClaim::freeze();
  const int result = wait(WEXITED);
  const int error = errno;
  claim_.release();
  pidfd_.reset();
  if (result < 0) {
    if (error != ECHILD) { throw SystemError(error, "wait for a child"); }
    return {-1, 0};  // SIGCHLD is ignored, so the kernel has reaped the child
  }
  if (info.si_code == CLD_EXITED) { return {info.si_status, 0}; }
  return {0, info.si_status};
}

std::optional<ReapedChild> reap_any_child() {
  int status = 0;
  const pid_t pid = retry([&] { return waitpid(-1, &status, WNOHANG); });
  if (pid <= 0) { return std::nullopt; }
  if (WIFSIGNALED(status)) { return ReapedChild{pid, {0, WTERMSIG(status)}}; }
  return ReapedChild{pid, {WEXITSTATUS(status), 0}};
}

}  // namespace handoff
