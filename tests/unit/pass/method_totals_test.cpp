// SPDX-License-Identifier: MIT
#include "pass/method_totals.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

namespace handoff::ledger {
namespace {

using namespace std::chrono_literals;

TEST_CASE("the counters of a method are added up over the threads of a ledger") {
  auto [ledger, file] = Ledger::make({.threads = 2, .methods = kMethodSlots});
  ledger.method_name(2).store("sum");
  ledger.method_name(5).store("wait");
  Counters::add(ledger.method_counters(0)[2].requests, 1);
  Counters::add(ledger.method_counters(1)[2].requests, 2);
  ledger.method_counters(1)[5].count_call(3us);
  Counters::add(ledger.method_counters(0)[7].requests, 9);
  const MethodTotals totals(ledger);
  CHECK(totals.by_name().size() == 2);
  CHECK(totals.by_name().at("sum").requests == 3);
  CHECK(totals.by_name().at("wait").calls() == 1);
  CHECK(ledger.totals().requests == 0);
}

TEST_CASE("slots of one name are one method") {
  auto [ledger, file] = Ledger::make({.methods = kMethodSlots});
  for (const MethodSlot slot : {MethodSlot{3}, MethodSlot{4}}) {
    ledger.method_name(slot).store("sum");
    Counters::add(ledger.method_counters(0)[slot].requests, slot);
  }
  CHECK(MethodTotals(ledger).by_name().at("sum").requests == 7);
}

TEST_CASE("a ledger without room for methods has no totals of them") {
  auto [ledger, file] = Ledger::make({});
  CHECK(MethodTotals(ledger).by_name().empty());
  CHECK(ledger.method_counters(0) == nullptr);
  CHECK(ledger.slot_of("sum") == kOtherMethods);
}

/// A request of each of `count` methods.
MethodTotals requests(const std::string& prefix, std::size_t count) {
  Totals one;
  one.requests = 1;
  MethodTotals totals;
  for (std::size_t i = 0; i < count; ++i) { totals.add(prefix + std::to_string(i), one); }
  return totals;
}

std::uint64_t requests_of_others(const MethodTotals& totals) {
  return totals.by_name().at(std::string(kNameOfOthers)).requests;
}

TEST_CASE("the names of a place are as many as a ledger has, and the first have precedence") {
  MethodTotals sum = requests("new", 10);
  sum += requests("old", 60);
  sum += requests("older", 60);
  CHECK(sum.by_name().size() == kMethodSlots);
  CHECK(sum.by_name().at("new9").requests == 1);
  CHECK(requests_of_others(sum) == 10 + 60 + 60 - (kMethodSlots - 1));
  sum += requests("new", 10);
  CHECK(sum.by_name().at("new9").requests == 2);
}

TEST_CASE("the counters of all places are added up") {
  const MethodTotals sum = MethodTotals::of_all({{1, requests("m", 3)}, {2, requests("m", 2)}});
  CHECK(sum.by_name().size() == 3);
  CHECK(sum.by_name().at("m1").requests == 2);
  CHECK(sum.by_name().at("m2").requests == 1);
  CHECK(MethodTotals::of_all({}).by_name().empty());
}

TEST_CASE("names that are invented in one place displace no method of the others") {
  const MethodTotals two =
      MethodTotals::of_all({{1, requests("a", 63)}, {2, requests("honest", 63)}});
  CHECK(two.by_name().contains("honest62"));
  const MethodTotals sum = MethodTotals::of_all({{1, requests("a", 63)},
                                                 {2, requests("honest", 63)},
                                                 {3, requests("b", 63)},
                                                 {4, requests("honest", 63)}});
  CHECK(sum.by_name().size() == MethodTotals::kMostNames);
  CHECK(sum.by_name().at("honest62").requests == 2);
  CHECK(requests_of_others(sum) == 3 * 63 - (MethodTotals::kMostNames - 1));
}

TEST_CASE("false counters are bounded, so that the buckets of a histogram never fall") {
  auto [ledger, file] = Ledger::make({.threads = 4, .methods = kMethodSlots});
  ledger.method_name(0).store("sum");
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    Counters& counters = ledger.method_counters(thread)[0];
    for (auto& counter : counters.durations) {
      counter = std::numeric_limits<std::uint64_t>::max();
    }
    counters.requests = counters.call_time = std::numeric_limits<std::uint64_t>::max();
  }
  const Totals totals = MethodTotals(ledger).by_name().at("sum");
  CHECK(totals.requests == std::uint64_t{4} << 48U);
  CHECK(totals.calls() == std::uint64_t{4 * kDurations} << 48U);
  CHECK(totals.call_time == std::uint64_t{4} << 58U);
}

}  // namespace
}  // namespace handoff::ledger
