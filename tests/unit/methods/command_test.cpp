// SPDX-License-Identifier: MIT
#include "methods/command.hpp"

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>

#include "methods/call_arguments.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// Runs a shell command for each call.
struct Commands {
  explicit Commands(ProcessOptions options = {}) : runner(std::move(options)) {}

  Result call(const std::string& command, Duration time = std::chrono::hours(1)) {
    const Handler handler = command_handler(reactor, runner, Program::shell(command));
    Call call;
    call.method = "m.x";
    call.params = params;
    call.id = "7";
    call.peer = "127.0.0.1:5";
    call.deadline = Clock::now() + time;
    return reactor.run_for_result(handler(std::move(call)));
  }

  std::string params = "[1, 2]";
  Reactor reactor;
  ChildRunner runner;
};

ProcessOptions with_params_as_arguments() {
  ProcessOptions options;
  options.text = true;
  options.params = ParamsForm::arguments;
  return options;
}

/// Whether a process that is no child of ours ends, or has done so.
bool ends(const std::string& pid) {
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, std::stoi(pid), 0)));
  return !pidfd.valid() || test::becomes_readable(pidfd.get());
}

/// Whether the process that has written its number here is gone.
bool is_gone(const std::string& pid) {
  return kill(std::stoi(pid), 0) < 0 && errno == ESRCH;
}

TEST_CASE("a command gets the params on its stdin, and its stdout is the result") {
  const test::DescriptorCheck check;
  CHECK(Commands().call("cat").json == "[1, 2]");
}

TEST_CASE("a command is told the method, the client and the id") {
  CHECK(Commands().call(R"(printf '"%s %s %s"' "$RPC_METHOD" "$RPC_PEER" "$RPC_ID")").json ==
        R"("m.x 127.0.0.1:5 7")");
}

TEST_CASE(
    "with params as arguments a shell gets the method and an array's elements, and no input") {
  Commands commands(with_params_as_arguments());
  commands.params = R"x(["a b", "$(exit 3)", "'; exit 4; '", "-n", {"x": 1}])x";
  CHECK(commands.call(R"(printf '%s|' "$0" "$@"; cat)").json ==
        quote_json(R"x(m.x|a b|$(exit 3)|'; exit 4; '|-n|{"x":1}|)x"));
  commands.params = "null";
  CHECK(commands.call(R"(printf '%s|' "$0" "$#")").json == R"("m.x|0|")");
}

TEST_CASE("with params as arguments a shell gets an object's members in its environment") {
  Commands commands(with_params_as_arguments());
  commands.params = R"({"to": "a $b", "n": 5, "METHOD": "x"})";
  CHECK(commands.call(R"(printf '%s|' $# "$RPC_ARG_to" "$RPC_ARG_n" "$RPC_METHOD")").json ==
        R"("0|a $b|5|m.x|")");
}

TEST_CASE("params that can't be arguments are invalid, and no command is started") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  Commands commands(with_params_as_arguments());
  for (const char* params : {"5", R"(["\u0000"])", R"({"a b": 1})"}) {
    CAPTURE(params);
    commands.params = params;
    const Result result = commands.call("touch " + directory.path("started"));
    CHECK(result.code == ErrorCode::invalid_params);
    CHECK(!result.message.empty());
    CHECK(access(directory.path("started").c_str(), F_OK) == -1);
  }
}

TEST_CASE("as many arguments as may be are given to a command") {
  Commands commands(with_params_as_arguments());
  const std::string longest(kMaxArgumentBytes - 1, 'x');
  commands.params = "[\"" + longest + "\"]";
  CHECK(commands.call(R"(printf '%s' ${#1})").json == std::to_string(longest.size()));
  commands.params = "[\"\"";
  for (std::size_t n = 1; n < kMaxArgumentBytes; ++n) { commands.params += ",\"\""; }
  commands.params += "]";
  CHECK(commands.call(R"(printf '%s' $#)").json == std::to_string(kMaxArgumentBytes));
}

TEST_CASE("white space at the end of a command's output is no part of the result") {
  CHECK(Commands().call(R"(printf ' {"a": 1}\n\n')").json == R"( {"a": 1})");
}

TEST_CASE("a command without output gives null, or an empty string where text is wanted") {
  CHECK(Commands().call("exit 0").json == "null");
  CHECK(Commands({.text = true}).call("exit 0").json == R"("")");
}

TEST_CASE("output that is no JSON is an error, or a string where text is wanted") {
  const Result refused = Commands().call("echo hello");
  CHECK(refused.code == ErrorCode::handler_failed);
  CHECK(refused.message.starts_with("the command's output is not JSON: "));
  CHECK(Commands({.text = true}).call("echo hello").json == R"("hello")");
}

TEST_CASE(
    "a command that fails is an error with its status and what it said, whatever its output") {
  const Result failed = Commands().call("echo 1; echo why >&2; exit 3");
  CHECK(failed.code == ErrorCode::handler_failed);
  CHECK(failed.message == "exit status 3");
  CHECK(failed.json == R"({"status":3,"stderr":"why"})");
  CHECK(Commands().call("kill -9 $$").message == "signal 9 (Killed)");
}

TEST_CASE("a command that writes too much is ended, and its call is told the limit") {
  Commands commands({.max_output = 1000});
  const Result result = commands.call("yes");  // it would go on for ever
  CHECK(result.code == ErrorCode::handler_failed);
  CHECK(result.message == "the command's output exceeds the limit of 1000 bytes");
  CHECK(commands.runner.options().memory->held() == 0);
  CHECK(commands.call("printf 1").json == "1");
}

TEST_CASE("a command that takes too long is killed at the deadline, and its stderr is told") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string pid = directory.path("pid");
  Commands commands;
  const Result result =
      commands.call("echo $$ > " + pid + "; exec sleep 1000", std::chrono::milliseconds(50));
  CHECK(result.code == ErrorCode::timed_out);
  CHECK(result.message == "the command did not end in time");
  const std::string number = test::read_file(pid);
  if (!number.empty()) {
    CHECK(is_gone(number));  // it may have been killed before it wrote that
  }
}

