// SPDX-License-Identifier: MIT
#include "os/program.hpp"

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include <handoff/os/fd.hpp>

namespace handoff {
namespace {

/// What the functions change belongs to a whole process: each test has one of its own. Returns its
/// status, as waitpid(2) has it.
int status_of(const std::function<bool()>& is_right) {
  std::fflush(stdout);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) { _exit(is_right() ? 0 : 1); }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

bool adopts_orphans() {
  int adopts = 0;
  return prctl(PR_GET_CHILD_SUBREAPER, &adopts) == 0 && adopts != 0;
}

/// What a write to a pipe without a reader fails with.
int write_unread() {
  auto [read_end, write_end] = make_pipe();
  read_end.reset();
  return write(write_end.get(), "text", 4) < 0 ? errno : 0;
}

TEST_CASE("a program that runs long survives writes that fail") {
  CHECK(status_of([] {
          (void)prepare_to_run_long(Orphans::leave);
          return is_ignored(SIGPIPE) && is_ignored(SIGXFSZ) && !is_ignored(SIGTERM);
        }) == 0);
}

TEST_CASE("a program that runs long is not stopped by a terminal that it writes to") {
  CHECK(status_of([] {
          (void)prepare_to_run_long(Orphans::leave);
          return is_ignored(SIGTTOU) && !is_ignored(SIGTTIN) && !is_ignored(SIGTSTP);
        }) == 0);
}

TEST_CASE("it adopts orphans only when it is to") {
  CHECK(status_of([] {
          (void)prepare_to_run_long(Orphans::leave);
          return !adopts_orphans();
        }) == 0);
  CHECK(status_of([] { return prepare_to_run_long(Orphans::adopt).is_ok() && adopts_orphans(); }) ==
        0);
}

TEST_CASE("it may have as many descriptors as the hard limit allows") {
  CHECK(status_of([] {
          (void)prepare_to_run_long(Orphans::leave);
          rlimit limit{};
          getrlimit(RLIMIT_NOFILE, &limit);
          return limit.rlim_cur == limit.rlim_max;
        }) == 0);
}

TEST_CASE("output whose reader has gone ends it by SIGPIPE, as any program in a pipeline") {
  const int status = status_of([] {
    (void)prepare_to_run_long(Orphans::leave);
    end_if_reader_has_gone(write_unread());
    return true;
  });
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGPIPE);
}

TEST_CASE("when it was started with SIGPIPE ignored, such output is an error") {
  CHECK(status_of([] {
          std::signal(SIGPIPE, SIG_IGN);
          (void)prepare_to_run_long(Orphans::leave);
          const int error = write_unread();
          end_if_reader_has_gone(error);
          return error == EPIPE;
        }) == 0);
}

TEST_CASE("HUP ends a program unless it was ignored when that started") {
  const std::vector<int> both{SIGTERM, SIGHUP};
  CHECK(ending_signals({SIGTERM, SIGHUP}) == both);
  std::signal(SIGHUP, SIG_IGN);
  CHECK(ending_signals({SIGTERM, SIGHUP}) == std::vector<int>{SIGTERM});
  std::signal(SIGHUP, SIG_DFL);
}

TEST_CASE("closed standard descriptors are filled so that using them fails") {
  CHECK(status_of([] {
          for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) { close(number); }
          fill_standard_descriptors();
          char byte = 0;
          return is_open(STDIN_FILENO) && is_open(STDOUT_FILENO) && is_open(STDERR_FILENO) &&
                 read(STDIN_FILENO, &byte, 1) == -1 && write(STDOUT_FILENO, &byte, 1) == -1 &&
                 write(STDERR_FILENO, &byte, 1) == -1;
        }) == 0);
}

}  // namespace
}  // namespace handoff
