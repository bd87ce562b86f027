// SPDX-License-Identifier: MIT
#include "rpc/session_output.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "os/socket.hpp"
#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using Written = SessionOutput::Written;

struct Output {
  Output() {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    stream.emplace(reactor, std::move(ours), Stream::Kind::socket);
    client = std::move(theirs);
  }
  std::string received() const {
    std::string text(8 << 20, '\0');
    const ssize_t size = recv(client.get(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }

  Reactor reactor;
  std::optional<Stream> stream;
  Fd client;
  SessionOutput output;
};

const std::string kTooMuch(4 << 20, 'x');

TEST_CASE("what the client takes at once is not kept") {
  Output output;
  CHECK(output.output.send(*output.stream, "reply") == Written::whole);
  CHECK(output.output.empty());
  CHECK(output.received() == "reply");
  CHECK(output.output.send(*output.stream, "") == Written::whole);
  CHECK(output.output.empty());
}

TEST_CASE("what the client does not take is kept until it reads") {
  Output output;
  CHECK(output.output.send(*output.stream, kTooMuch) == Written::whole);
  CHECK(output.output.is_blocked());
  const std::size_t held = output.output.held();
  CHECK(held > 0);
  CHECK(held < kTooMuch.size());
  CHECK(output.output.send(*output.stream, "more") == Written::whole);
  CHECK(output.output.held() == held + 4);
  std::string all;
  while (!output.output.empty()) {
    all += output.received();
    CHECK(output.output.flush(*output.stream) == Written::whole);
  }
  for (std::string part = output.received(); !part.empty(); part = output.received()) {
    all += part;
  }
  CHECK(all == kTooMuch + "more");
  CHECK(output.output.held() == 0);
}

TEST_CASE("deferred replies go together at the end of the turn") {
  Output output;
  output.output.defer("");
  CHECK(output.output.empty());
  output.output.defer("one ");
  output.output.defer("two");
  CHECK(output.output.is_deferred());
  CHECK(!output.output.is_blocked());
  CHECK(output.received().empty());
  CHECK(output.output.flush(*output.stream) == Written::whole);
  CHECK(output.output.empty());
  CHECK(output.received() == "one two");
}

TEST_CASE("deferred replies go before one that is sent at once") {
  Output output;
  output.output.defer("one ");
  CHECK(output.output.send(*output.stream, "two") == Written::whole);
  CHECK(output.output.empty());
  CHECK(output.received() == "one two");
}

TEST_CASE("a reply that is deferred while the client does not read waits for the client") {
  Output output;
  CHECK(output.output.send(*output.stream, kTooMuch) == Written::whole);
  output.output.defer("more");
  CHECK(output.output.is_blocked());
  CHECK(!output.output.is_deferred());
}

TEST_CASE("a client that is gone breaks the output, which keeps nothing") {
  Output output;
  bool deferred = false;
  SUBCASE("at once") {}
  SUBCASE("at the end of the turn") {
    deferred = true;
    output.output.defer("reply");
  }
  output.client.reset();
  const Written written =
      deferred ? output.output.flush(*output.stream) : output.output.send(*output.stream, "reply");
  CHECK(written == Written::broken);
  CHECK(output.output.empty());
}

TEST_CASE("a client that takes no reply in time is closed") {
  SessionLimits limits;
  limits.write_timeout = std::chrono::milliseconds(1);
  test::Sessions sessions(limits);
  const Fd client = sessions.open();
  sessions.reactor.run([](test::Sessions& self, const Fd& end) -> Task<void> {
    std::string requests;
    for (int i = 0; i < 100; ++i) { requests += "{\"in\":\"big\",\"id\":1}\n"; }
    test::write_text(end.get(), requests);
    co_await self.until_ended();
  }(sessions, client));
  CHECK(sessions.reasons.front() == CloseReason::write_error);
  CHECK(sessions.context.limits().memory->held() == 0);
}

TEST_CASE("a client that reads again gets on") {
  test::Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](test::Sessions& self, const Fd& end) -> Task<void> {
    std::string requests;
    for (int i = 0; i < 100; ++i) { requests += "{\"in\":\"big\",\"id\":1}\n"; }
    test::write_text(end.get(), requests + std::string(test::kEcho));
    co_await self.settle();
    std::string text;
    std::string part(1 << 20, '\0');
    while (std::count(text.begin(), text.end(), '\n') < 101) {
      const ssize_t size = recv(end.get(), part.data(), part.size(), MSG_DONTWAIT);
      if (size > 0) { text.append(part, 0, static_cast<std::size_t>(size)); }
      co_await self.reactor.yield();
    }
    CHECK(text.size() > 100 * test::Sessions::kBig);
  }(sessions, client));
}

}  // namespace
}  // namespace handoff
