// SPDX-License-Identifier: MIT
#include "pass/ledger_entry.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

namespace handoff::ledger {
namespace {

using std::operator""sv;

TEST_CASE("an entry tells its state, framing, dialect and generation") {
  Entry entry{};
  CHECK(Snapshot(entry).state() == State::free);
  entry.begin(State::passed, 0xabcd, Framing::lines, Dialect::json_rpc);
  const Snapshot passed(entry);
  CHECK(passed.state() == State::passed);
  CHECK(passed.framing() == Framing::lines);
  CHECK(passed.dialect() == Dialect::json_rpc);
  CHECK(passed.generation() == 0xabcd);
}

TEST_CASE("storing a state alone keeps the framing, the dialect and the generation") {
  Entry entry{};
  entry.begin(State::received, 7, Framing::length, Dialect::json_rpc);
  for (const State state : {State::busy, State::idle, State::silent, State::closed}) {
    entry.store(state);
    const Snapshot now(entry);
    CHECK(now.state() == state);
    CHECK(now.framing() == Framing::length);
    CHECK(now.dialect() == Dialect::json_rpc);
    CHECK(now.generation() == 7);
  }
}

TEST_CASE("storing how the client speaks keeps the generation") {
  Entry entry{};
  entry.begin(State::received, 9, Framing::unknown, Dialect::article);
  entry.store(State::idle, Framing::lines, Dialect::json_rpc);
  const Snapshot now(entry);
  CHECK(now.framing() == Framing::lines);
  CHECK(now.dialect() == Dialect::json_rpc);
  CHECK(now.generation() == 9);
}

TEST_CASE("a running entry tells the id of its request") {
  const std::string longest = '"' + std::string(kMaxId - 2, 'x') + '"';
  for (const std::string_view id :
       {""sv, "1"sv, "-2.5e3"sv, R"("a\"b")"sv, std::string_view(longest)}) {
    CAPTURE(id);
    Entry entry{};
    entry.begin(State::received, 1, Framing::length, Dialect::article);
    entry.store_running(id, Framing::length, Dialect::article);
    const Snapshot now(entry);
    CHECK(now.state() == State::running);
    CHECK(now.id() == id);
  }
}

TEST_CASE("an id that is no JSON string or number makes a running entry busy") {
  for (const std::string_view id : {"null"sv, "{}"sv, "01"sv, R"("a)"sv, R"("a"b")"sv, R"("\x")"sv,
                                    "1 "sv, " 1"sv, "\"\xff\""sv, "\"\n\""sv, "1\n2"sv}) {
    CAPTURE(id);
    Entry entry{};
    entry.store_running(id, Framing::length, Dialect::article);
    CHECK(Snapshot(entry).state() == State::busy);
    CHECK(Snapshot(entry).id().empty());
  }
}

TEST_CASE("what is no state, framing, dialect or length of an id counts as busy") {
  Entry entry{};
  for (const std::uint32_t word : {9U, 0xffU, 0x303U, 0x2003U, 0xffffffffU}) {
    CAPTURE(word);
    entry.word.store(word);
    CHECK(Snapshot(entry).state() == State::busy);
  }
  entry.begin(State::running, 1, Framing::length, Dialect::article);
  entry.id_size = kMaxId + 1;
  CHECK(Snapshot(entry).state() == State::busy);
}

TEST_CASE("only the passed connection of its own generation is taken") {
  Entry entry{};
  CHECK_FALSE(entry.take(State::received, 0));
  entry.begin(State::passed, 5, Framing::lines, Dialect::article);
  CHECK_FALSE(entry.take(State::received, 4));
  CHECK(entry.take(State::received, 5));
  CHECK(Snapshot(entry).state() == State::received);
  CHECK(Snapshot(entry).framing() == Framing::lines);
  CHECK_FALSE(entry.take(State::taken, 5));
}

TEST_CASE("of a worker and a master that take the same connection one gets it") {
  constexpr std::uint16_t kRounds = 2000;
  Entry entry{};
  std::atomic<std::uint32_t> round = 0;
  std::atomic<std::uint32_t> taken_by_master = 0;
  std::atomic<std::uint32_t> answered = 0;
  std::thread master([&] {
    for (std::uint16_t i = 1; i <= kRounds; ++i) {
      while (round.load() < i) { std::this_thread::yield(); }
      taken_by_master += entry.take(State::taken, i) ? 1 : 0;
      answered = i;
    }
  });
  std::uint32_t taken_by_worker = 0;
  for (std::uint16_t i = 1; i <= kRounds; ++i) {
    entry.begin(State::passed, i, Framing::unknown, Dialect::article);
    round = i;
    taken_by_worker += entry.take(State::received, i) ? 1 : 0;
    while (answered.load() < i) { std::this_thread::yield(); }
  }
  master.join();
  CHECK(taken_by_worker + taken_by_master == kRounds);
}

}  // namespace
}  // namespace handoff::ledger
