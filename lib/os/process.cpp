// SPDX-License-Identifier: MIT
#include "os/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "os/child_claim.hpp"
#include "os/error.hpp"

namespace handoff {
namespace {

/// What the child needs, made before it is: until it executes its program, it shares our memory and
/// may not allocate.
struct ChildPlan {
  const SpawnOptions* options;
  std::vector<std::string> programs;  ///< the paths that are tried, in this order
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<std::pair<int, int>> moves;  ///< sorted by the child's number
  std::array<char, 32> listen_pid{};       ///< room for the variable
  const char* step = "";                   ///< what is attempted, or has failed
  int error = 0;                           ///< why nothing was executed, as errno
};

/// What the child needs of a stack.
constexpr std::size_t kChildStack = 64 * 1024;

constexpr std::string_view kListenPid = "LISTEN_PID=";

// The steps of starting a program, as an error names them.
constexpr const char* kExecute = "run";
constexpr const char* kNoNewPrivileges = "set no_new_privs for";
constexpr const char* kPlace = "place descriptors for";

/// Where a program may be: at its own path if that has a slash, else in the folders of PATH.
std::vector<std::string> paths_of(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) return {name};
  const char* variable = std::getenv("PATH");
  std::string_view folders = variable == nullptr ? "/usr/local/bin:/usr/bin:/bin" : variable;
  std::vector<std::string> paths;
  while (true) {
    const auto colon = folders.find(':');
    const std::string_view folder = folders.substr(0, colon);
    paths.push_back(fmt::format("{}/{}", folder.empty() ? "." : folder, name));
    if (colon == std::string_view::npos) return paths;
    folders.remove_prefix(colon + 1);
  }
}

/// Whether the program may still be in another folder of PATH.
bool is_elsewhere(int error) {
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE ||
         error == ENODEV || error == ETIMEDOUT;
}

/// As execvpe(3), but what is no program for the kernel (ENOEXEC) is not given to a shell: that
/// would run half of a copied file, or find nothing in it and succeed. Allocates nothing, for it
/// runs in the child. Gives errno.
int execute_program(const ChildPlan& plan) {
  int found = ENOENT;
  for (const std::string& path : plan.programs) {
    execve(path.c_str(), plan.argv.data(), plan.environment.data());
    if (!is_elsewhere(errno)) return errno;
    if (errno == EACCES) found = EACCES;
  }
  return plan.programs.size() == 1 ? errno : found;
}

/// Only getpid, no allocation: runs in the child.
void fill_listen_pid(ChildPlan& plan) {
  char* end = plan.listen_pid.data() + kListenPid.size();
  *std::to_chars(end, plan.listen_pid.end() - 1, getpid()).ptr = '\0';
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

bool is_target(const ChildPlan& plan, int number) {
  return std::any_of(plan.moves.begin(), plan.moves.end(),
                     [number](const auto& move) { return move.second == number; });
}

/// False. errno is EMFILE where the kernel says of an open descriptor that a number above the limit
/// of descriptors is invalid (`for_the_number`).
bool fail_to_move(int source, int for_the_number) {
  if (errno == for_the_number && is_open(source)) errno = EMFILE;
  return false;
}

bool place_descriptors(ChildPlan& plan) {
  plan.step = kPlace;
  // First those that stand in another's place out of the way, and those in their own place too: a
  // copy onto itself would keep close-on-exec. Then all to their places.
  int lowest = STDERR_FILENO + 1;
  for (auto& [source, target] : plan.moves) {
    while (is_target(plan, source)) {
      const int moved = fcntl(source, F_DUPFD_CLOEXEC, lowest);
      if (moved < 0) return fail_to_move(source, EINVAL);
      source = moved;
      lowest = source + 1;
    }
  }
  for (const auto& [source, target] : plan.moves) {
    if (dup2(source, target) < 0) return fail_to_move(source, EBADF);
  }
  // Last, all that lies between and above the places.
  unsigned int next = 0;
  for (const auto& [source, target] : plan.moves) {
    const auto number = static_cast<unsigned int>(target);
    if (number > next && !close_descriptors(next, number - 1)) return false;
    next = number + 1;
  }
  return close_descriptors(next, ~0U);
}

ChildPlan make_plan(const SpawnOptions& options) {
  ChildPlan plan{};
  plan.options = &options;
  plan.programs = paths_of(options.path.empty() ? options.argv[0] : options.path);
  plan.argv = pointers_to(options.argv);
  plan.environment = pointers_to(options.environment);
  plan.moves = options.descriptors;
  std::sort(plan.moves.begin(), plan.moves.end(),
            [](const auto& left, const auto& right) { return left.second < right.second; });
  return plan;
}

/// The variable's room is in the plan, so this comes once the plan has its final place.
void add_listen_pid(ChildPlan& plan) {
  if (!plan.options->listen_pid) return;
  kListenPid.copy(plan.listen_pid.data(), kListenPid.size());
  plan.environment.insert(plan.environment.begin(), plan.listen_pid.data());
}

/// Runs in the child. Returns errno.
int execute(ChildPlan& plan) {
  const SpawnOptions& options = *plan.options;
  // By the system call: the library's function leaves out the two signals that it uses itself, and
  // whoever started us may have ignored those too. All zeros is the default, on every machine.
  const std::array<unsigned long, 8> by_default{};
  for (int signal = 1; signal < NSIG; ++signal) {
    syscall(SYS_rt_sigaction, signal, by_default.data(), nullptr, NSIG / 8);
  }
  if (options.new_group) setsid();
  if (options.parent_death_signal != 0) prctl(PR_SET_PDEATHSIG, options.parent_death_signal);
  if (options.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    plan.step = kNoNewPrivileges;
    return errno;
  }
  if (!place_descriptors(plan)) return errno;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = std::min<rlim_t>(original_descriptor_limit(), limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.listen_pid) fill_listen_pid(plan);
  plan.step = kExecute;
  return execute_program(plan);
}

/// Returns when the child has executed its program, or has ended. As vfork(2), but with a stack of
/// its own, and with the pidfd at once. On failure -1, with errno.
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

std::string ExitStatus::text() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  const char* name = sigdescr_np(signal);
  if (name == nullptr) return fmt::format("signal {}", signal);  // a real-time signal
  return fmt::format("signal {} ({})", signal, name);
}

void Child::kill(int signal) const {
  // Until it is reaped here, no other process gets its number. Some seccomp profiles refuse
  // pidfd_send_signal(2).
  if (!has_ended()) ::kill(pid_, signal);
}

void Child::kill_group(int signal) const {
  assert(pid_ > 1);  // 0, 1 and -1 would name others
  ::kill(-pid_, signal);
}

void Child::kill_tree(int signal) const {
  if (has_ended()) return;
  std::vector<pid_t> tree = {pid_};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", tree[i]));
    for (pid_t pid = 0; children >> pid;) tree.push_back(pid);
  }
  // It is not reaped yet, so its number is its own. A descendant that ends just now is not waited
  // for before its number could be used again: the kernel gives numbers in turn.
  for (const pid_t pid : tree) ::kill(pid, signal);
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
  // Its number is free from here on: the claim goes in the same step.
  const auto lock = ChildClaim::freeze();
  const int result = wait(WEXITED);
  const int error = errno;
  claim_.release();
  pidfd_.reset();
  if (result < 0) {
    if (error != ECHILD) throw SystemError(error, "wait for a child");
    return {-1, 0};  // SIGCHLD is ignored, and so the kernel has reaped it
  }
  if (info.si_code == CLD_EXITED) return {info.si_status, 0};
  return {0, info.si_status};
}