TEST_CASE("a call ends with its command, and what that leaves in the background is killed") {
  const test::DescriptorCheck check;
  Commands commands;
  const Result result = commands.call("sleep 1000 & echo $!");  // it holds the pipe
  CHECK(ends(result.json));
}

TEST_CASE(
    "a command that reads no params, and one that writes much before it reads them, end well") {
  Commands commands;
  CHECK(commands.call("exec <&-; echo 1").json == "1");
  const Result result = commands.call(
      R"(printf '"'; head -c 300000 /dev/zero | tr '\0' x; printf '"'; cat >/dev/null)");
  CHECK(result.json == '"' + std::string(300'000, 'x') + '"');
}

TEST_CASE("output is counted in the budget of the process while it is collected") {
  Commands commands;
  const std::string command = "head -c 100000 /dev/zero | tr '\\0' 1; kill -STOP $$";
  std::size_t most = 0;
  commands.reactor.run([](Commands& its, const std::string& text, std::size_t& held) -> Task<void> {
    const Handler handler = command_handler(its.reactor, its.runner, Program::shell(text));
    its.reactor.spawn([](Handler run) -> Task<void> {
      Call call;
      call.params = "1";
      co_await run(std::move(call));
    }(handler));
    const MemoryBudget& memory = *its.runner.options().memory;
    while (memory.held() < 100'000) { co_await its.reactor.yield(); }
    held = memory.held();
  }(commands, command, most));
  CHECK(most == 100'000);
  CHECK(commands.runner.options().memory->held() == 0);
}

TEST_CASE("what a command that succeeds writes to its stderr is logged by lines, with its method") {
  std::vector<std::string> log;
  ProcessOptions options;
  options.log = [&log](std::string_view method, std::string_view line) {
    log.push_back(std::string(method) + ": " + std::string(line));
  };
  Commands commands(options);
  CHECK(commands.call("echo one >&2; echo 1; printf two >&2").json == "1");
  CHECK(log == std::vector<std::string>{"m.x: one", "m.x: two"});
  log.clear();
  CHECK(commands.call("echo one >&2; exit 1").is_error());
  CHECK(log.empty());
}

TEST_CASE("of much that a command that succeeds writes to its stderr the end is logged") {
  std::vector<std::string> log;
  ProcessOptions options;
  options.log = [&log](std::string_view, std::string_view line) { log.emplace_back(line); };
  Commands commands(options);
  CHECK(!commands.call("head -c 3048 /dev/zero >&2; echo >&2; echo end >&2").is_error());
  REQUIRE(log.size() == 3);
  CHECK(log[0] == "(1005 bytes before this are left out)");
  CHECK(log[2] == "end");
}

TEST_CASE("a program that can't be run is an error of its call alone") {
  const test::DescriptorCheck check;
  Reactor reactor;
  ChildRunner runner({});
  const Handler handler = command_handler(reactor, runner, {{"/nowhere/program"}, {}});
  CHECK_THROWS_AS(reactor.run_for_result(handler(Call())), SystemError);
}

}  // namespace
}  // namespace handoff
