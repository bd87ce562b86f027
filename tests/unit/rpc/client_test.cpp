// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/condition.hpp>
#include <handoff/os/error.hpp>
#include <handoff/rpc/client.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// A client, and its server in the hands of the test.
struct Ends {
  Ends() {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    server = std::move(theirs);
    client.emplace(reactor, std::move(ours), "./s");
  }

  void reply(std::string_view body) const {
    std::string frame;
    append_frame(frame, body);
    test::write_text(server.get(), frame);
  }
  /// The bodies of the requests that have arrived.
  std::vector<std::string> requests() {
    std::string bytes(1 << 16, '\0');
    const ssize_t size = recv(server.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size > 0) { arrived.append(bytes, 0, static_cast<std::size_t>(size)); }
    std::vector<std::string> bodies;
    for (;;) {
      const DecodedFrame frame = decode_frame(arrived, 1 << 24);
      if (frame.outcome != DecodedFrame::Outcome::complete) { return bodies; }
      bodies.emplace_back(frame.body);
      arrived.erase(0, frame.size);
    }
  }
  /// Starts a call, of which `said` becomes "RESULT", "CODE MESSAGE DATA" or "TYPE: WHY".
  void start(std::string method, std::string& said, std::string params = "null",
             TimePoint deadline = kNever) {
    reactor.spawn(call(*client, std::move(method), std::move(params), deadline, said));
  }
  static Task<void> call(Client& client, std::string method, std::string params, TimePoint deadline,
                         std::string& said) {
    try {
      const Result result = co_await client.call(std::move(method), std::move(params), deadline);
      said = !result.is_error() ? result.json
                                : std::to_string(static_cast<int>(result.code)) + " " +
                                      result.message + " " + result.json;
    } catch (const ConnectionLost& error) {
      said = std::string("lost: ") + error.what();
    } catch (const ProtocolError& error) {
      said = std::string("protocol: ") + error.what();
    } catch (const TimedOut& error) {
      said = std::string("late: ") + error.what();
    } catch (const InvalidArgument& error) { said = std::string("invalid: ") + error.what(); }
  }
  /// Runs all that can run without waiting.
  void settle() {
    do { reactor.run_once(); } while (reactor.timeout() == 0);
  }

  Reactor reactor;
  Fd server;
  std::string arrived;
  std::optional<Client> client;
};

TEST_CASE("replies find their calls by their ids, in whatever order they arrive") {
  const test::DescriptorCheck check;
  Ends ends;
  std::string first;
  std::string second;
  ends.start("a", first, "[1]");
  ends.start("b", second);
  ends.settle();
  CHECK(ends.requests() == std::vector<std::string>{R"({"in":"a","params":[1],"id":1})",
                                                    R"({"in":"b","params":null,"id":2})"});
  ends.reply(R"({"out":"b","result":"second","id":2})");
  ends.settle();
  CHECK(second == R"("second")");
  CHECK(first.empty());
  ends.reply(R"({"out":"a","result":{"n":1},"id":1})");
  ends.settle();
  CHECK(first == R"({"n":1})");
}

TEST_CASE("an error reply without a code is an error all the same") {
  Ends ends;
  std::string said;
  ends.start("a", said);
  ends.settle();
  ends.reply(R"({"out":"error","result":"no","id":1})");
  ends.settle();
  CHECK(said.starts_with("-32603 "));
}

TEST_CASE("an error that the server replies with is a result, with its code, message and data") {
  Ends ends;
  std::string said;
  ends.start("a", said);
  ends.settle();
  ends.reply(R"({"out":"error","result":{"code":-32001,"message":"no","data":[7]},"id":1})");
  ends.settle();
  CHECK(said == "-32001 no [7]");
  ends.start("a", said);
  ends.settle();
  ends.reply(R"({"jsonrpc":"2.0","error":{"code":5,"message":"own"},"id":2})");
  ends.settle();
  CHECK(said == "5 own ");
}

TEST_CASE("a call whose deadline passes throws, and its late reply is not that of the next one") {
  Ends ends;
  std::string said;
  ends.start("slow", said, "null", Clock::now() + milliseconds(5));
  while (said.empty()) { ends.reactor.run_once(); }
  CHECK(said.starts_with("late: cannot call ./s: timed out"));
  ends.reply(R"({"out":"slow","result":"old","id":1})");
  said.clear();
  ends.start("next", said);
  ends.settle();
  CHECK(said.empty());
  ends.reply(R"({"out":"next","result":"new","id":2})");
  ends.settle();
  CHECK(said == R"("new")");
}

TEST_CASE(
    "a call whose deadline has passed is not sent, nor is one with params that are not JSON") {
  Ends ends;
  std::string said;
  ends.start("a", said, "null", Clock::now() - milliseconds(1));
  ends.settle();
  CHECK(said == "late: cannot call ./s: timed out");
  ends.start("a", said, "1},{");
  ends.settle();
  CHECK(said.starts_with("invalid: params of a: not JSON: "));
  CHECK(ends.requests().empty());
}

TEST_CASE("a call that is destroyed is given up, and its reply dropped") {
  Ends ends;
  std::string said;
  {
    Ends& its = ends;
    its.reactor.run([](Ends& of) -> Task<void> {
      of.reactor.spawn([](Client& client) -> Task<void> { co_await client.call("a"); }(*of.client));
      for (int i = 0; i < 3; ++i) { co_await of.reactor.yield(); }
    }(its));
  }
  CHECK(ends.requests().size() == 1);
  ends.start("b", said);
  ends.settle();
  ends.reply(R"({"out":"a","result":1,"id":1})");
  ends.reply(R"({"out":"b","result":2,"id":2})");
  ends.settle();
  CHECK(said == "2");
}

