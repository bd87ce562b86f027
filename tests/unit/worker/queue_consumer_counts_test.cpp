// SPDX-License-Identifier: MIT
// What is counted, timed and logged of the calls of a queue.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pass/ledger.hpp"
#include "rpc/call_log.hpp"
#include "unit/support.hpp"
#include "unit/worker/consumed_queue.hpp"

namespace handoff {
namespace {

using Queue = test::ConsumedQueue;
using Answer = std::pair<std::uint64_t, std::string>;

TEST_CASE("each call of a queue has a line in the log, with the client that the master names") {
  std::vector<std::string> lines;
  const CallLog log(CallLog::Calls::all, [&lines](std::string_view line) {
    lines.emplace_back(line.substr(0, line.rfind(',')));
  });
  Queue queue({}, 100, {.calls = &log});
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    its.ask(2, "none", "2");
    its.ask(3, "echo", "3");
    its.ask(4, "big", "4");
    its.ask(5, "echo", "5", 1);
    co_await its.turns();
    its.let_go("1");
    co_await its.turns();
  });
  const std::vector<std::string> wanted = {"call none from 8: error -32601", "call echo from 8: ok",
                                           "call echo from 8: error -32002",
                                           "call big from 8: error -32001", "call slow from 8: ok"};
  CHECK(lines == wanted);
}

TEST_CASE("calls of a queue are counted in the ledger, with their errors and durations") {
  Queue queue;
  auto [ledger, file] = ledger::Ledger::make({});
  const auto counted = std::make_shared<const ledger::Ledger>(std::move(ledger));
  queue.context.count_in(counted, 0);
  const auto errors = [&](ErrorCode code) {
    return counted->totals().errors[ledger::error_counter(code)];
  };
  queue.run([&](Queue& its) -> Task<void> {
    its.ask(1, "none");
    its.ask(2, "slow", "2");
    its.ask(3, "big");
    its.ask(4, "echo");
    co_await its.turns();
    CHECK(counted->totals().requests == 4);
    CHECK(counted->active_calls() == 1);
    CHECK(errors(ErrorCode::method_not_found) == 1);
    CHECK(errors(ErrorCode::handler_failed) == 1);
    its.let_go("2");
    co_await its.turns();
    while (its.reply()) {}
  });
  const ledger::Totals totals = counted->totals();
  CHECK(totals.active_calls == 0);
  CHECK(std::accumulate(totals.durations.begin(), totals.durations.end(), std::uint64_t{0}) == 2);
  CHECK(std::accumulate(totals.errors.begin(), totals.errors.end(), std::uint64_t{0}) == 2);
}

TEST_CASE("calls of a queue are counted by method") {
  Queue queue;
  auto [ledger, file] = ledger::Ledger::make({.methods = ledger::kMethodSlots});
  const auto counted = std::make_shared<const ledger::Ledger>(std::move(ledger));
  ledger::MethodSlot slot = 2;
  for (const char* name : {"echo", "slow", "big"}) { counted->method_name(slot++).store(name); }
  queue.context.count_in(counted, 0);
  const auto errors = [&](ledger::MethodSlot of, ErrorCode code) {
    return counted->totals_of(of).errors[ledger::error_counter(code)];
  };
  queue.run([&](Queue& its) -> Task<void> {
    its.ask(1, "none");
    its.ask(2, "slow", "2");
    its.ask(3, "big");
    its.ask(4, "echo");
    its.ask(5, "slow", "5", 1);
    co_await its.turns();
    CHECK(counted->totals_of(2).requests == 1);
    CHECK(counted->totals_of(3).requests == 2);
    CHECK(errors(3, ErrorCode::timed_out) == 1);
    CHECK(errors(4, ErrorCode::handler_failed) == 1);
    CHECK(errors(ledger::kUnknownMethods, ErrorCode::method_not_found) == 1);
    CHECK(counted->totals_of(3).calls() == 0);
    its.let_go("2");
    co_await its.turns();
    while (its.reply()) {}
    CHECK(counted->totals_of(3).calls() == 1);
    CHECK(counted->totals().requests == 5);
  });
}

TEST_CASE("a reply tells how long its method took") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    co_await its.turns();
    co_await its.reactor.sleep_until(its.reactor.now() + std::chrono::milliseconds(2));
    its.let_go("1");
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "1"));
    CHECK(its.duration >= 2'000'000);
    its.ask(2, "echo");
    co_await its.turns();
    its.ask(3, "echo");
    co_await its.turns();
    CHECK(its.reply() == Answer(2, "1"));
    CHECK(its.reply() == Answer(3, "1"));
    CHECK(its.duration > 0);
    CHECK(its.duration < 2'000'000);
  });
}

}  // namespace
}  // namespace handoff
