// SPDX-License-Identifier: MIT
#include "os/process_tree.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <string>

#include "os/child_claim.hpp"
#include "os/environment.hpp"
#include "os/process_mark.hpp"
#include "os/signals.hpp"
#include "os/spawn.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// Adopting orphans belongs to a whole process: each test has one of its own.
bool holds_in_another_process(const std::function<bool(SignalMask&)>& holds) {
  std::fflush(stdout);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(test::kPatienceMs / 1000);
    SignalMask children({SIGCHLD});
    _exit(adopt_orphans().is_ok() && holds(children) ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status == 0;
}

/// Looks again at each SIGCHLD.
bool comes_true(SignalMask& children, const std::function<bool()>& condition) {
  while (!condition()) {
    if (!test::becomes_readable(children.fd())) { return false; }
    while (children.try_read()) {}
  }
  return true;
}

/// A tree whose leader is a shell, and that has written a line once `script` has done so.
struct Tree {
  explicit Tree(const std::string& script) {
    Pipe pipe = make_pipe();
    const std::string mark = marks.next();
    SpawnOptions options;
    options.argv = {"sh", "-c", script};
    options.environment = inherited_environment();
    set_mark(options.environment, mark);
    options.descriptors = {{pipe.write_end.get(), 1}};
    tree = ProcessTree(spawn(options), mark);
    output = std::move(pipe.read_end);
    pipe.write_end.reset();
    char first = 0;
    (void)!read(output.get(), &first, 1);
  }

  ProcessMarks marks;
  ProcessTree tree;
  Fd output;
};

/// The leader waits; or leaves the rest behind, in its group or elsewhere.
constexpr const char* kScripts[] = {
    "sleep 1000 & echo; wait",
    "sleep 1000 & echo",
    "set -m; sleep 1000 & echo",
    "setsid sleep 1000 & echo",
    "env -i sleep 1000 & echo",
    "setsid sh -c 'setsid sleep 1000 & sleep 1000' & echo",
    "(setsid sh -c 'sleep 1000 & echo' &)",
};

TEST_CASE("a tree is told to end as a whole, and is empty only when all of it has ended") {
  for (const char* script : kScripts) {
    CAPTURE(script);
    CHECK(holds_in_another_process([&](SignalMask& children) {
      Tree started(script);
      return !started.tree.is_empty() && comes_true(children, [&] {
        started.tree.term();
        return started.tree.is_empty();
      });
    }));
  }
}

TEST_CASE("a tree that ignores SIGTERM can be killed") {
  for (const char* script : kScripts) {
    CAPTURE(script);
    CHECK(holds_in_another_process([&](SignalMask& children) {
      Tree started("trap '' TERM; " + std::string(script));
      started.tree.term();
      if (started.tree.is_empty()) { return false; }
      return comes_true(children, [&] {
        started.tree.kill();
        return started.tree.is_empty();
      });
    }));
  }
}

TEST_CASE("a tree can be finished in one step, which gives the leader's status") {
  for (const char* script : kScripts) {
    CAPTURE(script);
    CHECK(holds_in_another_process([&](SignalMask&) {
      Tree started(script);
      started.tree.finish();
      // All that had the pipe is gone.
      char byte = 0;
      while (read(started.output.get(), &byte, 1) > 0) {}
      return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
    }));
  }
  CHECK(holds_in_another_process([](SignalMask& children) {
    Tree started("echo; exit 3");
    return comes_true(children, [&] { return started.tree.leader_has_ended(); }) &&
           started.tree.finish().code == 3;
  }));
}

TEST_CASE("nothing of a tree gets a second SIGTERM") {
  CHECK(holds_in_another_process([](SignalMask& children) {
    Tree started("trap 'echo told' TERM; echo; while :; do sleep 1000 & wait; done");
    for (int i = 0; i < 3; ++i) { started.tree.term(); }
    char word[5] = {};
    if (read(started.output.get(), word, 5) != 5) { return false; }
    if (!comes_true(children, [&] {
          started.tree.kill();
          return started.tree.is_empty();
        })) {
      return false;
    }
    return read(started.output.get(), word, 1) == 0;
  }));
}

TEST_CASE("one tree is not another's, and an orphan of none is left alone") {
  CHECK(holds_in_another_process([](SignalMask& children) {
    Tree first("setsid sleep 1000 & echo");
    Tree second("setsid sleep 1000 & echo; wait");
    Tree gone("env -i setsid sh -c 'echo; exec sleep 1000' &");
    if (!comes_true(children, [&] { return gone.tree.is_empty(); })) { return false; }
    first.tree.finish();
    gone.tree.finish();
    reap_orphans();
    if (second.tree.leader_has_ended()) { return false; }
    second.tree.finish();
    // Only the one without a mark is left, and can be ended by its number alone.
    const pid_t left = waitpid(-1, nullptr, WNOHANG);
    FILE* file = std::fopen("/proc/thread-self/children", "r");
    int orphan = 0;
    const int found = file == nullptr ? 0 : std::fscanf(file, "%d", &orphan);
    return left == 0 && found == 1 && kill(orphan, SIGKILL) == 0;
  }));
}

TEST_CASE("orphans that have ended are reaped, and no child that has an owner") {
  CHECK(holds_in_another_process([](SignalMask& children) {
    SpawnOptions options;
    options.argv = {"sh", "-c", "exit 3"};
    Child owned = spawn(options);
    Tree started("(true &); setsid true & echo; exit 4");
    const pid_t of_own_code = fork();
    if (of_own_code == 0) { _exit(5); }
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(of_own_code), &info, WEXITED | WNOWAIT);
    const bool is_empty = comes_true(children, [&] {
      reap_orphans();
      return started.tree.is_empty() && owned.has_ended();
    });
    int status = 0;
    return is_empty && owned.reap().code == 3 && started.tree.reap().code == 4 &&
           waitpid(of_own_code, &status, 0) == of_own_code && WEXITSTATUS(status) == 5 &&
           waitpid(-1, nullptr, WNOHANG) == -1;
  }));
}

TEST_CASE("a child is an orphan once its owner has given up the claim") {
  CHECK(holds_in_another_process([](SignalMask& children) {
    SpawnOptions options;
    options.argv = {"true"};
    Child child = spawn(options);
    const pid_t pid = child.pid();
    if (!comes_true(children, [&] { return child.has_ended(); })) { return false; }
    ChildClaim further(pid);
    child = Child();
    reap_orphans();
    if (!ChildClaim::exists(pid) || kill(pid, 0) < 0) { return false; }
    further.release();
    reap_orphans();
    return kill(pid, 0) < 0;
  }));
}

}  // namespace
}  // namespace handoff
