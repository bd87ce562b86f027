// SPDX-License-Identifier: MIT
// A server that executes one request at a time: what waits, and in which order.
#include <doctest/doctest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using test::kEcho;
using test::kEchoed;
using test::kSlow;
using test::Sessions;

SessionLimits one_at_a_time() {
  SessionLimits limits;
  limits.synchronous = true;
  limits.concurrency = 1;
  return limits;
}

constexpr std::string_view kSlowDone = "{\"out\":\"slow\",\"result\":7}\n";

/// Bytes that the server has not read of what the client has sent.
int unread(const Fd& client) {
  int size = 0;
  REQUIRE(ioctl(client.get(), TIOCOUTQ, &size) == 0);
  return size;
}

TEST_CASE("a request stays in its socket while another is executed") {
  Sessions sessions(one_at_a_time());
  const Fd first = sessions.open();
  const Fd second = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& one, const Fd& two) -> Task<void> {
    co_await self.settle();
    test::write_text(one.get(), kSlow);
    co_await self.until_begun(1);
    test::write_text(two.get(), kEcho);
    test::write_text(one.get(), kEcho);
    co_await self.settle();
    CHECK(unread(one) > 0);
    CHECK(unread(two) > 0);
    CHECK(self.context.active_calls() == 1);
    self.set_go();
    CHECK(co_await self.line(two) == kEchoed);
    CHECK(co_await self.line(one) == kSlowDone);
    CHECK(co_await self.line(one) == kEchoed);
  }(sessions, first, second));
}

TEST_CASE("connections have one request executed each, in the order in which they wait") {
  Sessions sessions(one_at_a_time());
  std::vector<std::string> order;
  auto table = std::make_shared<MethodTable>();
  table->add("slow", [&](const Call&) { return sessions.wait_for_go(); });
  table->add("note", [&](Call call) -> Task<Result> {
    order.push_back(call.params);
    co_return Result::success("1");
  });
  table->add_instant("instant", [&](const Request& request) {
    order.emplace_back(request.params);
    return request.params;
  });
  sessions.context.replace_methods(table);
  const Fd runs = sessions.open();
  std::vector<Fd> clients;
  for (int i = 0; i < 3; ++i) { clients.push_back(sessions.open()); }
  sessions.reactor.run([](Sessions& self, const Fd& first, const std::vector<Fd>& others,
                          const std::vector<std::string>& noted) -> Task<void> {
    co_await self.settle();
    test::write_text(first.get(), kSlow);
    co_await self.until_begun(1);
    for (std::size_t i = 0; i < others.size(); ++i) {
      const std::string number = std::to_string(i);
      test::write_text(others[i].get(), "{\"in\":\"note\",\"params\":" + number +
                                            "}\n{\"in\":\"instant\",\"params\":" + number + "}\n");
      co_await self.settle();
    }
    CHECK(noted.empty());
    self.set_go();
    for (const Fd& client : others) {
      co_await self.line(client);
      co_await self.line(client);
    }
    CHECK(noted == std::vector<std::string>{"0", "1", "2", "0", "1", "2"});
  }(sessions, runs, clients, order));
}

TEST_CASE("the time of a request begins when it is read") {
  SessionLimits limits = one_at_a_time();
  limits.call_timeout = std::chrono::milliseconds(20);
  Sessions sessions(limits);
  auto table = std::make_shared<MethodTable>();
  table->add(
      "kept", [&](const Call&) { return sessions.wait_for_go(); }, Supervision::handler);
  table->add("late", [](Call call) -> Task<Result> {
    co_return Result::success(call.deadline > Clock::now() ? "1" : "0");
  });
  sessions.context.replace_methods(table);
  const Fd first = sessions.open();
  const Fd second = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& one, const Fd& two) -> Task<void> {
    test::write_text(one.get(), "{\"in\":\"kept\"}\n{\"in\":\"late\",\"id\":1}\n");
    co_await self.until_begun(1);
    test::write_text(two.get(), "{\"in\":\"late\"}\n");
    const TimePoint later = Clock::now() + std::chrono::milliseconds(30);
    while (Clock::now() < later) { co_await self.reactor.yield(); }
    self.set_go();
    CHECK(co_await self.line(two) == "{\"out\":\"late\",\"result\":1}\n");
    CHECK(co_await self.line(one) == "{\"out\":\"kept\",\"result\":7}\n");
    CHECK(co_await self.line(one) == "{\"out\":\"late\",\"result\":1,\"id\":1}\n");
  }(sessions, first, second));
}

TEST_CASE(
    "a connection that waits for its turn has no idle deadline, and notices its client leave") {
  SessionLimits limits = one_at_a_time();
  limits.idle_timeout = std::chrono::milliseconds(5);
  Sessions sessions(limits);
  const Fd first = sessions.open();
  Fd second = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& one, Fd& two) -> Task<void> {
    test::write_text(one.get(), kSlow);
    co_await self.until_begun(1);
    test::write_text(two.get(), kSlow);
    const TimePoint later = Clock::now() + std::chrono::milliseconds(15);
    while (Clock::now() < later) { co_await self.reactor.yield(); }
    CHECK(self.reasons.empty());
    two.reset();
    co_await self.until_ended();
    CHECK(self.begun == 1);
    CHECK(self.reasons.front() != CloseReason::idle);
    self.set_go();
    CHECK(co_await self.line(one) == kSlowDone);
  }(sessions, first, second));
}

TEST_CASE("a connection without a request ends at once though another's is executed") {
  Sessions sessions(one_at_a_time());
  const Fd first = sessions.open();
  const Fd second = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& one, const Fd& two) -> Task<void> {
    test::write_text(one.get(), kSlow);
    co_await self.until_begun(1);
    shutdown(two.get(), SHUT_WR);
    co_await self.until_ended();
    CHECK(self.reasons.front() == CloseReason::client);
    self.set_go();
    CHECK(co_await self.line(one) == kSlowDone);
  }(sessions, first, second));
}

TEST_CASE("connections that wait for their turn are given back when the server drains") {
  Sessions sessions(one_at_a_time());
  const Fd first = sessions.open();
  const Fd second = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& one, const Fd& two) -> Task<void> {
    test::write_text(one.get(), kSlow);
    co_await self.until_begun(1);
    test::write_text(two.get(), kEcho);
    co_await self.settle();
    self.context.drain(WhenDrained::give_back);
    co_await self.until_ended();
    CHECK(self.returned.front().unread.empty());
    CHECK(unread(two) > 0);
    self.set_go();
    co_await self.until_ended(2);
    CHECK(co_await self.line(one) == kSlowDone);
  }(sessions, first, second));
}

TEST_CASE("a batch is executed one call after the other, and others after it") {
  Sessions sessions(one_at_a_time());
  const Fd first = sessions.open();
  const Fd second = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& one, const Fd& two) -> Task<void> {
    test::write_text(one.get(),
                     "[{\"jsonrpc\":\"2.0\",\"method\":\"slow\",\"id\":1},"
                     "{\"jsonrpc\":\"2.0\",\"method\":\"kept\",\"id\":2}]\n");
    co_await self.until_begun(1);
    test::write_text(two.get(), kEcho);
    co_await self.settle();
    CHECK(self.begun == 1);
    CHECK(unread(two) > 0);
    self.set_go();
    CHECK(co_await self.line(one) ==
          "[{\"jsonrpc\":\"2.0\",\"result\":7,\"id\":1},{\"jsonrpc\":\"2.0\",\"result\":7,"
          "\"id\":2}]\n");
    CHECK(co_await self.line(two) == kEchoed);
  }(sessions, first, second));
}

}  // namespace
}  // namespace handoff
