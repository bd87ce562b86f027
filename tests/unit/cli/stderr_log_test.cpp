// SPDX-License-Identifier: MIT
#include "cli/stderr_log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <regex>
#include <string>

#include <handoff/async/fd_watcher.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// What a full pipe holds already.
constexpr char kOld = '.';

/// Takes what is there, without waiting for more.
std::string take(int number) {
  set_nonblocking(number);
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t size = read(number, buffer.data(), buffer.size());
    if (size <= 0) { return text; }
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

std::string without_old(std::string text) {
  std::erase(text, kOld);
  return text;
}

/// A pipe whose other writers, who share the open file with the log, have filled it.
struct FullPipe {
  FullPipe() : ends(make_pipe()) {
    set_nonblocking(ends.write_end.get());
    const std::string bytes(4096, kOld);
    while (write(ends.write_end.get(), bytes.data(), bytes.size()) > 0) {}
    set_blocking(ends.write_end.get());
  }
  Pipe ends;
};

/// A terminal, and its other end, from which a test reads what was written to it.
struct Terminal {
  Terminal() {
    int master_number = -1;
    int terminal_number = -1;
    if (openpty(&master_number, &terminal_number, nullptr, nullptr, nullptr) != 0) {
      MESSAGE("skipped: no terminal");
      return;
    }
    master = Fd(master_number);
    terminal = Fd(terminal_number);
  }
  /// Returns whether this system has a terminal for the test.
  bool exists() const { return terminal.valid(); }

  Fd master;
  Fd terminal;
};

struct IgnoredSignals {
  IgnoredSignals() {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
  }
  IgnoredSignals(const IgnoredSignals&) = delete;
  IgnoredSignals& operator=(const IgnoredSignals&) = delete;
  ~IgnoredSignals() {
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGXFSZ, SIG_DFL);
  }
};

TEST_CASE("a line begins with the tool's name, unless it is a plain one") {
  Pipe pipe = make_pipe();
  StderrLog log("tool", pipe.write_end.get());
  log.error("wrong");
  log.plain("as it is");
  CHECK(take(pipe.read_end.get()) == "tool: wrong\nas it is\n");
}

TEST_CASE("a line that is asked for is written whatever the level of the log") {
  Pipe pipe = make_pipe();
  StderrLog log("tool", pipe.write_end.get());
  log.set_level(StderrLog::Level::quiet);
  log.info("not asked for");
  log.say(Severity::info, "asked for");
  log.set_name("tool[2]");
  log.error("wrong");
  CHECK(take(pipe.read_end.get()) == "tool: asked for\ntool[2]: wrong\n");
}

TEST_CASE("every line that goes to the journal begins with its priority, and no other line does") {
  Pipe pipe = make_pipe();
  struct stat file {};
  REQUIRE(fstat(pipe.write_end.get(), &file) == 0);
  const std::string stream = std::to_string(file.st_dev) + ':' + std::to_string(file.st_ino);
  setenv("JOURNAL_STREAM", stream.c_str(), 1);
  StderrLog log("tool", pipe.write_end.get());
  Pipe other = make_pipe();
  StderrLog elsewhere("tool", other.write_end.get());
  unsetenv("JOURNAL_STREAM");
  for (StderrLog* each : {&log, &elsewhere}) {
    each->set_level(StderrLog::Level::verbose);
    each->error("wrong");
    each->info("well");
    each->detail("more");
    each->plain("as it is");
  }
  CHECK(take(pipe.read_end.get()) == "<3>tool: wrong\n<6>tool: well\n<7>tool: more\n<6>as it is\n");
  CHECK(take(other.read_end.get()) == "tool: wrong\ntool: well\ntool: more\nas it is\n");
}

TEST_CASE("every line of a log that shows times begins with one, that of dropped lines too") {
  FullPipe pipe;
  StderrLog log("tool", pipe.ends.write_end.get());
  log.never_wait();
  log.show_times();
  log.error("lost");
  take(pipe.ends.read_end.get());
  log.plain("heard");
  const std::string time = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} )";
  const std::string wanted = time + "tool: 1 line was dropped: [^\n]*\n" + time + "heard\n";
  CHECK(std::regex_match(take(pipe.ends.read_end.get()), std::regex(wanted)));
}

