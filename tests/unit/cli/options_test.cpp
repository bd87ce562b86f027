// SPDX-License-Identifier: MIT
#include "cli/options.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "cli/stdout_writer.hpp"
#include "cli/tool_main.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"
#include "wire/errors.hpp"

using handoff::Address;
using handoff::Duration;
using handoff::InvalidArgument;
using handoff::parse_duration;
using handoff::parse_duration_range;
using handoff::parse_server;
using handoff::split_name_value;
using handoff::Tool;
using handoff::test::thrown_by;
using namespace std::chrono_literals;

namespace {

/// A command line that lives as long as the tool that reads it.
class CommandLine {
 public:
  explicit CommandLine(std::vector<std::string> words) : words_(std::move(words)) {
    words_.insert(words_.begin(), "tool");
    for (std::string& word : words_) argv_.push_back(word.data());
    argv_.push_back(nullptr);
  }
  int argc() const { return static_cast<int>(words_.size()); }
  char** argv() { return argv_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> argv_;
};

using Words = std::vector<std::string>;

Words words_of(const Words& words) {
  CommandLine line(words);
  Tool tool("tool", line.argc(), line.argv());
  return tool.parse_words();
}

/// What `call` writes to one of our standard streams.
std::string written_to(int number, const std::function<void()>& call) {
  handoff::Pipe pipe = handoff::make_pipe();
  const handoff::Fd before(dup(number));
  std::fflush(stdout);
  dup2(pipe.write_end.get(), number);
  pipe.write_end.reset();
  call();
  std::fflush(stdout);
  dup2(before.get(), number);
  return handoff::test::read_until_end(pipe.read_end.get());
}

/// Runs tool_main, which says something on stderr only.
std::string said_by(const Words& words, int expected,
                    const std::function<handoff::ExitCode(Tool&)>& run) {
  CommandLine line(words);
  return written_to(STDERR_FILENO, [&] {
    const int status = handoff::tool_main("tool", line.argc(), line.argv(), run);
    CHECK(status == expected);
  });
}

template <typename Error>
std::function<handoff::ExitCode(Tool&)> throwing(Error error) {
  return [error](Tool&) -> handoff::ExitCode { throw error; };
}

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

std::vector<Address> inherited() {
  std::vector<Address> listen;
  handoff::add_inherited_listeners(listen);
  return listen;
}

}  // namespace

TEST_CASE("a server's descriptor must be open, for reading and writing") {
  const auto word = [](const handoff::Fd& fd) { return "fd:" + std::to_string(fd.get()); };
  const auto problem = [](const std::string& text) -> std::string {
    return thrown_by<InvalidArgument>([&] { (void)parse_server(text); }).what();
  };
  const auto [socket, peer] = handoff::make_socket_pair(SOCK_STREAM);
  CHECK(parse_server(word(socket)).number == socket.get());
  handoff::Pipe pipe = handoff::make_pipe();
  for (handoff::Fd* end : {&pipe.read_end, &pipe.write_end}) {
    const std::string text = word(*end);
    CHECK(problem(text) == text + ": the descriptor is not open for reading and writing");
    end->reset();
    CHECK(problem(text) == text + ": the descriptor is not open");
  }
}

TEST_CASE("a duration has a unit, or is in seconds") {
  CHECK(parse_duration("250us") == 250us);
  CHECK(parse_duration("250ms") == 250ms);
  CHECK(parse_duration("2s") == 2s);
  CHECK(parse_duration("2") == 2s);
  CHECK(parse_duration("0.5") == 500ms);
  CHECK(parse_duration("1m") == 1min);
  CHECK(parse_duration("1.5h") == 90min);
  CHECK(parse_duration("0") == Duration::zero());
  CHECK(parse_duration("1e3ms") == 1s);
}

TEST_CASE("a duration that is none is refused with how it is written") {
  for (const char* text : {"5x", "-1s", "nan", "inf", "s", "ms", "1 s", " 1s", "1s ", "1ss", "+1s",
                           "0x10", "1d", "1e99", "1e999", "1,5s"}) {
    CAPTURE(text);
    CHECK(thrown_by<InvalidArgument>([&] { parse_duration(text); }).what() ==
          std::string(text) + ": write a duration such as 250ms, 2s, 1m or 1h");
  }
  CHECK(thrown_by<InvalidArgument>([&] { parse_duration(""); }).what() ==
        std::string("'': write a duration such as 250ms, 2s, 1m or 1h"));
}

TEST_CASE("a duration of a century fits, and a longer one is refused") {
  CHECK(parse_duration("876000h") == 876000h);
  CHECK_THROWS_AS(parse_duration("876001h"), InvalidArgument);
}

TEST_CASE("a range has two durations in order, which may be the same") {
  CHECK(parse_duration_range("100ms:10s") == std::pair<Duration, Duration>(100ms, 10s));
  CHECK(parse_duration_range("1:1") == std::pair<Duration, Duration>(1s, 1s));
  CHECK(parse_duration_range("0:1m") == std::pair<Duration, Duration>(0s, 1min));
}

TEST_CASE("a range that is none is refused with what is wrong") {
  const auto problem = [](const char* text) {
    return std::string(thrown_by<InvalidArgument>([&] { parse_duration_range(text); }).what());
  };
  CHECK(problem("1s") == "1s: write MIN:MAX, as in 100ms:10s");
  CHECK(problem("").ends_with(": write MIN:MAX, as in 100ms:10s"));
  CHECK(problem("2s:1s") == "2s:1s: the first exceeds the second");
  CHECK(problem("x:1s") == "x: write a duration such as 250ms, 2s, 1m or 1h");
  CHECK(problem("1s:") == "'': write a duration such as 250ms, 2s, 1m or 1h");
  CHECK(problem("1s:2s:3s") == "2s:3s: write a duration such as 250ms, 2s, 1m or 1h");
}

TEST_CASE("NAME=VALUE is split at its first equals sign") {
  using Pair = std::pair<std::string, std::string>;
  CHECK(split_name_value("--method", "a=b", "NAME=CMD") == Pair("a", "b"));
  CHECK(split_name_value("--method", "a=b=c", "NAME=CMD") == Pair("a", "b=c"));
  CHECK(split_name_value("--method", "a=", "NAME=CMD") == Pair("a", ""));
}

TEST_CASE("what is not NAME=VALUE is refused with the form") {
  for (const char* text : {"a", "", "=b"}) {
    CAPTURE(text);
    CHECK(std::string(thrown_by<InvalidArgument>([&] {
                        split_name_value("--method", text, "NAME=CMD");
                      }).what())
              .ends_with(": write NAME=CMD"));
  }
}

TEST_CASE("listeners that the service manager passed are descriptors from 3 on") {
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "2");
  const std::vector<Address> listen = inherited();
  REQUIRE(listen.size() == 2);
  CHECK(listen[0].kind == Address::Kind::inherited);
  CHECK(listen[0].number == 3);
  CHECK(listen[1].number == 4);
}

