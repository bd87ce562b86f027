// SPDX-License-Identifier: MIT
#include "commands/serve_received.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include <handoff/async/condition.hpp>
#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "pass/sources.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// The commands of a test, of which at most one runs at a time.
struct Commands {
  explicit Commands(std::vector<std::string> command)
      : options(one_at_a_time(std::move(command))),
        log("test", errors.write_end.get()),
        report_failed(reactor, [](std::string_view line) { FAIL(line); }),
        ended(reactor),
        serve(reactor, options, log, report_failed, [this] { ended.notify_all(); }) {
    log.set_level(StderrLog::Level::verbose);
  }

  static ReceiveOptions one_at_a_time(std::vector<std::string> command) {
    ReceiveOptions options;
    options.command = std::move(command);
    options.placement = ReceiveOptions::Placement::stdin_only;
    options.max_processes = 1;
    return options;
  }

  /// What the commands have said to the log so far.
  std::string logged() {
    errors.write_end.reset();
    return test::read_until_end(errors.read_end.get());
  }

  Pipe errors = make_pipe();
  ReceiveOptions options;
  Reactor reactor;
  StderrLog log;
  LimitedLine report_failed;
  Condition ended;
  ServeReceived serve;
};

Received one(Fd descriptor) {
  Received received;
  received.descriptors.push_back(std::move(descriptor));
  received.names = {""};
  return received;
}

Task<void> wait_for_all(Commands& commands) {
  co_await commands.ended.wait_until([&] { return commands.serve.running() == 0; });
}

TEST_CASE("a command that runs has the place until it has ended") {
  const test::DescriptorCheck check;
  Commands commands({"cat"});
  Pipe pipe = make_pipe();
  bool had_ended = false;
  commands.reactor.run([](Commands& all, Pipe& input, bool& ended_first) -> Task<void> {
    co_await all.serve.take_place();
    all.serve.start(one(std::move(input.read_end)));
    CHECK(all.serve.running() == 1);
    // cat ends at the end of its input; until then a second place is not to be had.
    input.write_end.reset();
    co_await all.serve.take_place();
    ended_first = all.serve.running() == 0;
  }(commands, pipe, had_ended));
  CHECK(had_ended);
  CHECK(commands.logged().empty());
}

TEST_CASE("a command that fails is told, with its pid and its status") {
  Commands commands({"sh", "-c", "exit 3"});
  commands.reactor.run([](Commands& all) -> Task<void> {
    co_await all.serve.take_place();
    all.serve.start(one(make_pipe().read_end));
    co_await wait_for_all(all);
  }(commands));
  const std::string logged = commands.logged();
  CHECK(logged.starts_with("test: sh, pid "));
  CHECK(logged.find("3") != std::string::npos);
}

TEST_CASE("a command that cannot be started gives its place back") {
  Commands commands({"/nonexistent/command"});
  commands.reactor.run([](Commands& all) -> Task<void> {
    co_await all.serve.take_place();
    CHECK_THROWS_AS(all.serve.start(one(make_pipe().read_end)), SystemError);
    CHECK(all.serve.running() == 0);
    co_await all.serve.take_place();
  }(commands));
}

}  // namespace
}  // namespace handoff