TEST_CASE("a text of a log is one line, and commands no terminal") {
  Pipe pipe = make_pipe();
  StderrLog log("tool", pipe.write_end.get());
  log.error("it said: one\ntwo \x1B[2J\r\xC2\x9B \xFF");
  log.plain("a\nb");
  CHECK(take(pipe.read_end.get()) == "tool: it said: one\\ntwo \\x1b[2J\\r\\u009b \\xff\na\\nb\n");
}

TEST_CASE("a full pipe is not waited for; the next line follows one with the number of dropped") {
  const test::DescriptorCheck check;
  FullPipe pipe;
  StderrLog log("tool", pipe.ends.write_end.get());
  log.never_wait();
  for (int i = 0; i < 12; ++i) { log.error("lost"); }
  log.info("lost too");
  CHECK(!log.catch_up());
  take(pipe.ends.read_end.get());
  log.error("heard");
  CHECK(take(pipe.ends.read_end.get()) ==
        "tool: 13 lines were dropped: cannot write to standard error: its reader did not keep up\n"
        "tool: heard\n");
  CHECK(log.catch_up());
  log.error("again");
  CHECK(take(pipe.ends.read_end.get()) == "tool: again\n");
}

TEST_CASE("the flags of the open file, which others share, stay as they are") {
  FullPipe pipe;
  StderrLog log("tool", pipe.ends.write_end.get());
  log.never_wait();
  log.error("lost");
  CHECK(!test::is_nonblocking(pipe.ends.write_end.get()));
}

TEST_CASE("the number of dropped lines is said when they can be written, by a notice too") {
  FullPipe pipe;
  Reactor reactor;
  StderrLog log("tool", pipe.ends.write_end.get());
  log.never_wait();
  const DropNotice notice(reactor, log);
  log.error("lost");
  take(pipe.ends.read_end.get());
  const auto main = [&]() -> Task<void> {
    FdWatcher watcher(reactor, pipe.ends.read_end.get());
    co_await watcher.readable();
  };
  reactor.run(main());
  CHECK(take(pipe.ends.read_end.get()) ==
        "tool: 1 line was dropped: cannot write to standard error: its reader did not keep up\n");
}

TEST_CASE("a pipe that can't be opened once more is asked whether it has room") {
  FullPipe pipe;
  StderrLog log("tool", pipe.ends.write_end.get());
  {
    const test::DescriptorLimit none(0);
    log.never_wait();
  }
  log.error("lost");
  take(pipe.ends.read_end.get());
  log.error("heard");
  CHECK(take(pipe.ends.read_end.get()).ends_with("tool: heard\n"));
}