TEST_CASE("listeners that were passed to another process are not ours") {
  const Variable pid("LISTEN_PID", "1");
  const Variable count("LISTEN_FDS", "2");
  CHECK(inherited().empty());
}

TEST_CASE("half of the service manager's variables is none") {
  {
    const Variable pid("LISTEN_PID", std::to_string(getpid()));
    CHECK(inherited().empty());
  }
  {
    const Variable count("LISTEN_FDS", "2");
    CHECK(inherited().empty());
  }
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "none");
  CHECK(inherited().empty());
}

TEST_CASE("listeners that the service manager passed come behind those of the command line") {
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "1");
  std::vector<Address> listen{Address::parse("/x")};
  handoff::add_inherited_listeners(listen);
  REQUIRE(listen.size() == 2);
  CHECK(listen[0].name == "/x");
  CHECK(listen[1].number == 3);
}

TEST_CASE("-l is repeatable, and --public is a flag") {
  CommandLine line({"-l", ":1", "--listen=/x", "--public", "-l", "@y"});
  Tool tool("tool", line.argc(), line.argv());
  std::vector<Address> listen;
  bool allow_public = false;
  handoff::add_listen_options(tool, listen, allow_public);
  tool.parse();
  REQUIRE(listen.size() == 3);
  CHECK(listen[0].text == "127.0.0.1:1");
  CHECK(listen[1].text == "/x");
  CHECK(listen[2].text == "@y");
  CHECK(allow_public);
}

