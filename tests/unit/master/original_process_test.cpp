// SPDX-License-Identifier: MIT
#include "master/original_process.hpp"

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <handoff/pass/fd_passing.hpp>

#include "os/environment.hpp"
#include "os/spawn.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A shell in the place of a master.
Child start_shell(const std::string& script, std::vector<std::pair<int, int>> descriptors = {}) {
  SpawnOptions options;
  options.argv = {"sh", "-c", script};
  options.new_group = false;
  options.environment = inherited_environment();
  options.descriptors = std::move(descriptors);
  return spawn(options);
}

/// One that has set its traps, and then waits until its input ends.
struct Waiting {
  explicit Waiting(const std::string& traps) {
    auto [ready, tell] = make_pipe();
    auto [input, write_end] = make_pipe();
    child = start_shell(traps + "\necho ready; while read -r line; do :; done",
                        {{input.get(), 0}, {tell.get(), 1}});
    end = std::move(write_end);
    REQUIRE(test::becomes_readable(ready.get()));
  }
  Child child;
  Fd end;
};

Child copy_of(const Child& child) {
  return {child.pid(), duplicate(child.pidfd())};
}

ReceivedSignal by_process(int number) {
  return {number, ReceivedSignal::From::process, 1};
}

/// Waits until another thread has reaped the child: its pidfd refers to none any more.
void wait_until_reaped(int pidfd) {
  REQUIRE(test::becomes_readable(pidfd));
  siginfo_t info{};
  const auto id = static_cast<id_t>(pidfd);
  while (waitid(static_cast<idtype_t>(P_PIDFD), id, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
    std::this_thread::yield();
  }
}

struct Fixture {
  void take_over(Child master) {
    process.successor_started(std::move(master));
    process.successor_took_over();
  }
  void notify(std::string_view bytes, std::vector<int> descriptors = {}) const {
    CHECK(send_fds(link.get(), bytes, descriptors).outcome == SendOutcome::sent);
  }
  /// Only the masters have the socket; the test gives its end away.
  std::optional<ExitStatus> run() {
    link.reset();
    return process.run(SignalMask({SIGUSR2, SIGCHLD}));
  }

  std::vector<std::string> lines;
  OriginalProcess process{[this](Severity, std::string_view line) { lines.emplace_back(line); }};
  Fd link = duplicate(process.successors_end());
};

TEST_CASE_FIXTURE(Fixture, "an original process serves until a successor has taken over") {
  CHECK(process.phase() == OriginalProcess::Phase::serving);
  Child successor = start_shell("exit 0");
  process.successor_started(copy_of(successor));
  CHECK(process.phase() == OriginalProcess::Phase::serving);
  process.successor_took_over();
  CHECK(process.phase() == OriginalProcess::Phase::forwarding);
  CHECK(process.serving() == successor.pid());
  CHECK(process.successors_end() == -1);
  CHECK(run()->success());
  CHECK(process.phase() == OriginalProcess::Phase::over);
}

TEST_CASE_FIXTURE(Fixture, "an original process ends with the status of its successor") {
  take_over(start_shell("exit 7"));
  const auto status = run();
  REQUIRE(status);
  CHECK(status->code == 7);
  CHECK(lines.empty());
}

TEST_CASE_FIXTURE(Fixture, "an original process says which signal has killed its successor") {
  take_over(start_shell("kill -9 $$"));
  const auto status = run();
  REQUIRE(status);
  CHECK(status->signal == SIGKILL);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with(": signal 9 (Killed)"));
}

TEST_CASE_FIXTURE(Fixture, "an original process forwards signals to its successor") {
  Waiting successor("trap 'exit 5' HUP");
  take_over(std::move(successor.child));
  process.forward(by_process(SIGHUP));
  CHECK_FALSE(process.told_to_stop());
  CHECK(run()->code == 5);
}

TEST_CASE_FIXTURE(Fixture, "an original process forwards what it has received before it waits") {
  Waiting successor("trap 'exit 6' USR2");
  take_over(std::move(successor.child));
  const SignalMask signals({SIGUSR2, SIGCHLD});
  raise(SIGUSR2);
  link.reset();
  CHECK(process.run(signals)->code == 6);
}

TEST_CASE_FIXTURE(Fixture, "a signal of the kernel to the whole group is not forwarded") {
  Waiting successor("trap 'exit 5' INT; trap 'exit 6' TERM");
  take_over(std::move(successor.child));
  process.forward({SIGINT, ReceivedSignal::From::kernel, 0});
  process.forward(by_process(SIGTERM));
  CHECK(run()->code == 6);
}

TEST_CASE_FIXTURE(Fixture, "the master that serves names its successor by a pidfd") {
  Waiting first("trap 'exit 1' HUP; trap 'exit 2' TERM");
  Waiting second("trap 'exit 3' HUP; trap 'exit 4' TERM");
  take_over(copy_of(first.child));
  notify("s", {second.child.pidfd()});
  CHECK(process.receive());
  CHECK(process.serving() == first.child.pid());
  notify("t");
  CHECK(process.receive());
  CHECK(process.serving() == second.child.pid());

  SUBCASE("HUP is for the one that serves") {
    process.forward(by_process(SIGHUP));
    CHECK(test::becomes_readable(second.child.pidfd()));
    CHECK_FALSE(first.child.has_ended());
    first.end.reset();
    CHECK(run()->code == 3);
  }
  SUBCASE("TERM is for both, and the status is that of the one that served") {
    process.forward(by_process(SIGTERM));
    CHECK(process.told_to_stop());
    CHECK(run()->code == 4);
  }
}