TEST_CASE("a server that gives no ids back can be called, a call at a time") {
  Ends ends;
  std::string said;
  for (const std::string result : {"1", "2"}) {
    ends.start("a", said);
    ends.settle();
    ends.reply(R"({"out":"a","result":)" + result + "}");
    ends.settle();
    CHECK(said == result);
  }
  std::string other;
  said.clear();
  ends.start("a", said);
  ends.start("b", other);
  ends.settle();
  ends.reply(R"({"out":"error","result":{"code":-32003,"message":"too many"}})");
  ends.settle();
  CHECK(said ==
        "protocol: cannot call ./s: it replied without an id, and 2 calls wait for a reply "
        "(it said: too many)");
  CHECK(other == said);
}

TEST_CASE("a reply to no call ends the connection") {
  for (const std::string id : {"7", "0", "1.0", "\"1\""}) {
    Ends ends;
    std::string said;
    ends.start("a", said);
    ends.settle();
    ends.reply(R"({"out":"a","result":1,"id":)" + id + "}");
    ends.settle();
    CHECK(said == "protocol: cannot call ./s: it replied to the id " + id + ", which no call has");
    said.clear();
    ends.start("a", said);
    ends.settle();
    CHECK(said.starts_with("protocol: "));
  }
}

TEST_CASE("a server that closes the connection ends all calls, and those that are made later") {
  const test::DescriptorCheck check;
  Ends ends;
  std::string first;
  std::string second;
  ends.start("a", first);
  ends.start("b", second);
  ends.settle();
  CHECK(ends.requests().size() == 2);  // else the kernel would call it a reset
  ends.server.reset();
  ends.settle();
  CHECK(first == "lost: cannot call ./s: the server closed the connection before it replied");
  CHECK(second == first);
  second.clear();
  ends.start("c", second);
  ends.settle();
  CHECK(second == first);
}

TEST_CASE("the calls that a server that shuts down has not run are told so") {
  Ends ends;
  std::string first;
  std::string second;
  std::string late;
  ends.start("a", first);
  ends.start("b", second);
  ends.settle();
  ends.reply(R"({"out":"a","result":1,"id":1,"last":true})");
  ends.settle();
  CHECK(first == "1");
  CHECK(second == "-32005 the server is shutting down, and did not run the call ");
  ends.start("c", late);
  ends.settle();
  CHECK(late == "lost: cannot call ./s: the server has shut the connection down");
}

TEST_CASE("a server that refuses a connection and closes it has said why") {
  Ends ends;
  ends.reply(R"({"out":"error","result":{"code":-32003,"message":"busy"}})");
  ends.server.reset();
  std::string said;
  ends.start("a", said);
  ends.settle();
  CHECK(said == "-32003 busy ");
  ends.start("b", said);
  ends.settle();
  CHECK(said.starts_with("lost: cannot call ./s: "));
}

TEST_CASE("requests that the socket has no room for go out while replies come in") {
  Ends ends;
  const std::string large = '"' + std::string(3 << 20, 'x') + '"';
  std::string first;
  std::string second;
  ends.start("small", first);
  ends.start("large", second, large);
  ends.settle();
  ends.reply(R"({"out":"small","result":1,"id":1})");
  ends.settle();
  CHECK(first == "1");
  std::vector<std::string> bodies;
  while (bodies.size() < 2) {
    for (std::string& body : ends.requests()) { bodies.push_back(std::move(body)); }
    ends.settle();
  }
  CHECK(bodies[1] == R"({"in":"large","params":)" + large + R"(,"id":2})");
  ends.reply(R"({"out":"large","result":2,"id":2})");
  ends.settle();
  CHECK(second == "2");
}

TEST_CASE("a client that is destroyed while it writes has closed its connection after a turn") {
  const test::DescriptorCheck check;
  Ends ends;
  std::string said;
  ends.start("large", said, '"' + std::string(3 << 20, 'x') + '"');
  ends.settle();
  ends.client.reset();
  ends.settle();
  CHECK(said == "lost: cannot call ./s: the connection was closed here");
  const std::string written = test::read_until_end(ends.server.get());
  CHECK(!written.empty());
  CHECK(written.size() < 3 << 20);
}

TEST_CASE("a client that is destroyed ends its calls") {
  const test::DescriptorCheck check;
  Ends ends;
  std::string said;
  ends.start("a", said);
  ends.settle();
  ends.client.reset();
  ends.settle();
  CHECK(said == "lost: cannot call ./s: the connection was closed here");
  CHECK(test::read_until_end(ends.server.get()).ends_with(R"({"in":"a","params":null,"id":1})"));
}

TEST_CASE("a client connects to an address, or says that no server answers there") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const Address address = Address::parse(directory.path("s"));
  {
    const Listener listener = listen_on(address);
    Reactor reactor;
    const auto client = reactor.run_for_result(Client::connect(reactor, address));
    CHECK(client != nullptr);
    CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::connection);
  }
  Reactor reactor;
  const auto error = test::thrown_by<Unreachable>(
      [&] { reactor.run_for_result(Client::connect(reactor, address)); });
  CHECK(std::string(error.what()).starts_with("cannot connect to " + address.text + ": "));
}

}  // namespace
}  // namespace handoff