TEST_CASE("a tool's words are what is no option, with those behind --") {
  CHECK(words_of({}).empty());
  CHECK(words_of({"a", "-v", "[1,2]", "k=v"}) == Words{"a", "[1,2]", "k=v"});
  CHECK(words_of({"a", "--", "-x", "--"}) == Words{"a", "-x", "--"});
  CHECK(words_of({"a", "-", "-5"}) == Words{"a", "-", "-5"});
}

TEST_CASE("a word that looks like an option is refused") {
  for (const char* word : {"-x", "--nope", "--nope=1", "-.5"}) {
    CAPTURE(word);
    CHECK(thrown_by<InvalidArgument>([&] {
            words_of({"a", word});
          }).what() == "unknown option " + std::string(word) + " (see tool --help)");
  }
}

TEST_CASE("what stands behind -- is kept for a command, or refused") {
  CommandLine line({"-v", "--", "cat", "-v"});
  Tool tool("tool", line.argc(), line.argv());
  tool.parse();
  CHECK(tool.has_dashes);
  CHECK(tool.after_dashes == Words{"cat", "-v"});
  CHECK(thrown_by<InvalidArgument>([&] { tool.refuse_command(); }).what() ==
        std::string("unexpected word cat after --: this tool runs no command"));
}

TEST_CASE("-v and -q set how much is said, and the more frequent one wins") {
  using Level = handoff::StderrLog::Level;
  const auto level = [](const Words& words) {
    CommandLine line(words);
    Tool tool("tool", line.argc(), line.argv());
    tool.parse();
    return tool.log.level();
  };
  CHECK(level({}) == Level::normal);
  CHECK(level({"-v"}) == Level::verbose);
  CHECK(level({"-q"}) == Level::quiet);
  CHECK(level({"-q", "-v"}) == Level::normal);
  CHECK(level({"-vqv"}) == Level::verbose);
  CHECK(level({"--quiet"}) == Level::quiet);
}

TEST_CASE("a report is said as far as the log's level allows") {
  using Level = handoff::StderrLog::Level;
  using handoff::Severity;
  const auto said = [](Level level) {
    handoff::StderrLog log("tool");
    log.set_level(level);
    return written_to(STDERR_FILENO, [&] {
      const handoff::Report report = handoff::report_to(log);
      report(Severity::error, "wrong");
      report(Severity::info, "started");
      report(Severity::detail, "more");
    });
  };
  CHECK(said(Level::quiet) == "tool: wrong\n");
  CHECK(said(Level::normal) == "tool: wrong\ntool: started\n");
  CHECK(said(Level::verbose) == "tool: wrong\ntool: started\ntool: more\n");
}

