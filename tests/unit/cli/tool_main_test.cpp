// SPDX-License-Identifier: MIT
#include "cli/tool_main.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>

#include "cli/stdout_writer.hpp"
#include "os/error.hpp"
#include "rpc/client.hpp"
#include "unit/cli/command_line.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

using test::CommandLine;
using test::said_by;
using test::written_to;

template <typename Error>
std::function<ExitCode(Tool&)> throwing(Error error) {
  return [error](Tool&) -> ExitCode { throw error; };
}

TEST_CASE("each kind of failure has its exit status, and one line") {
  CHECK(said_by({}, 0, [](Tool&) { return ExitCode::done; }) == "");
  CHECK(said_by({}, 1, [](Tool&) { return ExitCode::negative; }) == "");
  CHECK(said_by({}, 2, throwing(InvalidArgument("no"))) == "tool: no\n");
  CHECK(said_by({}, 3, throwing(Unreachable("no"))) == "tool: no\n");
  CHECK(said_by({}, 4, throwing(ProtocolError("no"))) == "tool: no\n");
  CHECK(said_by({}, 124, throwing(TimedOut("no"))) == "tool: no\n");
  CHECK(said_by({}, 125, throwing(std::runtime_error("no"))) == "tool: no\n");
  CHECK(said_by({}, 125, throwing(SystemError(EIO, "read", "x"))) ==
        "tool: cannot read x: Input/output error\n");
  CHECK(said_by({}, 126, throwing(SystemError(EACCES, "run", "x"))) ==
        "tool: cannot run x: Permission denied\n");
  CHECK(said_by({}, 127, throwing(SystemError(ENOENT, "run", "x"))) ==
        "tool: cannot run x: No such file or directory\n");
}

TEST_CASE("a failure whose remedy is known says it") {
  CHECK(said_by({}, 125, throwing(SystemError(EADDRINUSE, "listen on", ":80"))) ==
        "tool: cannot listen on :80: Address already in use (another process listens there; "
        "`ss -lptx` names it)\n");
  CHECK(said_by({}, 125, throwing(SystemError(EMFILE, "open", "x"))) ==
        "tool: cannot open x: Too many open files (raise the limit with `ulimit -n`)\n");
}

TEST_CASE("an option that is not understood is one line that names --help") {
  const auto parse = [](Tool& tool) {
    tool.parse();
    return ExitCode::done;
  };
  CHECK(said_by({"--nope"}, 2, parse) == "tool: unknown option --nope (see tool --help)\n");
  CHECK(said_by({"word"}, 2, parse) == "tool: unexpected word word (see tool --help)\n");
}

TEST_CASE("--help and --version go to stdout") {
  const auto shown = [](const char* option) {
    CommandLine line({option});
    return written_to(STDOUT_FILENO, [&] {
      const int status = tool_main("tool", line.argc(), line.argv(), [](Tool& tool) {
        tool.describe({"Do it.", {"tool [options]"}, {"tool -v", "tool -q"}});
        tool.parse();
        return ExitCode::failed;
      });
      CHECK(status == 0);
    });
  };
  CHECK(shown("--version") == "tool (handoff) 0.1.0\n");
  CHECK(shown("--help").starts_with("Do it.\nUsage: tool [options]\n"));
}

TEST_CASE("output that can't be written is a failure") {
  const Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  const Fd before(dup(STDOUT_FILENO));
  std::fflush(stdout);
  dup2(full.get(), STDOUT_FILENO);
  const std::string said = said_by({}, 125, [](Tool&) {
    write_to_stdout("a result\n");
    return ExitCode::done;
  });
  dup2(before.get(), STDOUT_FILENO);
  CHECK(said == "tool: cannot write to stdout: No space left on device\n");
}

}  // namespace
}  // namespace handoff
