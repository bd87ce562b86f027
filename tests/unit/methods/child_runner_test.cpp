// SPDX-License-Identifier: MIT
#include "methods/child_runner.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

/// Starts shell commands, whose output the test reads.
struct Shell {
  explicit Shell(ProcessOptions options = {}) : runner(std::move(options)) {}

  std::unique_ptr<ChildRunner::Child> start(const std::string& command,
                                            const std::vector<std::string>& more = {}) {
    Pipe pipe = make_pipe();
    output = std::move(pipe.read_end);
    const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    return runner.start(Program::shell(command), more, null.get(), pipe.write_end.get(),
                        null.get());
  }
  /// All that a command writes until it has ended.
  std::string output_of(const std::string& command, const std::vector<std::string>& more = {}) {
    const auto child = start(command, more);
    std::string text = test::read_until_end(output.get());
    CHECK(child->end().success());
    return text;
  }
  std::string line() const {
    std::string text;
    for (char byte = 0; byte != '\n';) {
      REQUIRE(test::becomes_readable(output.get()));
      REQUIRE(read(output.get(), &byte, 1) == 1);
      text += byte;
    }
    return text;
  }

  ChildRunner runner;
  Fd output;
};

/// Whether a process that is no child of ours ends, or has done so.
bool ends(const std::string& pid) {
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, std::stoi(pid), 0)));
  return !pidfd.valid() || test::becomes_readable(pidfd.get());
}

bool is_gone(const std::string& pid) {
  return kill(std::stoi(pid), 0) < 0 && errno == ESRCH;
}

TEST_CASE("a child has the usual variables, those that were asked for, and no other of ours") {
  setenv("HANDOFF_TEST_SECRET", "1", 1);
  setenv("HANDOFF_TEST_SHARED", "2", 1);
  ProcessOptions options;
  options.environment_names = {"HANDOFF_TEST_SHARED", "HANDOFF_TEST_MISSING"};
  const std::string text = "\n" + Shell(options).output_of("env", {"RPC_METHOD=m"});
  unsetenv("HANDOFF_TEST_SECRET");
  unsetenv("HANDOFF_TEST_SHARED");
  CHECK(text.find("HANDOFF_TEST_SECRET") == std::string::npos);
  CHECK(text.find("HANDOFF_TEST_MISSING") == std::string::npos);
  CHECK(text.find("\nHANDOFF_TEST_SHARED=2\n") != std::string::npos);
  CHECK(text.find("\nRPC_METHOD=m\n") != std::string::npos);
  CHECK(text.find("\nPATH=" + std::string(getenv("PATH")) + "\n") != std::string::npos);
}

TEST_CASE("each child has a mark of its own, which what it starts inherits") {
  Shell shell;
  const std::string first = shell.output_of("echo $RPC_MARK; sh -c 'echo $RPC_MARK'");
  const std::string line = first.substr(0, first.find('\n') + 1);
  CHECK(line.size() > 1);
  CHECK(first == line + line);
  CHECK(shell.output_of("echo $RPC_MARK") != line);
}

TEST_CASE("a child has three descriptors, a session of its own, and gains no privileges") {
  const Pipe leak = make_pipe();
  clear_close_on_exec(leak.read_end.get());
  Shell shell;
  CHECK(shell.output_of(
            "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i; done; true") ==
        "0\n1\n2\n");
  CHECK(shell.output_of("cut -d' ' -f1,6 /proc/$$/stat | (read a b; [ $a = $b ] && echo leads)") ==
        "leads\n");
  CHECK(shell.output_of("grep NoNewPrivs /proc/self/status") == "NoNewPrivs:\t1\n");
}

TEST_CASE("the end of a child kills what is left of it, and gives its own status") {
  const test::DescriptorCheck check;
  Shell shell;
  const auto child = shell.start("sleep 1000 & echo $!; exit 3");
  const std::string left = shell.line();
  REQUIRE(test::becomes_readable(child->pidfd()));
  CHECK(child->has_ended());
  CHECK(child->end().code == 3);
  CHECK(child->pidfd() == -1);
  CHECK(ends(left));
  shell.output.reset();
}

TEST_CASE("a child that still runs is killed by its end, and by being destroyed") {
  const test::DescriptorCheck check;
  Shell shell;
  auto child = shell.start("echo $$; exec sleep 1000");
  const std::string first = shell.line();
  CHECK(!child->has_ended());
  CHECK(child->end().signal == SIGKILL);
  CHECK(is_gone(first));
  child = shell.start("echo $$; exec sleep 1000");
  const std::string second = shell.line();
  CHECK(!is_gone(second));
  child.reset();
  CHECK(is_gone(second));
  shell.output.reset();
}

TEST_CASE("a program that is not there can't be started, and nothing stays open") {
  const test::DescriptorCheck check;
  ChildRunner runner({});
  const auto error = test::thrown_by<SystemError>([&] {
    runner.start({{"handoff-test-no-program"}, {}}, {}, 0, 1, 2);
  });
  CHECK(error.error_number() == ENOENT);
}

}  // namespace
}  // namespace handoff