TEST_CASE("each kind of failure has its exit status, and one line") {
  CHECK(said_by({}, 0, [](Tool&) { return handoff::ExitCode::done; }) == "");
  CHECK(said_by({}, 1, [](Tool&) { return handoff::ExitCode::negative; }) == "");
  CHECK(said_by({}, 2, throwing(InvalidArgument("no"))) == "tool: no\n");
  CHECK(said_by({}, 3, throwing(handoff::Unreachable("no"))) == "tool: no\n");
  CHECK(said_by({}, 4, throwing(handoff::ProtocolError("no"))) == "tool: no\n");
  CHECK(said_by({}, 124, throwing(handoff::TimedOut("no"))) == "tool: no\n");
  CHECK(said_by({}, 125, throwing(std::runtime_error("no"))) == "tool: no\n");
  CHECK(said_by({}, 125, throwing(handoff::SystemError(EIO, "read", "x"))) ==
        "tool: cannot read x: Input/output error\n");
  CHECK(said_by({}, 126, throwing(handoff::SystemError(EACCES, "run", "x"))) ==
        "tool: cannot run x: Permission denied\n");
  CHECK(said_by({}, 127, throwing(handoff::SystemError(ENOENT, "run", "x"))) ==
        "tool: cannot run x: No such file or directory\n");
}

TEST_CASE("a failure whose remedy is known says it") {
  CHECK(said_by({}, 125, throwing(handoff::SystemError(EADDRINUSE, "listen on", ":80"))) ==
        "tool: cannot listen on :80: Address already in use (another process listens there; "
        "`ss -lptx` names it)\n");
  CHECK(said_by({}, 125, throwing(handoff::SystemError(EMFILE, "open", "x"))) ==
        "tool: cannot open x: Too many open files (raise the limit with `ulimit -n`)\n");
}

TEST_CASE("a budget of memory is a number of bytes, with a unit or without") {
  const auto limit_of = [](const std::string& size) {
    CommandLine line({"--max-memory", size});
    Tool tool("tool", line.argc(), line.argv());
    handoff::SessionLimits limits;
    add_session_options(tool, limits);
    tool.parse();
    return limits.memory->limit();
  };
  CHECK(limit_of("256MiB") == std::size_t{256} << 20);
  CHECK(limit_of("1G") == std::size_t{1} << 30);
  CHECK(limit_of("65536") == std::size_t{1} << 16);
  for (const char* wrong : {"0", "65535", "1GB1", "-1", "much", "129TiB"}) {
    CAPTURE(wrong);
    const std::string said = said_by({"--max-memory", wrong}, 2, [](Tool& tool) {
      handoff::SessionLimits limits;
      add_session_options(tool, limits);
      tool.parse();
      return handoff::ExitCode::done;
    });
    CHECK(said.find("--max-memory") != std::string::npos);
  }
}

TEST_CASE("an option that is not understood is one line that names --help") {
  const auto parse = [](Tool& tool) {
    tool.parse();
    return handoff::ExitCode::done;
  };
  CHECK(said_by({"--nope"}, 2, parse) == "tool: unknown option --nope (see tool --help)\n");
  CHECK(said_by({"word"}, 2, parse) == "tool: unexpected word word (see tool --help)\n");
}

TEST_CASE("--help and --version go to stdout") {
  const auto shown = [](const char* option) {
    CommandLine line({option});
    return written_to(STDOUT_FILENO, [&] {
      const int status = handoff::tool_main("tool", line.argc(), line.argv(), [](Tool& tool) {
        tool.describe("Do it.", "tool [options]");
        tool.parse();
        return handoff::ExitCode::failed;
      });
      CHECK(status == 0);
    });
  };
  CHECK(shown("--version") == "tool (handoff) 0.1.0\n");
  CHECK(shown("--help").starts_with("Do it.\nUsage: tool [options]\n"));
}

TEST_CASE("output that can't be written is a failure") {
  const handoff::Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  const handoff::Fd before(dup(STDOUT_FILENO));
  std::fflush(stdout);
  dup2(full.get(), STDOUT_FILENO);
  const std::string said = said_by({}, 125, [](Tool&) {
    handoff::write_to_stdout("a result\n");
    return handoff::ExitCode::done;
  });
  dup2(before.get(), STDOUT_FILENO);
  CHECK(said == "tool: cannot write to stdout: No space left on device\n");
}
