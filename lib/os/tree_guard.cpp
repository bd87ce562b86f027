// SPDX-License-Identifier: MIT
#include "os/tree_guard.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "os/environment.hpp"
#include "os/error.hpp"
#include "os/parse_number.hpp"
#include "os/process_mark.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::string_view kName = "handoff-guard";

/// The pause between two checks of a process of which the kernel gives no pidfd.
constexpr milliseconds kLookPause(50);

/// A process of the trees. Its pidfd was opened before the process was examined, so that it cannot
/// be that of another one.
struct Found {
  pid_t pid;
  Fd pidfd;
  bool is_outermost;  ///< the guarded process itself has started its tree
};

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    if (const auto pid = parse_number<pid_t>(entry->path().filename().string())) {
      pids.push_back(*pid);
    }
  }
  return pids;
}

Fd open_process(pid_t pid) {
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

/// Returns whether the mark is not inside another one, which would have more than one point.
bool is_outermost(std::string_view rest_of_mark) {
  return rest_of_mark.find('.') == rest_of_mark.size() - 1;
}

/// Returns the processes that have the mark, and those in the session of one that the guarded
/// process itself has started, which may have changed their environment.
std::vector<Found> find_trees(const std::string& mark) {
  const std::vector<pid_t> pids = all_processes();
  std::vector<Found> found;
  std::set<pid_t> sessions;
  std::vector<pid_t> others;
  for (const pid_t pid : pids) {
    Fd pidfd = open_process(pid);
    if (const auto rest = find_mark(pid, mark)) {
      if (is_outermost(*rest)) { sessions.insert(getsid(pid)); }
      found.push_back({pid, std::move(pidfd), is_outermost(*rest)});
    } else {
      others.push_back(pid);
    }
  }
  sessions.erase(getsid(0));
  for (const pid_t pid : others) {
    Fd pidfd = open_process(pid);
    if (!sessions.contains(getsid(pid)) || is_ending(pid)) { continue; }
    found.push_back({pid, std::move(pidfd), true});
  }
  std::erase_if(found, [](const Found& process) { return kill(process.pid, 0) < 0; });
  return found;
}

void send_signal(const Found& process, int signal) {
  // Some seccomp profiles refuse pidfd_send_signal(2).
  if (!process.pidfd.valid() ||
      (syscall(SYS_pidfd_send_signal, process.pidfd.get(), signal, nullptr, 0) < 0 &&
       errno != ESRCH)) {
    kill(process.pid, signal);
  }
}

/// Waits until one of the processes has ended, or the time is over.
void wait_for_any(const std::vector<Found>& processes, std::optional<Clock::time_point> limit) {
  std::vector<pollfd> pidfds;
  bool is_blind = false;
  for (const Found& process : processes) {
    if (process.pidfd.valid()) { pidfds.push_back({process.pidfd.get(), POLLIN, 0}); }
    is_blind = is_blind || !process.pidfd.valid();
  }
  std::optional<milliseconds> timeout;
  if (is_blind) { timeout = kLookPause; }
  if (limit) {
    const auto left = std::chrono::ceil<milliseconds>(*limit - Clock::now());
    timeout = std::clamp(left, milliseconds(0), timeout.value_or(std::chrono::hours(1)));
  }
  poll(pidfds.data(), pidfds.size(), timeout ? static_cast<int>(timeout->count()) : -1);
}

void end_trees(const GuardOrders& orders) {
  std::optional<Clock::time_point> limit;
  if (orders.patience > milliseconds(0)) { limit = Clock::now() + orders.patience; }
  auto found = find_trees(orders.mark);
  for (const Found& process : found) {
    if (orders.signal != 0 && process.is_outermost) { send_signal(process, orders.signal); }
  }
  for (; !found.empty(); found = find_trees(orders.mark)) {
    if (limit && Clock::now() >= *limit) {
      for (const Found& process : found) { send_signal(process, SIGKILL); }
      wait_for_any(found, std::nullopt);
    } else {
      wait_for_any(found, limit);
    }
  }
}

}  // namespace

TreeGuard::TreeGuard(const GuardOrders& orders) {
  auto [read_end, write_end] = make_pipe();
  SpawnOptions options;
  options.path = "/proc/self/exe";
  options.argv = {std::string(kName), std::to_string(getpid()), orders.mark,
                  std::to_string(orders.signal), std::to_string(orders.patience.count())};
  options.environment = inherited_environment();
  // The guard of an outer tree would end this one if it had its mark.
  set_variable(options.environment, variable::kMark, "");
  options.descriptors = {{read_end.get(), STDIN_FILENO}};
  child_ = spawn(options);
  pipe_ = std::move(write_end);
}

void TreeGuard::dismiss() {
  if (!pipe_.valid()) { return; }
  const char word = 0;
  (void)!write(pipe_.get(), &word, 1);
  pipe_.reset();
  child_.reap();
}

bool is_tree_guard(int argc, char** argv) {
  return argc == 5 && argv[0] == kName;
}

int guard_main(char** argv) {
  prctl(PR_SET_NAME, kName.data());
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) { std::signal(signal, SIG_IGN); }
  (void)!chdir("/");
  const GuardOrders orders{argv[2], parse_number<int>(argv[3]).value_or(0),
                           milliseconds(parse_number<std::int64_t>(argv[4]).value_or(0))};
  char word = 0;
  const auto size = retry([&] { return read(STDIN_FILENO, &word, 1); });
  if (size == 0) { end_trees(orders); }
  return 0;
}

}  // namespace handoff
