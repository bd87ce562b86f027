// SPDX-License-Identifier: MIT
#include "os/signals.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/spawn.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

bool is_blocked(int signal) {
  sigset_t mask;
  sigemptyset(&mask);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

Child start(std::vector<std::string> argv) {
  SpawnOptions options;
  options.argv = std::move(argv);
  return spawn(options);
}

TEST_CASE("a raised signal is read, once") {
  const test::DescriptorCheck check;
  const SignalMask mask({SIGUSR1, SIGUSR2});
  CHECK(mask.try_read() == std::nullopt);
  raise(SIGUSR1);
  CHECK(test::becomes_readable(mask.fd()));
  CHECK(mask.try_read() == SIGUSR1);
  CHECK(mask.try_read() == std::nullopt);
}

TEST_CASE("each of several waiting signals is read") {
  const SignalMask mask({SIGUSR1, SIGUSR2});
  raise(SIGUSR2);
  raise(SIGUSR1);
  const auto first = mask.try_read();
  const auto second = mask.try_read();
  REQUIRE(first);
  REQUIRE(second);
  CHECK(*first + *second == SIGUSR1 + SIGUSR2);
  CHECK(*first != *second);
  CHECK(mask.try_read() == std::nullopt);
}

TEST_CASE("only the signals asked for are blocked, until the mask is destroyed") {
  REQUIRE(!is_blocked(SIGUSR1));
  {
    const SignalMask mask({SIGUSR1});
    CHECK(is_blocked(SIGUSR1));
    CHECK(!is_blocked(SIGUSR2));
  }
  CHECK(!is_blocked(SIGUSR1));
}

TEST_CASE("a mask that lasts until the exit leaves its signals blocked") {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  { const SignalMask mask({SIGUSR1}, SignalMask::Until::exit); }
  CHECK(is_blocked(SIGUSR1));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("masks nest: the inner one leaves what the outer one blocks") {
  const SignalMask outer({SIGUSR1});
  { const SignalMask inner({SIGUSR1, SIGUSR2}); }
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
}

TEST_CASE("the signal descriptor neither blocks nor is inherited") {
  const SignalMask mask({SIGUSR1});
  CHECK(test::is_nonblocking(mask.fd()));
  CHECK(test::closes_on_exec(mask.fd()));
}

TEST_CASE("a mask that can't be made leaves no signal blocked") {
  const test::DescriptorLimit none_left(3);
  REQUIRE(test::thrown_by<SystemError>([] { const SignalMask mask({SIGUSR1}); }).error_number() ==
          EMFILE);
  CHECK(!is_blocked(SIGUSR1));
}

TEST_CASE("SIGCHLD is blocked only when asked for, and stands for all children that have ended") {
  {
    const SignalMask without({SIGUSR1});
    CHECK(!is_blocked(SIGCHLD));
  }
  const SignalMask mask({SIGCHLD});
  CHECK(is_blocked(SIGCHLD));
  Child first = start({"true"});
  Child second = start({"true"});
  REQUIRE(test::becomes_readable(first.pidfd()));
  REQUIRE(test::becomes_readable(second.pidfd()));
  CHECK(mask.try_read() == SIGCHLD);
  CHECK(mask.try_read() == std::nullopt);
  CHECK(first.reap().success());
  CHECK(second.reap().success());
}

TEST_CASE("a process that ignored SIGCHLD can reap its children from its first mask on") {
  std::signal(SIGCHLD, SIG_IGN);
  { const SignalMask mask({SIGUSR1}); }
  CHECK(start({"sh", "-c", "exit 3"}).reap().code == 3);
  CHECK((std::signal(SIGCHLD, SIG_DFL) == SIG_DFL));
}

TEST_CASE("an ignored signal is read while it is masked") {
  std::signal(SIGUSR1, SIG_IGN);
  {
    const SignalMask mask({SIGUSR1});
    raise(SIGUSR1);
    CHECK(mask.try_read() == SIGUSR1);
  }
  std::signal(SIGUSR1, SIG_DFL);
}

volatile std::sig_atomic_t handled = 0;

TEST_CASE(
    "a signal that waits unread takes effect when the mask is destroyed, one that was read not") {
  handled = 0;
  std::signal(SIGUSR1, [](int) { handled = handled + 1; });
  std::signal(SIGUSR2, [](int) { handled = handled + 100; });
  {
    const SignalMask mask({SIGUSR1, SIGUSR2});
    raise(SIGUSR2);
    CHECK(mask.try_read() == SIGUSR2);
    raise(SIGUSR1);
    CHECK(handled == 0);
  }
  CHECK(handled == 1);
  std::signal(SIGUSR1, SIG_DFL);
  std::signal(SIGUSR2, SIG_DFL);
}

TEST_CASE("a child has none of the waiting signals, and inherits the mask unless spawn() made it") {
  const SignalMask mask({SIGUSR1});
  raise(SIGUSR1);
  CHECK(start({"sh", "-c", "exit 0"}).reap().success());
  const std::string pattern = "SigBlk:.*2..$";  // SIGUSR1 is bit 9
  CHECK(start({"grep", "-q", pattern, "/proc/self/status"}).reap().code == 1);
  const pid_t forked = fork();
  if (forked == 0) {
    execlp("grep", "grep", "-q", pattern.c_str(), "/proc/self/status", nullptr);
    _exit(127);
  }
  int status = -1;
  REQUIRE(waitpid(forked, &status, 0) == forked);
  CHECK(status == 0);
  CHECK(mask.try_read() == SIGUSR1);
}

}  // namespace
}  // namespace handoff