TEST_CASE("a full socket is not waited for") {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const std::string bytes(4096, kOld);
  while (send(ours.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {}
  StderrLog log("tool", ours.get());
  log.never_wait();
  log.error("lost");
  CHECK(without_old(take(theirs.get())).empty());
  log.error("heard");
  CHECK(take(theirs.get()) ==
        "tool: 1 line was dropped: cannot write to standard error: its reader did not keep up\n"
        "tool: heard\n");
}

TEST_CASE("a terminal without a reader is not waited for") {
  const Terminal pty;
  if (!pty.exists()) { return; }
  StderrLog log("tool", pty.terminal.get());
  log.never_wait();
  const std::string text(1000, kOld);
  for (int i = 0; i < 1000; ++i) { log.error(text); }
  CHECK(!log.catch_up());
}

TEST_CASE("a status stays below the lines of a terminal, and is none elsewhere") {
  const Terminal pty;
  if (!pty.exists()) { return; }
  StderrLog log("tool", pty.terminal.get());
  log.set_status("");
  log.set_status("40%");
  log.error("line");
  log.set_status("");
  log.error("end");
  CHECK(take(pty.master.get()) == "\r\033[K40%\r\033[Ktool: line\r\n40%\r\033[Ktool: end\r\n");

  Pipe pipe = make_pipe();
  StderrLog elsewhere("tool", pipe.write_end.get());
  elsewhere.set_status("40%");
  elsewhere.error("line");
  CHECK(take(pipe.read_end.get()) == "tool: line\n");
}

TEST_CASE("when the reader has gone, lines are dropped, and heard again by the next reader") {
  const IgnoredSignals ignored;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("log");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  Fd reader(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const Fd writer(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  StderrLog log("tool", writer.get());
  log.never_wait();
  reader.reset();
  log.error("lost");
  log.error("lost");
  reader = Fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  log.error("heard");
  CHECK(take(reader.get()) ==
        "tool: 2 lines were dropped: cannot write to standard error: Broken pipe\n"
        "tool: heard\n");
}

TEST_CASE("a full disk costs lines, and the reason is said") {
  const Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  if (!full.valid()) {
    MESSAGE("skipped: no /dev/full");
    return;
  }
  Pipe pipe = make_pipe();
  const Fd number(dup(full.get()));
  StderrLog log("tool", number.get());
  log.never_wait();
  log.error("lost");
  CHECK(!log.catch_up());
  dup2(pipe.write_end.get(), number.get());
  CHECK(log.catch_up());
  CHECK(take(pipe.read_end.get()) ==
        "tool: 1 line was dropped: cannot write to standard error: No space left on device\n");
}

TEST_CASE("a file that may not grow costs lines; one that was cut gets an end") {
  const IgnoredSignals ignored;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("log");
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  REQUIRE(file.valid());
  StderrLog log("tool", file.get());
  log.never_wait();
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit lowered = before;
  lowered.rlim_cur = 20;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lowered) == 0);
  log.error("heard");
  log.error("cut in the middle");
  log.error("lost");
  setrlimit(RLIMIT_FSIZE, &before);
  log.error("heard");
  CHECK(test::read_file(path) ==
        "tool: heard\ntool: cu\n"
        "tool: 2 lines were dropped: cannot write to standard error: File too large\n"
        "tool: heard\n");
}

TEST_CASE("a line that is longer than a pipe's atomic write is written whole") {
  Pipe pipe = make_pipe();
  const std::string text(20'000, 'x');
  for (const bool waits : {true, false}) {
    StderrLog log("tool", pipe.write_end.get());
    if (!waits) { log.never_wait(); }
    log.error(text);
    CHECK(take(pipe.read_end.get()) == "tool: " + text + "\n");
  }
}

TEST_CASE("without never_wait() a line is waited for, also when the open file does not wait") {
  FullPipe pipe;
  set_nonblocking(pipe.ends.write_end.get());
  StderrLog log("tool", pipe.ends.write_end.get());
  const pid_t reader = fork();
  REQUIRE(reader >= 0);
  if (reader == 0) {
    // Reads until it has the whole line, and says by its status whether it came.
    pipe.ends.write_end.reset();
    _exit(test::read_until_end(pipe.ends.read_end.get()).ends_with("tool: heard\n") ? 0 : 1);
  }
  log.error("heard");
  pipe.ends.write_end.reset();
  int status = -1;
  REQUIRE(waitpid(reader, &status, 0) == reader);
  CHECK(status == 0);
}

TEST_CASE("a report is said as far as the log's level allows") {
  using Level = StderrLog::Level;
  const auto said = [](Level level) {
    StderrLog log("tool");
    log.set_level(level);
    return test::written_to(STDERR_FILENO, [&] {
      const Report report = report_to(log);
      report(Severity::error, "wrong");
      report(Severity::info, "started");
      report(Severity::detail, "more");
    });
  };
  CHECK(said(Level::quiet) == "tool: wrong\n");
  CHECK(said(Level::normal) == "tool: wrong\ntool: started\n");
  CHECK(said(Level::verbose) == "tool: wrong\ntool: started\ntool: more\n");
}

}  // namespace
}  // namespace handoff
