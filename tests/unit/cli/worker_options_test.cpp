// SPDX-License-Identifier: MIT
#include "cli/worker_options.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::CommandLine;
using test::thrown_by;
using test::Variable;
using test::Words;

WorkerToolOptions options_of(const Words& words) {
  CommandLine line(words);
  Tool tool("tool", line.argc(), line.argv());
  return parse_worker_options(tool);
}

std::string problem_of(const Words& words) {
  return thrown_by<InvalidArgument>([&] { options_of(words); }).what();
}

TEST_CASE("the channel of a worker is the descriptor that its master names in the environment") {
  CHECK(channel_number() == -1);
  const Variable channel("HANDOFF_CHANNEL_FD", "7");
  CHECK(channel_number() == 7);
}

TEST_CASE("a channel that is no number of a descriptor is refused with the variable") {
  for (const std::string text : {"-1", "x", "3x", "99999999999"}) {
    CAPTURE(text);
    const Variable channel("HANDOFF_CHANNEL_FD", text);
    CHECK(thrown_by<InvalidArgument>([] { channel_number(); }).what() ==
          "HANDOFF_CHANNEL_FD " + text + ": not the number of a descriptor");
  }
}

TEST_CASE("a worker serves at one place only") {
  const std::string only_one = "only one of --listen, --join and --stdio";
  CHECK(problem_of({"--stdio", "-l", ":1"}) == only_one);
  CHECK(problem_of({"--stdio", "-j", "./s"}) == only_one);
  CHECK(problem_of({"-l", ":1", "-j", "./s"}) == only_one);
  CHECK(options_of({"-l", ":1", "-l", ":2"}).listen.size() == 2);
}

TEST_CASE("a worker of a master neither listens nor joins") {
  const Variable channel("HANDOFF_CHANNEL_FD", "7");
  CHECK(problem_of({"-l", ":1"}).starts_with("--listen and --join are not for a worker"));
  CHECK(problem_of({"-j", "./s"}).starts_with("--listen and --join are not for a worker"));
  CHECK(options_of({"--stdio"}).stdio);
}

TEST_CASE("listeners of a service manager are served by a worker that has no other place") {
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "2");
  CHECK(options_of({}).listen.size() == 2);
  CHECK(options_of({"-l", ":1"}).listen.size() == 3);
  CHECK(options_of({"--stdio"}).listen.empty());
  CHECK(options_of({"-j", "./s"}).listen.empty());
  const Variable channel("HANDOFF_CHANNEL_FD", "7");
  CHECK(options_of({}).listen.empty());
}

TEST_CASE("only a worker that joins a master waits for it") {
  CHECK(problem_of({"--wait"}) == "--wait needs --join");
  CHECK(options_of({"-j", "./s"}).wait == Duration::zero());
  CHECK(options_of({"-j", "./s", "--wait"}).wait > std::chrono::hours(24));
}

TEST_CASE("each thread of a worker has a call to run") {
  CHECK(problem_of({"--threads", "8", "-C", "7"}) ==
        "--threads 8 needs --concurrency 8 or more: each thread runs a call");
  CHECK(options_of({"--threads", "8", "-C", "8"}).worker.threads == 8);
}

TEST_CASE("a method that runs a command has a name without a star, and a command") {
  for (const std::string option : {"--method", "--coprocess"}) {
    CAPTURE(option);
    CHECK(problem_of({option, "a"}) == option + " a: write NAME=CMD");
    CHECK(problem_of({option, "a="}) == option + " a=: write a command after the =");
    CHECK(problem_of({option, "*=x"}) ==
          option + " *=x: only --service and --forward take a name with a star");
    CHECK(problem_of({option, "a.*=x"}) ==
          option + " a.*=x: only --service and --forward take a name with a star");
    CHECK(problem_of({option, "\xFF=x"}).find("write it in UTF-8") != std::string::npos);
  }
  CHECK(problem_of({"--args", "-k", "a=x"}) == "--args needs --method or --methods");
  CHECK(options_of({"-d", ".", "--args"}).process.params == ParamsForm::arguments);
  CHECK(problem_of({"--ready", "=1"}) == "--ready =1: write METHOD or METHOD=JSON");
  CHECK(problem_of({"--ready", "a=[1"}).starts_with("--ready a=[1: not JSON after the = ("));
  CHECK(options_of({"--ready", "a"}).worker.ready->params == "null");
  CHECK(options_of({"--ready", "a=\"=\""}).worker.ready->params == "\"=\"");
  CHECK(problem_of({"-K", "a.*="}) == "--service a.*=: write a command after the =");
  CHECK(options_of({"-K", "a.*=x", "-K", "*=y"}).services == Words{"a.*=x", "*=y"});
  CHECK(options_of({"-m", "a=x", "-m", "b=y=z"}).methods == Words{"a=x", "b=y=z"});
  CHECK(options_of({"-k", "a=x"}).coprocesses == Words{"a=x"});
}

TEST_CASE("a forward has the address of a server that can be connected to again") {
  CHECK(options_of({"-f", "a.*=./s", "-f", "*=:1"}).forwards == Words{"a.*=./s", "*=:1"});
  CHECK(problem_of({"-f", "a"}) == "--forward a: write NAME=ADDR");
  CHECK(problem_of({"-f", "a=fd:3"}) ==
        "--forward a=fd:3: one descriptor can't be connected to again");
  CHECK(problem_of({"-f", "a=:99999"}).starts_with("--forward "));
}

TEST_CASE("a variable that commands get is named without its value") {
  CHECK(options_of({"--env", "A"}).process.environment_names == Words{"A"});
  CHECK(problem_of({"--env", "A=B"}) == "--env A=B: write the name of a variable alone");
  CHECK(problem_of({"--env", ""}) == "--env '': write the name of a variable alone");
}

TEST_CASE("a command's output is limited as a frame is, and shares the budget of the clients") {
  const WorkerToolOptions options = options_of({"--max-frame", "4KiB", "--max-memory", "1MiB"});
  CHECK(options.process.max_output == 4096);
  REQUIRE(options.process.memory != nullptr);
  CHECK(options.process.memory == options.worker.limits.memory);
}

TEST_CASE("only a worker that has directories of methods lists them again") {
  CHECK_FALSE(options_of({}).worker.reloads);
  CHECK(options_of({"-d", "methods"}).worker.reloads);
}

TEST_CASE("a worker runs no command behind --") {
  CHECK(problem_of({"--", "cat"}) == "unexpected word cat after --: this tool runs no command");
}

}  // namespace
}  // namespace handoff
