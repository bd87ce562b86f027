// SPDX-License-Identifier: MIT
#include "os/spawn.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/descriptor_limit.hpp"
#include "os/signals.hpp"
#include "unit/os/running_cat.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::RunningCat;

/// What a program writes, all of it.
std::string output_of(SpawnOptions options) {
  auto [read_end, write_end] = make_pipe();
  options.descriptors.emplace_back(write_end.get(), 1);
  Child child = spawn(options);
  write_end.reset();
  std::string output = test::read_until_end(read_end.get());
  CHECK(child.reap().success());
  return output;
}

bool has_no_children() {
  return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
}

TEST_CASE("a program that can't be executed is an error with execve's errno") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("plain"), "text");
  const auto refused = [](const std::string& program) {
    SpawnOptions options;
    options.argv = {program};
    return test::thrown_by<SystemError>([&] { (void)spawn(options); });
  };
  const SystemError missing = refused("/no/such/program");
  CHECK(missing.error_number() == ENOENT);
  CHECK(std::string(missing.what()) == "cannot run /no/such/program: No such file or directory");
  CHECK(refused("no-such-program-in-path").error_number() == ENOENT);
  CHECK(refused(directory.path("plain")).error_number() == EACCES);
  CHECK(has_no_children());
}

TEST_CASE("a file that is no program is an error, and not given to a shell") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  for (const std::string_view text : {"", "\x7f\x45LF\x02", "exit 0\n"}) {
    const std::string path = directory.path("program");
    test::write_file(path, text);
    REQUIRE(chmod(path.c_str(), 0700) == 0);
    SpawnOptions options;
    options.argv = {path};
    const auto error = test::thrown_by<SystemError>([&] { (void)spawn(options); });
    CHECK(error.error_number() == ENOEXEC);
    CHECK(error.attempt() == "run");
  }
  CHECK(has_no_children());
}

TEST_CASE("the folders of PATH are searched for a program that may be executed") {
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("tool"), "#!/bin/sh\n");
  const std::string before = std::getenv("PATH");
  setenv("PATH", (directory.path("") + ":/no/such/folder:/dev/null").c_str(), 1);
  const auto refused = [](const std::string& program) {
    SpawnOptions options;
    options.argv = {program};
    return test::thrown_by<SystemError>([&] { (void)spawn(options); }).error_number();
  };
  CHECK(refused("tool") == EACCES);
  CHECK(refused("another-tool") == ENOENT);
  setenv("PATH", before.c_str(), 1);
}

TEST_CASE("a child's number above the limit of descriptors is called too many open files") {
  const test::DescriptorCheck check;
  const Fd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const test::DescriptorLimit limit(64);
  SpawnOptions options;
  options.argv = {"true"};
  options.descriptors = {{file.get(), 64}};
  const auto error = test::thrown_by<SystemError>([&] { (void)spawn(options); });
  CHECK(error.error_number() == EMFILE);
  CHECK(has_no_children());
}

