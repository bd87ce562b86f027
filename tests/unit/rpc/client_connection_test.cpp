// SPDX-License-Identifier: MIT
#include "rpc/client_connection.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"
#include "wire/frame_writer.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kMaxFrame = 100'000;

/// A client, and its server in the hands of the test.
struct Ends {
  explicit Ends(std::uint32_t max_frame = kMaxFrame) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    server = std::move(theirs);
    client.emplace(reactor, DialedSocket{std::move(ours), {}}, "./s", max_frame);
  }

  void send(std::string_view bytes) const { test::write_text(server.get(), bytes); }
  void reply(std::string_view body) const {
    std::string frame;
    append_frame(frame, body);
    send(frame);
  }
  /// What the client has written so far.
  std::string written() const {
    std::string bytes(1 << 20, '\0');
    const ssize_t size = recv(server.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return bytes;
  }
  template <typename Steps>
  void run(Steps steps) {
    reactor.run([](Ends& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
  }
  /// Why the next reply does not come.
  template <typename Error>
  std::string failure(TimeLimit limit = {}) {
    return test::thrown_by<Error>([&] {
             run([limit](Ends& its) -> Task<void> { co_await its.client->receive(limit); });
           })
        .what();
  }

  Reactor reactor;
  Fd server;
  std::optional<ClientConnection> client;
};

std::string frame_of(std::string_view body) {
  std::string frame;
  append_frame(frame, body);
  return frame;
}

TEST_CASE("requests that are queued are written together, in the dialect of each") {
  const test::DescriptorCheck check;
  Ends ends;
  ends.client->queue("a", "[1]");
  ends.client->queue("b", "[2]", "7", Dialect::json_rpc);
  const std::string expected = frame_of(R"({"in":"a","params":[1]})") +
                               frame_of(R"({"jsonrpc":"2.0","method":"b","params":[2],"id":7})");
  CHECK(ends.client->queued() == expected.size());
  CHECK(ends.client->written() == 0);
  CHECK(ends.written().empty());
  ends.run([](Ends& its) -> Task<void> { co_await its.client->flush(kNever); });
  CHECK(ends.written() == expected);
  CHECK(ends.client->queued() == 0);
  CHECK(ends.client->written() == expected.size());
  CHECK(ends.client->queued_in_all() == expected.size());
}

TEST_CASE("replies are received in the order in which they arrive, also those that came together") {
  Ends ends;
  ends.send(frame_of(R"({"out":"a","result":1})") + frame_of(R"({"out":"b","result":2})"));
  ends.run([](Ends& its) -> Task<void> {
    CHECK(!its.client->try_receive());  // nothing was read yet
    const Reply first = co_await its.client->receive(kNever);
    CHECK(first.result == "1");
    CHECK(its.client->has_unread());
    const std::optional<Reply> second = its.client->try_receive();
    REQUIRE(second.has_value());
    CHECK(second->out == "b");
    CHECK(second->result == "2");
    CHECK(!its.client->has_unread());
    CHECK(!its.client->try_receive());
  });
}

TEST_CASE("a reply that arrives in pieces is received when it is whole") {
  Ends ends;
  const std::string frame = frame_of(R"({"out":"a","result":"long"})");
  ends.send(frame.substr(0, 2));
  ends.run([&](Ends& its) -> Task<void> {
    its.reactor.spawn([](Ends& server, std::string rest) -> Task<void> {
      for (const char byte : rest) {
        co_await server.reactor.yield();
        server.send({&byte, 1});
      }
    }(its, frame.substr(2)));
    const Reply reply = co_await its.client->receive(kNever);
    CHECK(reply.result == "\"long\"");
    CHECK(its.client->received_at() != TimePoint());
  });
}

TEST_CASE("a client that does not wait writes and reads what can be, and says what is left") {
  using Outcome = IoResult::Outcome;
  Ends ends;
  CHECK(ends.client->try_flush().done());
  CHECK(ends.client->try_read().outcome == Outcome::would_block);
  ends.client->queue("a", '"' + std::string(8 << 20, 'x') + '"');
  CHECK(ends.client->try_flush().outcome == Outcome::would_block);
  CHECK(ends.client->written() > 0);
  CHECK(!ends.written().empty());
  ends.reply(R"({"out":"a","result":1})");
  CHECK(ends.client->try_read().done());
  CHECK(!ends.client->may_be_more());
  REQUIRE(ends.client->try_receive().has_value());
  CHECK(!ends.client->try_receive());
  // As much as it reads at a time.
  ends.send(std::string(64 << 10, '\0'));
  CHECK(ends.client->try_read().done());
  CHECK(ends.client->may_be_more());
}

TEST_CASE("why a client that does not wait has lost its server is told by lost()") {
  Ends ends;
  ends.server.reset();
  const IoResult result = ends.client->try_read();
  CHECK(result.outcome == IoResult::Outcome::end);
  const auto error = test::thrown_by<ConnectionLost>(
      [&] { ends.run([result](Ends& its) -> Task<void> { co_await its.client->lost(result); }); });
  CHECK(std::string(error.what()) ==
        "cannot call ./s: the server closed the connection before it replied");
}

TEST_CASE("a reply that does not come in time is told with the limit") {
  Ends ends;
  ends.send("\x05");
  const auto limit = TimeLimit::after(Clock::now(), milliseconds(1));
  CHECK(ends.failure<TimedOut>(limit) == "cannot call ./s: timed out after 1ms");
}

TEST_CASE("a server that takes no more requests in time is told with the limit") {
  Ends ends;
  ends.client->queue("a", '"' + std::string(8 << 20, 'x') + '"');
  const auto error = test::thrown_by<TimedOut>([&] {
    ends.run([](Ends& its) -> Task<void> {
      co_await its.client->flush(TimeLimit::after(Clock::now(), milliseconds(1)));
    });
  });
  CHECK(std::string(error.what()) == "cannot call ./s: timed out after 1ms");
  CHECK(ends.client->written() > 0);
  CHECK(ends.client->queued() > 0);
}

TEST_CASE("a wait that is interrupted ends as if its time had passed, and another may follow") {
  Ends ends;
  ends.run([](Ends& its) -> Task<void> {
    its.reactor.spawn([](Ends& other) -> Task<void> {
      co_await other.reactor.yield();
      other.client->interrupt();
    }(its));
    bool was_interrupted = false;
    try {
      co_await its.client->receive(kNever);
    } catch (const TimedOut& error) {
      was_interrupted = std::string(error.what()) == "cannot call ./s: timed out";
    }
    CHECK(was_interrupted);
    its.reply(R"({"out":"a","result":1})");
    const Reply reply = co_await its.client->receive(kNever);
    CHECK(reply.result == "1");
  });
}

TEST_CASE("a server that ends the connection before its reply has lost it") {
  Ends ends;
  CHECK(!ends.client->has_ended());
  SUBCASE("between two replies") {}
  SUBCASE("within one") {
    ends.send(frame_of(R"({"out":"a","result":1})").substr(0, 9));
    CHECK(ends.client->has_unread());
  }
  ends.server.reset();
  CHECK(ends.failure<ConnectionLost>() ==
        "cannot call ./s: the server closed the connection before it replied");
  CHECK(ends.client->has_ended());
}

TEST_CASE("a request to a server that is gone is lost, and why is said") {
  Ends ends;
  ends.server.reset();
  ends.client->queue("a", "1");
  const auto error = test::thrown_by<ConnectionLost>(
      [&] { ends.run([](Ends& its) -> Task<void> { co_await its.client->flush(kNever); }); });
  CHECK(std::string(error.what()) == "cannot call ./s: Broken pipe");
}

TEST_CASE("a reply that is too long, and one that is none, break the protocol") {
  Ends ends(10);
  SUBCASE("too long") {
    ends.send(std::string_view("\x0b\0\0\0", 4));
    CHECK(ends.failure<ProtocolError>() ==
          "cannot call ./s: a reply of 11 bytes exceeds the limit of 10");
  }
  SUBCASE("none") {
    ends.reply("[1]");
    CHECK(ends.failure<ProtocolError>().starts_with("cannot call ./s: "));
  }
}

TEST_CASE("the views of a reply last until the next one is received") {
  Ends ends;
  ends.reply(R"({"out":"first","result":"one"})");
  ends.run([](Ends& its) -> Task<void> {
    const Reply first = co_await its.client->receive(kNever);
    its.reply(R"({"out":"second","result":"two"})");
    CHECK(its.client->has_unread());
    CHECK(first.result == "\"one\"");
    const Reply second = co_await its.client->receive(kNever);
    CHECK(second.result == "\"two\"");
  });
}

TEST_CASE("a client that sends no more requests still receives replies") {
  Ends ends;
  ends.client->end_writing();
  CHECK(test::read_until_end(ends.server.get()).empty());
  ends.reply(R"({"out":"a","result":1})");
  ends.run([](Ends& its) -> Task<void> {
    const Reply reply = co_await its.client->receive(kNever);
    CHECK(reply.result == "1");
  });
}

TEST_CASE("a client connects to an address, and is lost with the name of it") {
  const test::DescriptorCheck check;
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  const Address address = Address::parse(listener.text());
  Reactor reactor;
  reactor.run([](Reactor& runs, const Address& to, int server) -> Task<void> {
    const std::unique_ptr<ClientConnection> client =
        co_await ClientConnection::connect(runs, to, TimeLimit());
    Accepted accepted = try_accept(server);
    REQUIRE(accepted.outcome == Accepted::Outcome::connection);
    accepted.fd.reset();
    std::string why;
    try {
      co_await client->receive(kNever);
    } catch (const ConnectionLost& error) { why = error.what(); }
    CHECK(why == "cannot call " + to.text + ": the server closed the connection before it replied");
  }(reactor, address, listener.fd()));
}

TEST_CASE("a command that ends before it replied is told with its status, and what that means") {
  const test::DescriptorCheck check;
  const auto ended = [](const std::string& command) {
    const Address address = Address::parse("exec:" + command);
    return test::thrown_by<CommandEnded>([&] {
      Reactor reactor;
      reactor.run([](Reactor& runs, const Address& to) -> Task<void> {
        const std::unique_ptr<ClientConnection> client =
            co_await ClientConnection::connect(runs, to, TimeLimit());
        co_await client->receive(kNever);
      }(reactor, address));
    });
  };
  const CommandEnded failed = ended("exit 3");
  CHECK(failed.status().code == 3);
  CHECK(std::string(failed.what()) ==
        "cannot call exec:exit 3: the command ended before it replied (exit status 3)");
  CHECK(std::string(ended("exit 127").what()).find("the command was not found") !=
        std::string::npos);
  CHECK(std::string(ended("exit 126").what()).find("the command can't be run") !=
        std::string::npos);
}

}  // namespace
}  // namespace handoff
