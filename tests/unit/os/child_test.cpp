// SPDX-License-Identifier: MIT
#include "os/child.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include "os/spawn.hpp"
#include "unit/os/running_cat.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::RunningCat;

Child run_shell(const std::string& script, SpawnOptions options = {}) {
  options.argv = {"sh", "-c", script};
  return spawn(options);
}

bool has_no_children() {
  return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
}

TEST_CASE("the exit status of a child is told") {
  const test::DescriptorCheck check;
  const ExitStatus status = run_shell("exit 3").reap();
  CHECK(status.code == 3);
  CHECK(status.signal == 0);
  CHECK(!status.success());
  CHECK(status.text() == "exit status 3");
  CHECK(run_shell("exit 0").reap().success());
  CHECK(has_no_children());
}

TEST_CASE("the signal that killed a child is told") {
  const ExitStatus status = run_shell("kill -9 $$").reap();
  CHECK(status.code == 0);
  CHECK(status.signal == SIGKILL);
  CHECK(!status.success());
  CHECK(status.text() == "signal 9 (Killed)");
}

TEST_CASE("a real-time signal has a text too") {
  const ExitStatus status = run_shell("kill -40 $$").reap();
  REQUIRE(status.signal == 40);
  std::string text;
  CHECK_NOTHROW(text = status.text());
  CHECK(text.starts_with("signal 40"));
}

TEST_CASE("killing a group reaches the grandchildren") {
  const test::DescriptorCheck check;
  auto [read_end, write_end] = make_pipe();
  SpawnOptions options;
  options.descriptors = {{write_end.get(), 1}};
  Child child = run_shell("sleep 1000 & echo up; wait", options);
  write_end.reset();
  REQUIRE(test::becomes_readable(read_end.get()));
  child.kill_group(SIGKILL);
  // The pipe ends only when the grandchild, which has it too, is gone.
  CHECK(test::read_until_end(read_end.get()) == "up\n");
  CHECK(child.reap().signal == SIGKILL);
}

TEST_CASE("a child ends when it is killed, and a signal after that is harmless") {
  RunningCat cat;
  Child& child = cat.child();
  CHECK(!child.has_ended());
  child.kill(SIGTERM);
  REQUIRE(test::becomes_readable(child.pidfd()));
  CHECK(child.has_ended());
  child.kill(SIGTERM);
  CHECK(child.has_ended());
  CHECK(child.reap().signal == SIGTERM);
  CHECK(child.pidfd() == -1);
}

}  // namespace
}  // namespace handoff