TEST_CASE("no room to move a child's descriptors is called too many open files") {
  const test::DescriptorCheck check;
  constexpr int kLimit = 64;
  std::vector<Fd> files;
  while (files.empty() || files.back().get() < kLimit - 1) {
    files.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  SpawnOptions options;
  options.argv = {"true"};
  for (std::size_t i = 0; i < 4; ++i) {
    options.descriptors.emplace_back(files[i].get(), files[i].get());
  }
  // Room for the pidfd, and to move some of them.
  files.pop_back();
  files.pop_back();
  const test::DescriptorLimit limit(kLimit);
  const auto error = test::thrown_by<SystemError>([&] { (void)spawn(options); });
  CHECK(error.error_number() == EMFILE);
  CHECK(has_no_children());
}

TEST_CASE("a child has the descriptors that it was given and no other") {
  const test::DescriptorCheck check;
  auto leak = make_pipe();
  clear_close_on_exec(leak.read_end.get());
  const Fd high(fcntl(leak.write_end.get(), F_DUPFD, 500));
  CHECK(RunningCat().descriptors() == std::set<int>{0, 1});

  const Fd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const RunningCat cat({}, {{file.get(), 9}, {leak.read_end.get(), 3}, {leak.read_end.get(), 4}});
  CHECK(cat.descriptors() == std::set<int>{0, 1, 3, 4, 9});
  CHECK(cat.has(9, file));
  CHECK(cat.has(3, leak.read_end));
  CHECK(cat.has(4, leak.read_end));
}

TEST_CASE("a descriptor that has its number already is inherited") {
  const auto [read_end, write_end] = make_pipe();
  const RunningCat cat({}, {{read_end.get(), read_end.get()}});
  CHECK(cat.has(read_end.get(), read_end));
}

TEST_CASE("descriptors can swap their places") {
  const test::DescriptorCheck check;
  const auto [read_end, write_end] = make_pipe();
  const int left = read_end.get();
  const int right = write_end.get();
  const RunningCat cat({}, {{left, right}, {right, left}});
  CHECK(cat.has(right, read_end));
  CHECK(cat.has(left, write_end));
  CHECK(cat.descriptors() == std::set<int>{0, 1, left, right});
}

TEST_CASE("a child's numbers can be those that are in use for the descriptors' way there") {
  const test::DescriptorCheck check;
  const auto [read_end, write_end] = make_pipe();
  const int lowest_free = read_end.duplicate().get();
  for (int number = lowest_free; number < lowest_free + 10; ++number) {
    const RunningCat cat({}, {{read_end.get(), number}, {write_end.get(), number + 1}});
    CHECK(cat.has(number, read_end));
    CHECK(cat.has(number + 1, write_end));
  }
}

TEST_CASE("a descriptor that is not open is an error") {
  SpawnOptions options;
  options.argv = {"true"};
  options.descriptors = {{-1, 0}};
  CHECK(test::thrown_by<SystemError>([&] { (void)spawn(options); }).error_number() == EBADF);
  CHECK(has_no_children());
}

TEST_CASE("a child starts with an empty signal mask and default dispositions") {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  {
    const SignalMask mask({SIGTERM, SIGUSR1, SIGCHLD});
    const RunningCat cat;
    CHECK(cat.status("SigBlk").find_first_not_of('0') == std::string::npos);
    CHECK(cat.status("SigIgn").find_first_not_of('0') == std::string::npos);
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    CHECK(sigismember(&blocked, SIGTERM) == 1);
    CHECK(sigismember(&blocked, SIGHUP) == 0);
  }
  CHECK((std::signal(SIGPIPE, SIG_DFL) == SIG_IGN));
  CHECK((std::signal(SIGINT, SIG_DFL) == SIG_IGN));
}

TEST_CASE("a child gets the descriptor limit that we were started with") {
  const std::size_t original = original_descriptor_limit();
  const test::DescriptorLimit lowered(200);
  SpawnOptions options;
  options.argv = {"sh", "-c", "ulimit -n"};
  CHECK(output_of(options) == std::to_string(original) + "\n");
}

TEST_CASE("a child leads a group of its own unless asked not to") {
  RunningCat leader;
  CHECK(getpgid(leader.child().pid()) == leader.child().pid());
  SpawnOptions options;
  options.new_group = false;
  RunningCat member(options);
  CHECK(getpgid(member.child().pid()) == getpgrp());
}

TEST_CASE("a child can be told to die with the thread that made it") {
  RunningCat survivor;
  SpawnOptions options;
  options.parent_death_signal = SIGUSR1;
  const auto [read_end, write_end] = make_pipe();
  options.argv = {"cat"};
  options.descriptors = {{read_end.get(), 0}, {write_end.get(), 1}};
  Child child;
  std::thread([&] { child = spawn(options); }).join();
  REQUIRE(test::becomes_readable(child.pidfd()));
  CHECK(child.reap().signal == SIGUSR1);
  CHECK(!survivor.child().has_ended());
}

TEST_CASE("a child can be kept from new privileges") {
  SpawnOptions options;
  options.no_new_privileges = true;
  CHECK(RunningCat(options).status("NoNewPrivs") == "1");
}

TEST_CASE("a child gets its arguments and its environment, exactly") {
  SpawnOptions options;
  options.argv = {"env"};
  options.environment = {"A=1", "B=two words", "C="};
  CHECK(output_of(options) == "A=1\nB=two words\nC=\n");
  options.environment = {};
  CHECK(output_of(options).empty());
  options.argv = {"printf", "%s.", "", "a b", "$HOME*"};
  CHECK(output_of(options) == ".a b.$HOME*.");
}

/// A process that starts programs, one after the other, which are to end with it. It counts them in
/// memory that it shares with the test, and they hold `held`.
pid_t start_spawner(std::atomic<int>& count, const Fd& held) {
  const pid_t pid = fork();
  if (pid != 0) { return pid; }
  SpawnOptions options;
  options.argv = {"sleep", "1000"};
  options.descriptors = {{held.get(), 1}};
  options.parent_death_signal = SIGKILL;
  for (;; ++count) { (void)spawn(options); }
}

TEST_CASE("a parent that is killed at any moment leaves no program that was to end with it") {
  constexpr int kKills = 100;
  void* memory = mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& count = *new (memory) std::atomic<int>(0);
  std::mt19937 random(1);
  std::uniform_int_distribution<int> any_moment(0, 1000);
  for (int i = 0; i < kKills; ++i) {
    CAPTURE(i);
    auto [read_end, write_end] = make_pipe();
    count = 0;
    const pid_t spawner = start_spawner(count, write_end);
    REQUIRE(spawner > 0);
    write_end.reset();
    while (count == 0) { sched_yield(); }
    const auto moment =
        std::chrono::steady_clock::now() + std::chrono::microseconds(any_moment(random));
    while (std::chrono::steady_clock::now() < moment) {}
    kill(spawner, SIGKILL);
    REQUIRE(waitpid(spawner, nullptr, 0) == spawner);
    // The end of the pipe: nobody holds it any more.
    REQUIRE(test::becomes_readable(read_end.get()));
  }
  munmap(memory, sizeof count);
}

}  // namespace
}  // namespace handoff