TEST_CASE_FIXTURE(Fixture, "an original process waits for masters that still drain") {
  Child serving = start_shell("exit 3");
  const std::string pid = std::to_string(serving.pid());
  take_over(start_shell("while kill -0 " + pid + "; do :; done; exit 5"));
  take_over(std::move(serving));
  CHECK(run()->code == 3);
}

TEST_CASE_FIXTURE(Fixture, "a stop fails if a master that still drained has cut something off") {
  Child draining = start_shell("exit 124");
  REQUIRE(test::becomes_readable(draining.pidfd()));
  take_over(std::move(draining));
  Child serving = start_shell("exit 0");
  REQUIRE(test::becomes_readable(serving.pidfd()));
  take_over(std::move(serving));
  SUBCASE("it was told to stop") {
    process.forward(by_process(SIGTERM));
    CHECK(run()->code == 124);
  }
  SUBCASE("it was not") {
    CHECK(run()->success());
  }
}

TEST_CASE_FIXTURE(Fixture, "a successor that starts while the master dies serves in its place") {
  Waiting heir("trap 'exit 8' USR2");
  const pid_t pid = heir.child.pid();
  Child master = start_shell("kill -9 $$");
  REQUIRE(test::becomes_readable(master.pidfd()));
  take_over(std::move(master));
  notify("s", {heir.child.pidfd()});
  const SignalMask signals({SIGUSR2, SIGCHLD});
  raise(SIGUSR2);  // which is for the heir
  link.reset();
  CHECK(process.run(signals)->code == 8);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with("signal 9 (Killed); pid " + std::to_string(pid) + " takes over"));
}

TEST_CASE_FIXTURE(Fixture, "a successor whose master was killed before it named it names itself") {
  Waiting heir("trap 'exit 8' USR2");
  Child master = start_shell("kill -9 $$");
  const Fd ended = duplicate(master.pidfd());
  const std::string pid = std::to_string(master.pid());
  take_over(std::move(master));
  const SignalMask signals({SIGUSR2, SIGCHLD});
  std::thread successor([&] {
    wait_until_reaped(ended.get());
    kill(getpid(), SIGUSR2);  // which is for the heir, whenever it comes
    notify("s", {heir.child.pidfd()});
    link.reset();
  });
  const auto status = process.run(signals);
  successor.join();
  REQUIRE(status);
  CHECK(status->code == 8);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "the master, pid " + pid + ": signal 9 (Killed); pid " +
                        std::to_string(heir.child.pid()) + " takes over");
}

TEST_CASE("an original process awaits a successor that does not name itself for a while only") {
  std::vector<std::string> lines;
  OriginalProcess process([&](Severity, std::string_view line) { lines.emplace_back(line); },
                          std::chrono::milliseconds(1));
  const Fd link = duplicate(process.successors_end());
  process.successor_started(start_shell("kill -9 $$"));
  process.successor_took_over();
  const auto status = process.run(SignalMask({SIGUSR2, SIGCHLD}));
  REQUIRE(status);
  CHECK(status->signal == SIGKILL);
  CHECK(lines.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a master that serves and names itself once more changes nothing") {
  Waiting master("trap 'exit 5' HUP");
  take_over(copy_of(master.child));
  notify("s", {master.child.pidfd()});
  CHECK(process.receive());
  process.successor_took_over();
  CHECK(process.serving() == master.child.pid());
  process.forward(by_process(SIGHUP));
  CHECK(run()->code == 5);
}

TEST_CASE_FIXTURE(Fixture,
                  "a successor that has failed does not serve in the place of its master") {
  Child failed = start_shell("exit 1");
  REQUIRE(test::becomes_readable(failed.pidfd()));
  take_over(start_shell("exit 2"));
  notify("s", {failed.pidfd()});
  CHECK(run()->code == 2);
}

TEST_CASE_FIXTURE(Fixture, "a master that is no child tells its status") {
  auto [input, hold] = make_pipe();
  auto [output, tell] = make_pipe();
  Child parent = start_shell("cat <&3 >/dev/null & echo $!", {{input.get(), 3}, {tell.get(), 1}});
  tell.reset();
  input.reset();
  CHECK(parent.reap().success());
  REQUIRE(test::becomes_readable(output.get()));
  const pid_t pid = std::stoi(test::read_until_end(output.get()));
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  REQUIRE(pidfd.valid());
  take_over(Child(pid, duplicate(pidfd.get())));

  SUBCASE("it does") {
    notify(std::string_view("e\x7c"));
    hold.reset();
    CHECK(run()->code == 124);
  }
  SUBCASE("it was killed before it could") {
    kill(pid, SIGKILL);
    CHECK_FALSE(run());
    CHECK(lines.size() == 1);
  }
}

TEST_CASE_FIXTURE(Fixture, "notices that make no sense change nothing") {
  take_over(start_shell("exit 2"));
  notify("s");
  notify("t");
  notify("e");
  notify("?");
  const auto [left, right] = make_pipe();
  notify("s", {left.get()});
  notify("t");
  CHECK(run()->code == 2);
}

TEST_CASE("an original process leaves no descriptor open") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.take_over(start_shell("exit 0"));
  CHECK(fixture.run()->success());
}

}  // namespace
}  // namespace handoff
