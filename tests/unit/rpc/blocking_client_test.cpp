// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/rpc/blocking_client.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"
#include "wire/frame_writer.hpp"

namespace handoff {
namespace {

/// A server's end: what the client reads is there before it calls.
void reply(int server, std::string_view body) {
  std::string frame;
  append_frame(frame, body);
  test::write_text(server, frame);
}

TEST_CASE("a call blocks until its reply has arrived, without a reactor in sight") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const Listener listener = listen_on(Address::parse(directory.path("s")));
  BlockingClient client(Address::parse(listener.text()));
  const Accepted accepted = try_accept(listener.fd());
  REQUIRE(accepted.outcome == Accepted::Outcome::connection);
  reply(accepted.fd.get(), R"({"out":"a","result":[1],"id":1})");
  CHECK(client.call("a", "[0]").json == "[1]");
  reply(accepted.fd.get(), R"({"out":"error","result":{"code":-32601,"message":"no b"},"id":2})");
  const Result error = client.call("b");
  CHECK(error.code == ErrorCode::method_not_found);
  CHECK(error.message == "no b");
}

TEST_CASE("a call that is late throws, and the connection stays usable") {
  const test::DescriptorCheck check;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  BlockingClient client(std::move(ours), "server");
  const auto late = test::thrown_by<TimedOut>(
      [&] { client.call("a", "null", Clock::now() + std::chrono::milliseconds(3)); });
  CHECK(std::string(late.what()).starts_with("cannot call server: timed out"));
  reply(theirs.get(), R"({"out":"a","result":"old","id":1})");
  reply(theirs.get(), R"({"out":"b","result":"new","id":2})");
  CHECK(client.call("b").json == R"("new")");
}

TEST_CASE("a client that is closed has closed its connection, and calls no more") {
  const test::DescriptorCheck check;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  BlockingClient client(std::move(ours), "server");
  // The end of this request is still to be written when the client is closed.
  const std::string params = '"' + std::string(512 << 10, 'x') + '"';
  CHECK_THROWS_AS(client.call("a", params, Clock::now() + std::chrono::milliseconds(100)),
                  TimedOut);
  client.close();
  const std::string written = test::read_until_end(theirs.get());
  CHECK(!written.empty());
  CHECK(written.size() < params.size());
  const auto closed = test::thrown_by<ConnectionLost>([&] { client.call("a"); });
  CHECK(std::string(closed.what()) == "cannot call server: the connection was closed here");
  client.close();
}

TEST_CASE("a client that can't connect is not made") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  CHECK_THROWS_AS(BlockingClient(Address::parse(directory.path("none"))), Unreachable);
}

TEST_CASE("a command is called over a socket, and has ended when the client has") {
  const test::DescriptorCheck check;
  // It waits for a request, and replies to whatever that is.
  BlockingClient client(Address::parse(
      R"(exec:head -c 4 >/dev/null; printf '\045\0\0\0{"out":"a","result":"command","id":1}')"));
  CHECK(client.call("a").json == R"("command")");
}

}  // namespace
}  // namespace handoff