Child spawn(const SpawnOptions& options) {
  ChildPlan plan = make_plan(options);
  add_listen_pid(plan);

  // No signal may be handled in the child while it shares our memory.
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

  if (pid < 0) throw SystemError(clone_error, "create a process for", options.argv[0]);
  if (plan.error != 0) {
    child.reap();
    throw SystemError(plan.error, plan.step, options.argv[0]);
  }
  return child;
}

std::optional<ReapedChild> reap_any_child() {
  int status = 0;
  const pid_t pid = retry([&] { return waitpid(-1, &status, WNOHANG); });
  if (pid <= 0) return std::nullopt;
  if (WIFSIGNALED(status)) return ReapedChild{pid, {0, WTERMSIG(status)}};
  return ReapedChild{pid, {WEXITSTATUS(status), 0}};
}

void become(const SpawnOptions& options) {
  ChildPlan plan = make_plan(options);
  add_listen_pid(plan);
  if (options.listen_pid) fill_listen_pid(plan);
  if (!place_descriptors(plan)) throw SystemError(errno, kPlace, options.argv[0]);
  throw SystemError(execute_program(plan), kExecute, options.argv[0]);
}

std::string find_program(const std::string& name) {
  const auto check = [](const std::string& path) {
    struct stat found {};
    if (stat(path.c_str(), &found) < 0) return errno;
    if (S_ISDIR(found.st_mode)) return EACCES;
    return access(path.c_str(), X_OK) == 0 ? 0 : errno;
  };
  const std::vector<std::string> paths = paths_of(name);
  int error = ENOENT;
  for (const std::string& path : paths) {
    const int problem = check(path);
    if (problem == 0) return path;
    if (problem == EACCES || paths.size() == 1) error = problem;
  }
  throw SystemError(error, kExecute, name);
}

std::string own_program(const std::string& name) {
  try {
    return std::filesystem::absolute(find_program(name));
  } catch (const SystemError&) {
    return std::filesystem::read_symlink("/proc/self/exe");  // called by another name
  }
}

std::vector<std::string> inherited_environment() {
  static constexpr const char* kOurs[] = {
      "NOTIFY_SOCKET=",      "WATCHDOG_USEC=",  "WATCHDOG_PID=",
      "LISTEN_FDS=",         "LISTEN_PID=",     "LISTEN_FDNAMES=",
      "HANDOFF_CHANNEL_FD=", "HANDOFF_WORKER=", "HANDOFF_SUCCESSION="};
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    const bool ours = std::any_of(std::begin(kOurs), std::end(kOurs),
                                  [&](const char* prefix) { return variable.starts_with(prefix); });
    if (!ours) environment.emplace_back(variable);
  }
  return environment;
}

}  // namespace handoff
