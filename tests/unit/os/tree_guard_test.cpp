// SPDX-License-Identifier: MIT
#include "os/tree_guard.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "os/environment.hpp"
#include "os/process_mark.hpp"
#include "os/spawn.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A guard is this program under another name: it becomes one before anything is tested.
__attribute__((constructor)) void become_guard(int argc, char** argv, char**) {
  if (is_tree_guard(argc, argv)) { _exit(guard_main(argv)); }
}

/// A process with a mark, which does `script`, and says so by a line.
struct MarkedShell {
  MarkedShell(const std::string& mark, const std::string& script) {
    Pipe pipe = make_pipe();
    SpawnOptions options;
    options.argv = {"sh", "-c", script + "; echo; exec sleep 1000"};
    options.environment = inherited_environment();
    set_mark(options.environment, mark);
    options.descriptors = {{pipe.write_end.get(), 1}};
    child = spawn(options);
    pipe.write_end.reset();
    char line = 0;
    REQUIRE(test::becomes_readable(pipe.read_end.get()));
    REQUIRE(read(pipe.read_end.get(), &line, 1) == 1);
  }
  MarkedShell(const MarkedShell&) = delete;
  MarkedShell& operator=(const MarkedShell&) = delete;
  ~MarkedShell() {
    if (child.pidfd() < 0) { return; }
    child.kill_group(SIGKILL);
    child.reap();
  }

  /// How it has ended, once it has.
  ExitStatus status() {
    REQUIRE(test::becomes_readable(child.pidfd()));
    return child.reap();
  }

  Child child;
};

/// A process that has a guard for its trees, and is killed.
void die_with_guard(const GuardOrders& orders) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const TreeGuard guard(orders);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status));
}

/// What a guard does whose pipe this process holds, in a process of its own.
class GuardProcess {
 public:
  explicit GuardProcess(const GuardOrders& orders) {
    auto [read_end, write_end] = make_pipe();
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      write_end.reset();
      dup2(read_end.get(), STDIN_FILENO);
      run(orders);
    }
    pipe_ = std::move(write_end);
  }
  GuardProcess(const GuardProcess&) = delete;
  GuardProcess& operator=(const GuardProcess&) = delete;
  ~GuardProcess() { wait(); }

  /// The end of the guarded process, and then that of the guard.
  void wait() {
    pipe_.reset();
    if (pid_ <= 0) { return; }
    int status = -1;
    CHECK(waitpid(std::exchange(pid_, 0), &status, 0) > 0);
    CHECK(status == 0);
  }
  pid_t pid() const { return pid_; }
  bool ignores(int signal) const {
    const std::string status = test::read_file("/proc/" + std::to_string(pid_) + "/status");
    const auto start = status.find("SigIgn:\t");
    REQUIRE(start != std::string::npos);
    const unsigned long long mask = std::stoull(status.substr(start + 8), nullptr, 16);
    return (mask >> (signal - 1) & 1) != 0;
  }

 private:
  [[noreturn]] static void run(const GuardOrders& orders) {
    std::array<std::string, 5> words = {"handoff-guard", "1", orders.mark,
                                        std::to_string(orders.signal),
                                        std::to_string(orders.patience.count())};
    std::array<char*, 6> argv{};
    for (std::size_t i = 0; i < words.size(); ++i) { argv[i] = words[i].data(); }
    setsid();
    _exit(guard_main(argv.data()));
  }

  pid_t pid_ = 0;
  Fd pipe_;
};

TEST_CASE("a program is a guard when it is called by that name, with the orders of one") {
  std::string guard = "handoff-guard";
  std::string other = "rpc-master";
  std::array<char*, 1> argv = {guard.data()};
  CHECK(is_tree_guard(5, argv.data()));
  CHECK(!is_tree_guard(4, argv.data()));
  argv = {other.data()};
  CHECK(!is_tree_guard(5, argv.data()));
}

TEST_CASE("when a process is killed, its guard sends its trees the signal that was asked for") {
  ProcessMarks marks;
  MarkedShell marked(marks.next(), ":");
  MarkedShell stranger(ProcessMarks().next() + "other", ":");
  die_with_guard({marks.prefix(), SIGTERM, {}});
  CHECK(marked.status().signal == SIGTERM);
  CHECK(!stranger.child.has_ended());
}

TEST_CASE("what is left when the patience of a guard has passed is killed") {
  ProcessMarks marks;
  MarkedShell stubborn(marks.next(), "trap '' TERM");
  GuardProcess guard({marks.prefix(), SIGTERM, std::chrono::milliseconds(1)});
  guard.wait();
  CHECK(stubborn.status().signal == SIGKILL);
}

TEST_CASE("a process that has changed its environment is found by its session") {
  ProcessMarks marks;
  MarkedShell tree(marks.next(), "env -i sleep 1000 & true");
  GuardProcess guard({marks.prefix(), SIGTERM, {}});
  guard.wait();  // it ends when nothing of the tree is left
  CHECK(tree.status().signal == SIGTERM);
}

TEST_CASE("a tree within a tree is not told by the guard of the outer one, but is killed by it") {
  ProcessMarks marks;
  MarkedShell inner(marks.next() + "1-2-3.", ":");
  GuardProcess guard({marks.prefix(), SIGTERM, std::chrono::milliseconds(1)});
  guard.wait();
  CHECK(inner.status().signal == SIGKILL);
}

TEST_CASE("a guard that is dismissed ends and leaves the trees alone") {
  const test::DescriptorCheck check;
  ProcessMarks marks;
  MarkedShell marked(marks.next(), ":");
  {
    TreeGuard guard({marks.prefix(), SIGKILL, std::chrono::milliseconds(1)});
    const pid_t pid = guard.pid();
    CHECK(kill(pid, 0) == 0);
    guard.dismiss();
    CHECK(kill(pid, 0) < 0);
    guard.dismiss();  // once is enough
  }
  CHECK(!marked.child.has_ended());
}

TEST_CASE("a guard that is asked to end by a signal stays, and does its work") {
  ProcessMarks marks;
  MarkedShell marked(marks.next(), ":");
  GuardProcess guard({marks.prefix(), SIGTERM, {}});
  while (!guard.ignores(SIGQUIT)) {  // the last that it sets
  }
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) { CHECK(kill(guard.pid(), signal) == 0); }
  guard.wait();
  CHECK(marked.status().signal == SIGTERM);
}

}  // namespace
}  // namespace handoff
