// SPDX-License-Identifier: MIT
#include "pass/ledger.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <numeric>
#include <string>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "os/sealed_memory.hpp"

namespace handoff::ledger {
namespace {

using namespace std::chrono_literals;

TEST_CASE("what a worker stores in its ledger is what the master reads") {
  auto [masters, file] = Ledger::make({.passed = 4, .accepted = 2, .threads = 3});
  const Ledger workers = Ledger::open(file);
  CHECK(workers.shape().passed == 4);
  CHECK(workers.shape().accepted == 2);
  CHECK(workers.shape().threads == 4);
  for (std::uint32_t i = 0; i < 6; ++i) {
    workers.entry(i).begin(State::received, static_cast<std::uint16_t>(i), Framing::lines,
                           Dialect::article);
  }
  for (std::uint32_t i = 0; i < 6; ++i) { CHECK(Snapshot(masters.entry(i)).generation() == i); }
  Counters::add(workers.counters(0).requests, 2);
  Counters::add(workers.counters(3).requests, 3);
  Counters::add(workers.counters(1).active_calls, 1);
  CHECK(masters.totals().requests == 5);
  CHECK(masters.totals().active_calls == 1);
}

TEST_CASE("the file of a ledger keeps its size") {
  const auto [ledger, file] = Ledger::make({.passed = 1});
  const int seals = fcntl(file.get(), F_GET_SEALS);
  CHECK((seals & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)) ==
        (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW));
  CHECK((seals & F_SEAL_WRITE) == 0);
}

TEST_CASE("a ledger is never larger than the maxima") {
  const auto [ledger, file] =
      Ledger::make({.passed = 0xffffffff, .accepted = 0xffffffff, .threads = 0xffffffff});
  CHECK(ledger.shape().passed == kMaxEntries);
  CHECK(ledger.shape().accepted == kMaxEntries);
  CHECK(ledger.shape().threads == kMaxThreads);
  CHECK(Ledger::open(file).shape().passed == kMaxEntries);
}

TEST_CASE("a file that is no ledger is refused") {
  CHECK_THROWS_AS(Ledger::open(Fd()), SystemError);
  CHECK_THROWS_AS(Ledger::open(make_memory_for_both("test", 32).file), ProtocolError);
  CHECK_THROWS_AS(Ledger::open(make_memory_for_both("test", 4096).file), ProtocolError);
}

TEST_CASE("a ledger whose header promises more entries than it has is refused") {
  auto [ledger, file] = Ledger::make({.passed = 1});
  const Mapping memory = Mapping::writable(file.get());
  for (const std::size_t offset :
       {std::size_t{8}, std::size_t{12}, std::size_t{16}, std::size_t{20}}) {
    memory.data()[offset] ^= 2;
    CHECK_THROWS_AS(Ledger::open(file), ProtocolError);
    memory.data()[offset] ^= 2;
  }
  CHECK_NOTHROW(Ledger::open(file));
}

TEST_CASE("counters of methods stand after all else in the file, and only if they are asked for") {
  const auto [plain, plain_file] = Ledger::make({.passed = 4, .accepted = 2, .threads = 2});
  const auto [ledger, file] =
      Ledger::make({.passed = 4, .accepted = 2, .threads = 2, .methods = kMethodSlots});
  const Mapping before = Mapping::writable(plain_file.get());
  const Mapping after = Mapping::writable(file.get());
  CHECK(after.size() == before.size() + kMethodSlots * (64 + 2 * sizeof(Counters)));
  CHECK(std::string(before.data(), 20) == std::string(after.data(), 20));
  CHECK(before.data()[20] == 0);
  CHECK(after.data()[20] == 64);
  ledger.method_name(1).store("sum");
  CHECK(std::string(after.data() + before.size() + 65, 3) == "sum");
  Counters::add(ledger.method_counters(1)[1].requests, 77);
  CHECK(after.data()[before.size() + kMethodSlots * 64 + (kMethodSlots + 1) * sizeof(Counters)] ==
        77);
}

TEST_CASE("what a worker counts by method is what the master reads") {
  auto [masters, file] = Ledger::make({.threads = 2, .methods = kMethodSlots});
  const Ledger workers = Ledger::open(file);
  CHECK(workers.shape().methods == kMethodSlots);
  workers.method_name(63).store("sum");
  Counters::add(workers.method_counters(0)[63].requests, 1);
  Counters::add(workers.method_counters(1)[63].requests, 2);
  workers.method_counters(1)[63].count_error(17);
  CHECK(masters.slot_of("sum") == 63);
  CHECK(masters.totals_of(63).requests == 3);
  CHECK(masters.totals_of(63).errors.back() == 1);
  CHECK(masters.totals_of(62).requests == 0);
}

TEST_CASE("an error is counted under its code, and any other under the last") {
  auto [ledger, file] = Ledger::make({});
  Counters& counters = ledger.counters(0);
  counters.count_error(static_cast<int>(ErrorCode::parse_error));
  counters.count_error(static_cast<int>(ErrorCode::unreachable));
  counters.count_error(17);
  counters.count_error(17);
  const Totals totals = ledger.totals();
  CHECK(totals.errors.front() == 1);
  CHECK(totals.errors[kCountedErrors.size() - 1] == 1);
  CHECK(totals.errors.back() == 2);
}

TEST_CASE("the counter of an error has its code as its name") {
  CHECK(name_of_error_counter(error_counter(ErrorCode::method_not_found)) == "-32601");
  CHECK(name_of_error_counter(error_counter(static_cast<ErrorCode>(17))) == "other");
}

TEST_CASE("a call is counted under the least power of two that its microseconds do not exceed") {
  auto [ledger, file] = Ledger::make({});
  Counters& counters = ledger.counters(0);
  counters.count_call(-1ns);
  counters.count_call(0ns);
  counters.count_call(1us);
  counters.count_call(1001ns);
  counters.count_call(3us);
  counters.count_call(4us);
  counters.count_call(4001ns);
  counters.count_call(1000h);
  const auto durations = ledger.totals().durations;
  CHECK(durations[0] == 3);
  CHECK(durations[1] == 1);
  CHECK(durations[2] == 2);
  CHECK(durations[3] == 1);
  CHECK(durations.back() == 1);
  CHECK(std::accumulate(durations.begin(), durations.end(), std::uint64_t{0}) == 8);
}

TEST_CASE("the durations of all calls add up in nanoseconds") {
  auto [ledger, file] = Ledger::make({.threads = 2});
  ledger.counters(0).count_call(1500ns);
  ledger.counters(1).count_call(2s);
  ledger.counters(1).count_call(-1s);
  CHECK(ledger.totals().call_time == 2'000'001'500);
}

TEST_CASE("calls under way are counted over all threads") {
  auto [ledger, file] = Ledger::make({.threads = 4});
  Counters::add(ledger.counters(0).active_calls, 2);
  Counters::add(ledger.counters(3).active_calls, 3);
  CHECK(ledger.active_calls() == 5);
}

TEST_CASE("the totals of several ledgers add up") {
  auto [one, one_file] = Ledger::make({});
  auto [other, other_file] = Ledger::make({.threads = 2});
  Counters::add(one.counters(0).requests, 2);
  Counters::add(other.counters(1).requests, 3);
  other.counters(1).count_error(17);
  one.counters(0).count_call(1us);
  other.counters(0).count_call(2us);
  Totals sum = one.totals();
  sum += other.totals();
  CHECK(sum.requests == 5);
  CHECK(sum.errors.back() == 1);
  CHECK(sum.durations[0] + sum.durations[1] == 2);
  CHECK(sum.call_time == 3000);
}

}  // namespace
}  // namespace handoff::ledger
