// SPDX-License-Identifier: MIT
#include "worker/own_connections.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "pass/channel.hpp"

namespace handoff {
namespace {

std::shared_ptr<const ledger::Ledger> ledger_of(ledger::Shape shape) {
  auto [ledger, file] = ledger::Ledger::make(shape);
  return std::make_shared<const ledger::Ledger>(std::move(ledger));
}

Connection accept(OwnConnections& own) {
  Connection connection;
  connection.framing = Framing::lines;
  own.accept(connection);
  CHECK((connection.id & channel::kOwnId) != 0);
  return connection;
}

TEST_CASE("without a ledger connections are numbered and have no entries") {
  OwnConnections own;
  const Connection one = accept(own);
  const Connection other = accept(own);
  CHECK(one.entry == nullptr);
  CHECK(one.id != other.id);
  own.ended(one.id);
}

TEST_CASE("an accepted connection has one of the entries after the master's") {
  OwnConnections own;
  const auto ledger = ledger_of({.passed = 5, .accepted = 2});
  own.use(ledger);
  const Connection one = accept(own);
  CHECK(channel::index_of(one.id) == 5);
  CHECK(one.entry == &ledger->entry(5));
  const ledger::Snapshot entry(*one.entry);
  CHECK(entry.state() == ledger::State::received);
  CHECK(entry.framing() == Framing::lines);
  CHECK(one.id == channel::id_of_entry(channel::kOwnId, 5, entry.generation()));
}

TEST_CASE("an entry is used again under another number") {
  OwnConnections own;
  own.use(ledger_of({.passed = 1, .accepted = 1}));
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 10; ++i) {
    const Connection connection = accept(own);
    CHECK(connection.entry != nullptr);
    ids.insert(connection.id);
    own.ended(connection.id);
  }
  CHECK(ids.size() == 10);
}

TEST_CASE("a connection beyond the last entry has none, and its end frees none") {
  OwnConnections own;
  own.use(ledger_of({.passed = 1, .accepted = 1}));
  const Connection one = accept(own);
  const Connection two = accept(own);
  const Connection three = accept(own);
  CHECK(two.entry == nullptr);
  CHECK(two.id != three.id);
  own.ended(two.id);
  CHECK(accept(own).entry == nullptr);
  own.ended(one.id);
  CHECK(accept(own).entry != nullptr);
}

TEST_CASE("a passed connection that ends frees no entry of those that were accepted") {
  OwnConnections own;
  own.use(ledger_of({.passed = 5, .accepted = 1}));
  own.ended(channel::id_of_entry(channel::kKeptId, 3, 1));
  CHECK(channel::index_of(accept(own).id) == 5);
}

TEST_CASE("another master's ledger begins anew") {
  OwnConnections own;
  own.use(ledger_of({.passed = 1, .accepted = 1}));
  const Connection before = accept(own);
  own.use(ledger_of({.passed = 7, .accepted = 1}));
  CHECK(channel::index_of(accept(own).id) == 7);
}

}  // namespace
}  // namespace handoff
