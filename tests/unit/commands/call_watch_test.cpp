// SPDX-License-Identifier: MIT
#include "commands/call_watch.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/event.hpp>
#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/played_server.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using namespace std::chrono_literals;
using test::PlayedServer;

/// A call that is made until the server has answered so many.
struct Watched {
  explicit Watched(std::size_t calls)
      : answered(reactor), server(reactor, [this, calls](const std::string&) {
          if (++count == calls + 1) { answered.set(); }
          return std::vector<std::string>{R"({"out":"m","result":)" + std::to_string(count) + "}"};
        }) {
    options.address = Address::parse(server.address());
    options.method = "m";
    options.watch = 1ms;
  }

  void run() {
    Pipe errors = make_pipe();
    std::exception_ptr failure;
    out = test::written_to(STDOUT_FILENO, [&] {
      StderrLog log("rpc-call", errors.write_end.get());
      StdoutWriter output(reactor);
      ReplyPrinter printer(options, log, output);
      CallWatch watch(reactor, options, log, output, printer);
      try {
        reactor.spawn(server.run());
        reactor.spawn(watch.run());
        reactor.run([](Event& event) -> Task<void> { co_await event; }(answered));
      } catch (...) { failure = std::current_exception(); }
      output.write_now();
    });
    errors.write_end.reset();
    err = test::read_until_end(errors.read_end.get());
    if (failure) { std::rethrow_exception(failure); }
  }

  Reactor reactor;
  Event answered;
  std::size_t count = 0;
  PlayedServer server;
  CallOptions options;
  std::string out;
  std::string err;
};

TEST_CASE("elsewhere than on a terminal, each result of a watched call is a line") {
  const test::DescriptorCheck check;
  Watched watched(3);
  watched.run();
  CHECK(watched.out == "1\n2\n3\n");
  CHECK(watched.err.empty());
  CHECK(watched.server.connections() == 1);
}

TEST_CASE("on a terminal each result is drawn over the one before") {
  Watched watched(2);
  watched.options.output = Output::terminal;
  watched.run();
  CHECK(watched.out == "\033[H1\033[K\n\033[J\033[H2\033[K\n\033[J");
}

TEST_CASE("a server that cannot be reached at first ends the watch") {
  Watched watched(1);
  watched.options.address = Address::parse("/nonexistent/socket");
  CHECK_THROWS_AS(watched.run(), Unreachable);
}

}  // namespace
}  // namespace handoff
