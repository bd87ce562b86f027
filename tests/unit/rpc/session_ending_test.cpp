// SPDX-License-Identifier: MIT
// The last replies of connections: what a client is told of the requests that are not run.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using test::kEcho;
using test::kEchoed;
using test::kEchoedLast;
using test::kSlow;
using test::kSlowWithId;
using test::Sessions;

constexpr std::string_view kRefusal =
    R"({"code":-32005,"message":"the server is shutting down, and did not run the call"})";

/// Runs a script against one connection, and checks that it ends once, and is closed to the client.
template <typename Script>
void run(Sessions& sessions, Script script) {
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end, Script& steps) -> Task<void> {
    co_await self.settle();
    co_await steps(self, end);
    CHECK(co_await self.line(end) == "");
    shutdown(end.get(), SHUT_RDWR);
    co_await self.until_ended();
  }(sessions, client, script));
  CHECK(sessions.reasons == std::vector{CloseReason::drained});
}

TEST_CASE("a lame duck answers what is read next, and its last reply says so") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    self.context.be_lame_duck();
    co_await self.settle();
    CHECK(self.reasons.empty());
    test::write_text(end.get(), std::string(kEcho) + std::string(kEcho));
    CHECK(co_await self.line(end) == kEchoed);
    CHECK(co_await self.line(end) == kEchoedLast);
  });
}

TEST_CASE("the end of the connection arrives with the last reply") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    self.context.be_lame_duck();
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoedLast);
    char byte = 0;
    CHECK(recv(end.get(), &byte, 1, MSG_DONTWAIT) == 0);
  });
}

TEST_CASE("a connection that a lame duck accepts has one turn") {
  Sessions sessions;
  sessions.context.be_lame_duck();
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoedLast);
  });
}

TEST_CASE("a request that follows the last reply is not run") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    self.context.be_lame_duck();
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoedLast);
    test::write_text(end.get(), kSlow);
    co_await self.settle();
    CHECK(self.begun == 0);
  });
}

TEST_CASE("while calls of a lame duck run, further requests are refused, and the calls answered") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), kSlowWithId);
    co_await self.until_begun(1);
    self.context.be_lame_duck();
    test::write_text(end.get(),
                     "{\"in\":\"echo\",\"id\":4}\n"
                     "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":5}\n");
    CHECK(co_await self.line(end) ==
          R"({"out":"error","result":)" + std::string(kRefusal) + ",\"id\":4}\n");
    CHECK(co_await self.line(end) ==
          R"({"jsonrpc":"2.0","error":)" + std::string(kRefusal) + ",\"id\":5}\n");
    self.set_go();
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7,\"id\":1,\"last\":true}\n");
  });
}

TEST_CASE("while replies keep an order, a further request is left unread, and not run") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), kSlow);
    co_await self.until_begun(1);
    self.context.be_lame_duck();
    test::write_text(end.get(), std::string(kSlow) + "{\"in\":\"echo\",\"id\":4}\n");
    co_await self.settle();
    self.set_go();
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7,\"last\":true}\n");
    CHECK(self.begun == 1);
  });
}

TEST_CASE("a last line without a newline is refused as others are") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), kSlowWithId);
    co_await self.until_begun(1);
    self.context.be_lame_duck();
    test::write_text(end.get(), "{\"in\":\"slow\",\"id\":2}");
    shutdown(end.get(), SHUT_WR);
    CHECK(co_await self.line(end) ==
          R"({"out":"error","result":)" + std::string(kRefusal) + ",\"id\":2}\n");
    self.set_go();
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7,\"id\":1}\n");
    CHECK(self.begun == 1);
    co_await self.until_ended();
  }(sessions, client));
}

TEST_CASE("a client that keeps its connection holds up a lame duck, and no server that drains") {
  for (const bool drains_first : {false, true}) {
    CAPTURE(drains_first);
    Sessions sessions;
    const Fd client = sessions.open();
    sessions.reactor.run([drains_first](Sessions& self, const Fd& end) -> Task<void> {
      test::write_text(end.get(), kSlow);
      co_await self.until_begun(1);
      if (drains_first) {
        self.context.drain(WhenDrained::close);
      } else {
        self.context.be_lame_duck();
      }
      self.set_go();
      CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7,\"last\":true}\n");
      co_await self.settle();
      CHECK(self.reasons.empty() == !drains_first);
      self.context.drain(WhenDrained::close);
      co_await self.until_ended();
    }(sessions, client));
    CHECK(sessions.reasons.front() == CloseReason::drained);
  }
}

TEST_CASE("the calls that a lame duck reads together all run, and the last to end is marked") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    self.context.be_lame_duck();
    test::write_text(end.get(), "{\"in\":\"slow\",\"id\":1}\n{\"in\":\"echo\",\"id\":2}\n");
    CHECK(co_await self.line(end) == "{\"out\":\"echo\",\"result\":null,\"id\":2}\n");
    self.set_go();
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7,\"id\":1,\"last\":true}\n");
  });
}

TEST_CASE("a notification is no reply, and a lame duck waits for the next request") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    self.context.be_lame_duck();
    test::write_text(end.get(), "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n");
    co_await self.settle();
    CHECK(self.reasons.empty());
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoedLast);
  });
}

TEST_CASE("a reply of JSON-RPC has no further member, and ends the connection all the same") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd& end) -> Task<void> {
    self.context.be_lame_duck();
    test::write_text(end.get(), "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":5}\n");
    CHECK(co_await self.line(end) == "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":5}\n");
  });
}

TEST_CASE("a call that ends while the server drains is marked, unless a request is unread") {
  for (const bool has_unread : {false, true}) {
    CAPTURE(has_unread);
    Sessions sessions;
    run(sessions, [has_unread](Sessions& self, const Fd& end) -> Task<void> {
      test::write_text(end.get(), kSlow);
      co_await self.until_begun(1);
      self.context.drain(WhenDrained::close);
      co_await self.settle();
      self.set_go();
      if (has_unread) { test::write_text(end.get(), kEcho); }
      const std::string member = has_unread ? "" : ",\"last\":true";
      CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7" + member + "}\n");
      if (has_unread) { CHECK(co_await self.line(end) == kEchoedLast); }
    });
  }
}

TEST_CASE("a lame duck that drains then closes what is idle") {
  Sessions sessions;
  run(sessions, [](Sessions& self, const Fd&) -> Task<void> {
    self.context.be_lame_duck();
    self.context.drain(WhenDrained::close);
    co_await self.until_ended();
  });
}

TEST_CASE("a server that serves again after it was a lame duck marks nothing") {
  Sessions sessions;
  sessions.context.be_lame_duck();
  sessions.context.resume();
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoed);
  }(sessions, client));
}

}  // namespace
}  // namespace handoff
