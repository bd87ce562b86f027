// SPDX-License-Identifier: MIT
#include "os/spawn.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>

#include "os/child_claim.hpp"
#include "os/descriptor_limit.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/listen_fds.hpp"
#include "os/program_path.hpp"

namespace handoff {
namespace {

/// What the child needs, prepared by the parent: until the child executes its program, it shares
/// the parent's memory and must not allocate.
struct ChildPlan {
  const SpawnOptions* options;
  std::vector<std::string> programs;  ///< the paths that are tried, in this order
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<std::pair<int, int>> moves;  ///< sorted by the child's number
  ListenPidVariable listen_pid;            ///< part of the environment if the child is to have it
  pid_t parent = 0;
  const char* step = "";  ///< the step that is attempted, or has failed
  int error = 0;          ///< why nothing was executed, as errno
};

/// The size of the child's stack, in bytes.
constexpr std::size_t kChildStack = 64 * 1024;

// The steps of starting a program, as an error names them.
constexpr const char* kExecute = "run";
constexpr const char* kNoNewPrivileges = "set no_new_privs for";
constexpr const char* kPlace = "place descriptors for";

/// Returns whether the program may still be in another folder of PATH.
bool is_elsewhere(int error) {
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE ||
         error == ENODEV || error == ETIMEDOUT;
}

/// Works as execvpe(3), but does not give a file that is no program for the kernel (ENOEXEC) to a
/// shell: that would run half of a copied file, or find nothing in it and succeed. Allocates
/// nothing, because it runs in the child. Returns errno.
int execute_program(const ChildPlan& plan) {
  int found = ENOENT;
  for (const std::string& path : plan.programs) {
    execve(path.c_str(), plan.argv.data(), plan.environment.data());
    if (!is_elsewhere(errno)) { return errno; }
    if (errno == EACCES) { found = EACCES; }
  }
  return plan.programs.size() == 1 ? errno : found;
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

bool is_target(const ChildPlan& plan, int number) {
  return std::any_of(plan.moves.begin(), plan.moves.end(),
                     [number](const auto& move) { return move.second == number; });
}

/// Returns false. Sets errno to EMFILE if the kernel has rejected a number above the limit of
/// descriptors as invalid (`for_the_number`), although the descriptor itself is open.
bool fail_to_move(int source, int for_the_number) {
  if (errno == for_the_number && is_open(source)) { errno = EMFILE; }
  return false;
}

bool place_descriptors(ChildPlan& plan) {
  plan.step = kPlace;
  // First, descriptors that are in another's place are moved out of the way, and so are those in
  // their own place: a copy onto itself would keep close-on-exec. Then all are copied to their
  // places.
  int lowest = STDERR_FILENO + 1;
  for (auto& [source, target] : plan.moves) {
    while (is_target(plan, source)) {
      const int moved = fcntl(source, F_DUPFD_CLOEXEC, lowest);
      if (moved < 0) { return fail_to_move(source, EINVAL); }
      source = moved;
      lowest = source + 1;
    }
  }
  for (const auto& [source, target] : plan.moves) {
    if (dup2(source, target) < 0) { return fail_to_move(source, EBADF); }
  }
  // Last, every descriptor between and above the places is closed.
  unsigned int next = 0;
  for (const auto& [source, target] : plan.moves) {
    const auto number = static_cast<unsigned int>(target);
    if (number > next && !close_descriptors(next, number - 1)) { return false; }
    next = number + 1;
  }
  return close_descriptors(next, ~0U);
}

ChildPlan make_plan(const SpawnOptions& options) {
  ChildPlan plan{};
  plan.options = &options;
  plan.parent = getpid();
  plan.programs = paths_of(options.path.empty() ? options.argv[0] : options.path);
  plan.argv = pointers_to(options.argv);
  plan.environment = pointers_to(options.environment);
  plan.moves = options.descriptors;
  std::sort(plan.moves.begin(), plan.moves.end(),
            [](const auto& left, const auto& right) { return left.second < right.second; });
  return plan;
}

/// The plan must have its final place, because the variable's text is inside it.
void add_listen_pid(ChildPlan& plan) {
  if (!plan.options->listen_pid) { return; }
  plan.environment.insert(plan.environment.begin(), plan.listen_pid.text());
}

/// Runs in the child. Returns errno, because it returns only if it fails.
int execute(ChildPlan& plan) {
  const SpawnOptions& options = *plan.options;
  // The system call is used because the library's function leaves out the two signals that it uses
  // itself, which the parent of this process may have ignored too. All zeros is the default, on
  // every machine.
  const std::array<unsigned long, 8> by_default{};
  for (int signal = 1; signal < NSIG; ++signal) {
    syscall(SYS_rt_sigaction, signal, by_default.data(), nullptr, NSIG / 8);
  }
  if (options.new_group) { setsid(); }
  if (options.parent_death_signal != 0) {
    prctl(PR_SET_PDEATHSIG, options.parent_death_signal);
    // A parent that was killed before this point does not cause a signal any more.
    if (getppid() != plan.parent) { _exit(127); }
  }
  if (options.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    plan.step = kNoNewPrivileges;
    return errno;
  }
  if (!place_descriptors(plan)) { return errno; }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = std::min<rlim_t>(original_descriptor_limit(), limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.listen_pid) { plan.listen_pid.write(getpid()); }
  plan.step = kExecute;
  return execute_program(plan);
}

/// Returns when the child has executed its program, or has ended. It is a vfork(2), but with a
/// stack of its own and with the pidfd at once. Returns -1, with errno, on failure.
pid_t clone_and_execute(ChildPlan& plan, int& pidfd) {
  const auto run = [](void* argument) {
    auto& of_parent = *static_cast<ChildPlan*>(argument);
    of_parent.error = execute(of_parent);
    return 127;
  };
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(kChildStack);
  return clone(run, stack.get() + kChildStack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
               &plan, &pidfd);
}

}  // namespace

Child spawn(const SpawnOptions& options) {
  ChildPlan plan = make_plan(options);
  add_listen_pid(plan);

  // No signal may be handled in the child while it shares this process's memory.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  auto lock = ChildClaim::freeze();
  const pid_t pid = clone_and_execute(plan, pidfd);
  const int clone_error = errno;
  Child child(pid, Fd(pidfd));
  lock.unlock();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  if (pid < 0) { throw SystemError(clone_error, "create a process for", options.argv[0]); }
  if (plan.error != 0) {
    child.reap();
    throw SystemError(plan.error, plan.step, options.argv[0]);
  }
  return child;
}

void become(const SpawnOptions& options) {
  ChildPlan plan = make_plan(options);
  add_listen_pid(plan);
  if (options.listen_pid) { plan.listen_pid.write(getpid()); }
  if (!place_descriptors(plan)) { throw SystemError(errno, kPlace, options.argv[0]); }
  throw SystemError(execute_program(plan), kExecute, options.argv[0]);
}

}  // namespace handoff
