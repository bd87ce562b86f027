// SPDX-License-Identifier: MIT
#include "os/process_tree.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>

#include "os/child_claim.hpp"
#include "os/error.hpp"
#include "os/process_mark.hpp"

namespace handoff {
namespace {

/// The children that this process had before it adopted any: those of a shell, for example, that
/// started them and then became this program. Guarded by ChildClaim::freeze().
std::set<pid_t>& children_from_before() {
  static auto& all = *new std::set<pid_t>;
  return all;
}

/// Returns the children of the main thread, which is the thread that orphans become children of.
std::vector<pid_t> read_children() {
  std::vector<pid_t> children;
  std::ifstream file(fmt::format("/proc/self/task/{}/children", getpid()));
  for (pid_t pid = 0; file >> pid;) { children.push_back(pid); }
  return children;
}

/// A child without a claim in the session of this process is no orphan: code in this process has
/// made it. What spawn() starts has a session of its own.
bool is_orphan(pid_t pid) {
  if (ChildClaim::exists(pid)) { return false; }
  return getsid(pid) != getsid(0) || children_from_before().contains(pid);
}

bool reap_if_ended(pid_t pid) {
  if (waitpid(pid, nullptr, WNOHANG) != pid) { return false; }
  children_from_before().erase(pid);
  return true;
}

/// Returns the adopted orphans that live. Reaps those that have ended, and what they have left
/// behind.
std::vector<pid_t> living_orphans() {
  std::vector<pid_t> orphans;
  for (bool any_reaped = true; any_reaped;) {
    any_reaped = false;
    orphans.clear();
    for (const pid_t pid : read_children()) {
      if (!is_orphan(pid)) { continue; }
      if (reap_if_ended(pid)) {
        any_reaped = true;
      } else {
        orphans.push_back(pid);
      }
    }
  }
  return orphans;
}

}  // namespace

Status adopt_orphans() {
  const auto lock = ChildClaim::freeze();
  const std::vector<pid_t> children = read_children();
  children_from_before().insert(children.begin(), children.end());
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) == 0) { return Status::ok(); }
  return Status::failure(error_text(errno));
}

void reap_orphans() {
  const auto lock = ChildClaim::freeze();
  (void)living_orphans();
}

/// A process that is ending may leave children behind that only then can be recognised as the
/// tree's.
bool ProcessTree::has(pid_t pid) const {
  if (::kill(pid, 0) < 0) { return false; }
  return getsid(pid) == leader_.pid() || find_mark(pid, mark_) || is_ending(pid);
}

std::vector<pid_t> ProcessTree::orphans() const {
  std::vector<pid_t> orphans = living_orphans();
  std::erase_if(orphans, [this](pid_t pid) { return !has(pid); });
  return orphans;
}

bool ProcessTree::is_empty() const {
  if (leader_.pidfd() < 0) { return true; }
  const auto lock = ChildClaim::freeze();
  return leader_.has_ended() && orphans().empty();
}

void ProcessTree::term() {
  if (leader_.pidfd() < 0) { return; }
  const auto lock = ChildClaim::freeze();
  if (!std::exchange(group_was_told_, true)) { leader_.kill_group(SIGTERM); }
  for (const pid_t pid : orphans()) {
    if (getpgid(pid) == leader_.pid()) { continue; }
    if (orphans_told_.insert(pid).second) { ::kill(pid, SIGTERM); }
  }
}

void ProcessTree::kill() {
  if (leader_.pidfd() < 0) { return; }
  const auto lock = ChildClaim::freeze();
  leader_.kill_group(SIGKILL);
  for (const pid_t pid : orphans()) { ::kill(pid, SIGKILL); }
}

ExitStatus ProcessTree::finish() {
  const auto lock = ChildClaim::freeze();
  leader_.kill_group(SIGKILL);
  pollfd ended{leader_.pidfd(), POLLIN, 0};
  retry([&] { return poll(&ended, 1, -1); });
  for (auto left = orphans(); !left.empty(); left = orphans()) {
    for (const pid_t pid : left) {
      ::kill(pid, SIGKILL);
      retry([&] { return waitpid(pid, nullptr, 0); });
    }
  }
  return leader_.reap();
}

}  // namespace handoff
