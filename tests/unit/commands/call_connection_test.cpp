// SPDX-License-Identifier: MIT
#include "commands/call_connection.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"
#include "wire/frame_writer.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// The connection of rpc-call, and its server in the hands of the test.
struct Connected {
  Connected() {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    server = std::move(theirs);
    options.address = Address::parse("fd:" + std::to_string(ours.release()));
    options.method = "m";
  }

  template <typename Steps>
  void run(Steps steps) {
    StderrLog log("rpc-call", errors.write_end.get());
    log.set_level(StderrLog::Level::verbose);
    CallConnection connection(reactor, options, log);
    reactor.run([](CallConnection& to, Steps& of) -> Task<void> {
      co_await to.connect();
      co_await of(to);
    }(connection, steps));
  }
  std::string logged() {
    errors.write_end.reset();
    return test::read_until_end(errors.read_end.get());
  }
  std::string written() const {
    std::string bytes(1000, '\0');
    const ssize_t size = recv(server.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return bytes;
  }

  Pipe errors = make_pipe();
  Reactor reactor;
  CallOptions options;
  Fd server;
};

std::string frame_of(std::string_view body) {
  std::string frame;
  append_frame(frame, body);
  return frame;
}

TEST_CASE("calls are written in the dialect of the options, in JSON-RPC with their number as id") {
  const test::DescriptorCheck check;
  for (const bool json_rpc : {false, true}) {
    Connected its;
    its.options.json_rpc = json_rpc;
    its.run([](CallConnection& to) -> Task<void> {
      to.queue("[1]", 5);
      co_await to.client().flush(kNever);
    });
    CHECK(its.written() == frame_of(json_rpc
                                        ? R"({"jsonrpc":"2.0","method":"m","params":[1],"id":5})"
                                        : R"({"in":"m","params":[1]})"));
  }
}

TEST_CASE("a connection is told in detail, and is there until it is closed") {
  Connected its;
  its.run([&](CallConnection& to) -> Task<void> {
    CHECK(to.is_connected());
    to.disconnect();
    CHECK(!to.is_connected());
    CHECK(test::read_until_end(its.server.get()).empty());
    co_return;
  });
  CHECK(its.logged() == "rpc-call: connected to " + its.options.address.text + "\n");
}

TEST_CASE("bytes that no call has asked for break the protocol, for the reason that is given") {
  Connected its;
  test::write_text(its.server.get(), "x");
  const auto error = test::thrown_by<ProtocolError>([&] {
    its.run([](CallConnection& to) -> Task<void> {
      to.refuse_unread(kUnasked);
      co_return;
    });
  });
  CHECK(std::string(error.what()) ==
        its.options.address.text + " sent something before there was a call");
  Connected silent;
  silent.run([](CallConnection& to) -> Task<void> {
    to.refuse_unread(kUnasked);
    co_return;
  });
}

TEST_CASE(
    "attempts to connect are repeated as often as the options say, or until the time is over") {
  Connected its;
  const std::string nobody = listen_on(Address::parse("127.0.0.1:0")).text();
  its.options.address = Address::parse(nobody);
  const auto nothing = [](CallConnection&) -> Task<void> { co_return; };
  SUBCASE("never") {
    CHECK(std::string(test::thrown_by<Unreachable>([&] { its.run(nothing); }).what()) ==
          "cannot connect to " + nobody + ": Connection refused");
  }
  SUBCASE("until the time is over") {
    its.options.wait = true;
    its.options.timeout = milliseconds(50);
    CHECK(std::string(test::thrown_by<Unreachable>([&] { its.run(nothing); }).what()) ==
          "cannot connect to " + nobody + " within 50ms: Connection refused");
  }
}

}  // namespace
}  // namespace handoff
