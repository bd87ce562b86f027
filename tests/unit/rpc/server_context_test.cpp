// SPDX-License-Identifier: MIT
#include "rpc/server_context.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using test::Sessions;

TEST_CASE("requests and calls are counted, for other threads too") {
  Reactor reactor;
  ServerCounters counters;
  ServerContext context(reactor, std::make_shared<MethodTable>(), {}, {}, {.counters = &counters});
  context.count_requests(3);
  context.count_requests(2);
  context.call_begins();
  context.call_begins();
  context.call_ends();
  CHECK(context.requests() == 5);
  CHECK(counters.requests == 5);
  CHECK(context.active_calls() == 1);
  CHECK(counters.active_calls == 1);
}

TEST_CASE("the owner is told once that the quota of requests is used up") {
  Reactor reactor;
  RequestQuota quota(3);
  int told = 0;
  const ServerContext::Owner owner{.quota_used_up = [&] { ++told; }};
  ServerContext one(reactor, nullptr, {}, owner, {.quota = &quota});
  ServerContext other(reactor, nullptr, {}, owner, {.quota = &quota});
  one.count_requests(2);
  CHECK(told == 0);
  CHECK(!quota.is_used_up());
  other.count_requests(2);
  CHECK(told == 1);
  CHECK(quota.is_used_up());
  one.count_requests(5);
  CHECK(told == 1);
}

TEST_CASE("a call keeps the methods that it began with, the next one gets the new") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), test::kSlow);
    co_await self.until_begun(1);
    auto table = std::make_shared<MethodTable>();
    table->add_instant("echo", [](const Request&) { return std::string_view("2"); });
    self.context.replace_methods(std::move(table));
    self.set_go();
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7}\n");
    test::write_text(end.get(), test::kEcho);
    CHECK(co_await self.line(end) == "{\"out\":\"echo\",\"result\":2}\n");
  }(sessions, client));
}

TEST_CASE("the connection that ends first by itself makes way for another") {
  SessionLimits limits;
  limits.idle_timeout = std::chrono::hours(1);
  Sessions sessions(limits);
  CHECK(!sessions.context.close_idlest());
  const Fd busy = sessions.open();
  const Fd older = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& calls, const Fd& idle) -> Task<void> {
    test::write_text(calls.get(), test::kSlow);
    co_await self.until_begun(1);
    const Fd younger = self.open();
    co_await self.settle();
    CHECK(self.context.close_idlest());
    co_await self.until_ended();
    CHECK(co_await self.line(idle) == "");
    CHECK(self.context.close_idlest());
    co_await self.until_ended(2);
    CHECK(co_await self.line(younger) == "");
    CHECK(!self.context.close_idlest());
    CHECK(self.context.open_connections() == 1);
  }(sessions, busy, older));
}

TEST_CASE("connections are served without an end again once the server resumes") {
  Sessions sessions;
  const Fd first = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    self.context.drain(WhenDrained::close);
    co_await self.until_ended();
    CHECK(co_await self.line(end) == "");
    const Fd late = self.open();
    co_await self.until_ended(2);
    self.context.resume();
    const Fd next = self.open();
    test::write_text(next.get(), test::kEcho);
    CHECK(co_await self.line(next) == test::kEchoed);
  }(sessions, first));
}

TEST_CASE("an owner that was forgotten is told nothing") {
  Sessions sessions;
  Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, Fd& end) -> Task<void> {
    self.context.forget_owner();
    end.reset();
    co_await self.settle();
  }(sessions, client));
  CHECK(sessions.context.open_connections() == 0);
  CHECK(sessions.reasons.empty());
}

}  // namespace
}  // namespace handoff
