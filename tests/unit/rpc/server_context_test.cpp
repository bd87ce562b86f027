// SPDX-License-Identifier: MIT
#include "rpc/server_context.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pass/ledger.hpp"
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

std::size_t index_of(ErrorCode code) {
  const auto* const found =
      std::find(ledger::kCountedErrors.begin(), ledger::kCountedErrors.end(), code);
  return static_cast<std::size_t>(found - ledger::kCountedErrors.begin());
}

std::uint64_t sum(const std::array<std::uint64_t, ledger::kDurations>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

TEST_CASE("requests, calls under way and errors that are replied are counted in the ledger") {
  const auto ledger = std::make_shared<const ledger::Ledger>(
      ledger::Ledger::make({.passed = 0, .accepted = 0, .threads = 2}).first);
  Sessions sessions;
  sessions.context.count_in(ledger, 1);
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end, const ledger::Ledger& of) -> Task<void> {
    const auto error = [&](ErrorCode code) { return of.totals().errors[index_of(code)]; };
    test::write_text(end.get(), "{\"in\":\"echo\"}\nno JSON\n{\"in\":\"none\"}\n");
    for (int i = 0; i < 3; ++i) { co_await self.line(end); }
    CHECK(of.totals().requests == 3);
    CHECK(sum(of.totals().durations) == 0);
    CHECK(error(ErrorCode::parse_error) == 1);
    CHECK(error(ErrorCode::method_not_found) == 1);
    test::write_text(end.get(),
                     "[1,{\"jsonrpc\":\"2.0\",\"method\":\"none\",\"id\":1},"
                     "{\"jsonrpc\":\"2.0\",\"method\":\"none\"}]\n");
    co_await self.line(end);
    CHECK(error(ErrorCode::invalid_request) == 1);
    CHECK(error(ErrorCode::method_not_found) == 2);
    test::write_text(end.get(), test::kSlow);
    co_await self.until_begun(1);
    CHECK(of.totals().active_calls == 1);
    CHECK(of.counters(1).active_calls == 1);
    self.set_go();
    co_await self.line(end);
    CHECK(of.totals().active_calls == 0);
    CHECK(sum(of.totals().durations) == 1);
    CHECK(of.counters(0).requests == 0);
  }(sessions, client, *ledger));
}

TEST_CASE("a reply that is too long, and one to a stranger, count as errors") {
  const auto ledger = std::make_shared<const ledger::Ledger>(ledger::Ledger::make({}).first);
  SessionLimits limits;
  limits.max_frame = Sessions::kBig;
  Sessions sessions(limits);
  sessions.context.count_in(ledger, 0);
  const Fd client = sessions.open();
  const Fd stranger = sessions.open();
  sessions.reactor.run(
      [](Sessions& self, const Fd& end, const Fd& other, const ledger::Ledger& of) -> Task<void> {
        const auto error = [&](ErrorCode code) { return of.totals().errors[index_of(code)]; };
        test::write_text(end.get(), "{\"in\":\"big\"}\n");
        co_await self.line(end);
        CHECK(error(ErrorCode::handler_failed) == 1);
        test::write_text(other.get(), "hello hello hello\n");
        co_await self.line(other);
        CHECK(error(ErrorCode::parse_error) == 1);
      }(sessions, client, stranger, *ledger));
}

/// A ledger whose slots have the names of the methods of Sessions.
std::shared_ptr<const ledger::Ledger> ledger_with_methods() {
  auto ledger = std::make_shared<const ledger::Ledger>(
      ledger::Ledger::make({.passed = 1, .methods = ledger::kMethodSlots}).first);
  ledger->method_name(ledger::kOtherMethods).store(ledger::kNameOfOthers);
  ledger->method_name(ledger::kUnknownMethods).store(ledger::kNameOfUnknown);
  ledger->method_name(5).store("slow");
  ledger->method_name(6).store("echo");
  return ledger;
}

