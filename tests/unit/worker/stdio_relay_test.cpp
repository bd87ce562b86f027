// SPDX-License-Identifier: MIT
#include "worker/stdio_relay.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/os/fd.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A relay whose other ends the test has: of both pipes, and of the session's socket.
struct Fixture {
  Fixture() {
    auto [input, input_end] = make_pipe();
    auto [output_end, output] = make_pipe();
    auto [socket, session_end] = make_socket_pair(SOCK_STREAM);
    to_relay = std::move(input_end);
    from_relay = std::move(output_end);
    session = std::move(session_end);
    relay = std::make_shared<StdioRelay>(reactor, std::move(input), std::move(output),
                                         std::move(socket), [this] { ++told; });
  }
  template <typename Done>
  void run_until(Done done) {
    const auto main = [&]() -> Task<void> {
      relay->start();
      while (!done()) { co_await reactor.sleep_until(Clock::now()); }
    };
    reactor.run(main());
  }
  void run_until_finished() {
    run_until([this] { return relay->is_finished(); });
  }

  Reactor reactor;
  Fd to_relay;
  Fd from_relay;
  Fd session;
  int told = 0;
  std::shared_ptr<StdioRelay> relay;
};

TEST_CASE_FIXTURE(Fixture, "a relay copies both ways, and ends with the session") {
  test::write_text(to_relay.get(), "request");
  test::write_text(session.get(), "reply");
  to_relay.reset();
  shutdown(session.get(), SHUT_WR);
  run_until_finished();
  CHECK(told == 1);
  relay.reset();
  CHECK(test::read_until_end(session.get()) == "request");
  CHECK(test::read_until_end(from_relay.get()) == "reply");
}

TEST_CASE_FIXTURE(Fixture, "the session sees the end of the input, and may still reply") {
  to_relay.reset();
  std::string reply;
  run_until([&] {
    char byte = 0;
    if (reply.empty() && recv(session.get(), &byte, 1, MSG_DONTWAIT) == 0) {
      reply = "last words";
      test::write_text(session.get(), reply);
      session.reset();
    }
    return relay->is_finished();
  });
  relay.reset();
  CHECK(test::read_until_end(from_relay.get()) == "last words");
}

TEST_CASE_FIXTURE(Fixture, "a relay whose output nobody reads any more is finished") {
  from_relay.reset();
  signal(SIGPIPE, SIG_IGN);
  test::write_text(session.get(), "reply");
  run_until_finished();
  CHECK(told == 1);
}

TEST_CASE("a relay leaves no descriptor open") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.session.reset();
  fixture.run_until_finished();
}

}  // namespace
}  // namespace handoff