TEST_CASE(
    "requests, errors and durations are counted by method, and names that clients invent as "
    "unknown") {
  const auto ledger = ledger_with_methods();
  Sessions sessions;
  sessions.context.count_in(ledger, 0);
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end, const ledger::Ledger& of) -> Task<void> {
    const auto unknown = [&] { return of.totals_of(ledger::kUnknownMethods); };
    test::write_text(end.get(),
                     "{\"in\":\"echo\"}\n{\"in\":\"none\"}\n{\"in\":\"nothing\"}\n"
                     "{\"in\":\"big\"}\nno JSON\n");
    for (int i = 0; i < 5; ++i) { co_await self.line(end); }
    CHECK(of.totals_of(6).requests == 1);
    CHECK(of.totals_of(6).calls() == 0);
    CHECK(unknown().requests == 2);
    CHECK(unknown().errors[index_of(ErrorCode::method_not_found)] == 2);
    CHECK(of.totals_of(ledger::kOtherMethods).requests == 1);
    CHECK(of.totals_of(ledger::kOtherMethods).calls() == 1);
    test::write_text(end.get(),
                     "[{\"jsonrpc\":\"2.0\",\"method\":\"none\",\"id\":1},"
                     "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}]\n");
    co_await self.line(end);
    CHECK(unknown().requests == 3);
    CHECK(unknown().errors[index_of(ErrorCode::method_not_found)] == 3);
    CHECK(of.totals_of(6).requests == 2);
    test::write_text(end.get(), test::kSlow);
    co_await self.until_begun(1);
    CHECK(of.totals_of(5).requests == 1);
    CHECK(of.totals_of(5).calls() == 0);
    self.set_go();
    co_await self.line(end);
    CHECK(of.totals_of(5).calls() == 1);
    CHECK(of.totals_of(5).call_time > 0);
    CHECK(of.totals().requests == 8);
  }(sessions, client, *ledger));
}

TEST_CASE("a reply that is too long is an error of its method") {
  const auto ledger = ledger_with_methods();
  ledger->method_name(7).store("big");
  SessionLimits limits;
  limits.max_frame = Sessions::kBig;
  Sessions sessions(limits);
  sessions.context.count_in(ledger, 0);
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end, const ledger::Ledger& of) -> Task<void> {
    test::write_text(end.get(), "{\"in\":\"big\"}\n");
    co_await self.line(end);
    CHECK(of.totals_of(7).errors[index_of(ErrorCode::handler_failed)] == 1);
  }(sessions, client, *ledger));
}

TEST_CASE("a request that is refused because memory is short is an error of its method") {
  SessionLimits limits;
  limits.memory = std::make_shared<MemoryBudget>(100);
  limits.max_waiting = 0;
  MemoryBudget::Share others(*limits.memory);
  others.set(100);
  REQUIRE(others.may_start_call());  // the one that goes on without room
  const auto ledger = ledger_with_methods();
  Sessions sessions(limits);
  sessions.context.count_in(ledger, 0);
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end, const ledger::Ledger& of) -> Task<void> {
    test::write_text(end.get(), test::kEcho);
    co_await self.line(end);
    CHECK(of.totals_of(6).requests == 1);
    CHECK(of.totals_of(6).errors[index_of(ErrorCode::busy)] == 1);
    CHECK(of.totals().errors[index_of(ErrorCode::busy)] == 1);
  }(sessions, client, *ledger));
}

TEST_CASE(
    "methods that replace others are counted under their names, and a call that goes on "
    "under its own") {
  const auto ledger = ledger_with_methods();
  Sessions sessions;
  sessions.context.count_in(ledger, 0);
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end, const ledger::Ledger& of) -> Task<void> {
    test::write_text(end.get(), test::kSlow);
    co_await self.until_begun(1);
    of.method_name(8).store("kept");
    self.context.replace_methods(self.methods());
    self.set_go();
    test::write_text(end.get(), "{\"in\":\"kept\"}\n");
    for (int i = 0; i < 2; ++i) { co_await self.line(end); }
    CHECK(of.totals_of(5).calls() == 1);
    CHECK(of.totals_of(8).calls() == 1);
    CHECK(of.totals_of(ledger::kOtherMethods).requests == 0);
  }(sessions, client, *ledger));
}

TEST_CASE(
    "calls that go on are counted in the next ledger, and the one before is kept for entries") {
  auto first = std::make_shared<const ledger::Ledger>(ledger::Ledger::make({.passed = 1}).first);
  const auto second = std::make_shared<const ledger::Ledger>(ledger::Ledger::make({}).first);
  const std::weak_ptr<const ledger::Ledger> kept = first;
  Sessions sessions;
  sessions.context.count_in(std::move(first), 0);
  Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, Fd& end, std::shared_ptr<const ledger::Ledger> next,
                          const std::weak_ptr<const ledger::Ledger>& before) -> Task<void> {
    test::write_text(end.get(), test::kSlow);
    co_await self.until_begun(1);
    self.context.count_in(next, 0);
    CHECK(next->totals().active_calls == 1);
    CHECK(next->totals().requests == 0);
    CHECK(!before.expired());
    self.set_go();
    co_await self.line(end);
    CHECK(next->totals().active_calls == 0);
    end.reset();
    co_await self.until_ended();
    self.context.count_in(nullptr, 0);
    CHECK(before.expired());
  }(sessions, client, second, kept));
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
