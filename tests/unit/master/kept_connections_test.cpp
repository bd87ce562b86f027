// SPDX-License-Identifier: MIT
#include "master/kept_connections.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/reactor.hpp>

#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using ledger::State;

struct Passed {
  std::uint64_t id;
  Fd client;
};

struct Fixture {
  explicit Fixture(ledger::Shape shape = {.passed = 200, .accepted = 3}) {
    auto [masters, file] = ledger::Ledger::make(shape);
    workers.emplace(ledger::Ledger::open(file));
    kept.emplace(std::move(masters), custody);
  }

  static std::pair<HeldConnection, Fd> make(Custody& custody) {
    auto [client, server] = make_socket_pair(SOCK_STREAM);
    HeldConnection held;
    held.connection.socket = std::move(server);
    held.connection.framing = Framing::lines;
    held.hold = Custody::Hold(custody, 1);
    return {std::move(held), std::move(client)};
  }

  Passed pass(HeldConnection held, Fd client) {
    const std::optional<std::uint64_t> id = kept->reserve(held.connection);
    REQUIRE(id);
    held.connection.id = *id;
    kept->sent(std::move(held));
    return {*id, std::move(client)};
  }
  Passed pass() {
    auto [held, client] = make(*custody);
    return pass(std::move(held), std::move(client));
  }

  /// The worker has the connection, and stores this.
  void store(const Passed& passed, State state) {
    ledger::Entry& entry = workers->entry(channel::index_of(passed.id));
    if (state == State::passed) { return; }
    REQUIRE(entry.take(State::received, channel::generation_of(passed.id)));
    if (state == State::running) {
      entry.store_running("7", Framing::lines, Dialect::json_rpc);
    } else {
      entry.store(state, Framing::lines, Dialect::json_rpc);
    }
  }

  Reactor reactor;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  std::optional<ledger::Ledger> workers;
  std::optional<KeptConnections> kept;
};

bool has_ended(const Fd& client) {
  char byte{};
  return recv(client.get(), &byte, 1, MSG_DONTWAIT) == 0;
}

TEST_CASE("a connection that was passed is kept until it has ended") {
  const test::DescriptorCheck check;
  Fixture fixture;
  const Passed passed = fixture.pass();
  CHECK(fixture.kept->count() == 1);
  CHECK(fixture.custody->kept() == 1);
  CHECK(fixture.custody->descriptors() == 0);
  CHECK(fixture.kept->started(passed.id));
  CHECK(fixture.kept->finished(passed.id));
  CHECK(fixture.kept->count() == 0);
  CHECK(fixture.custody->kept() == 0);
  CHECK(has_ended(passed.client));
  CHECK_FALSE(fixture.kept->finished(passed.id));
  CHECK_FALSE(fixture.kept->started(passed.id));
}

TEST_CASE("the death of a worker leaves what each entry says") {
  struct Case {
    State state;
    bool moves;
    bool is_answered;
    bool is_counted_closed;
  };
  for (const Case& one : {Case{State::passed, true, false, false},
                          {State::received, true, false, false},
                          {State::idle, true, false, false},
                          {State::running, true, true, false},
                          {State::silent, true, false, false},
                          {State::busy, false, false, true},
                          {State::closed, false, false, false},
                          {State::free, false, false, false}}) {
    CAPTURE(static_cast<int>(one.state));
    const test::DescriptorCheck check;
    Fixture fixture;
    const Passed passed = fixture.pass();
    fixture.store(passed, one.state);
    {
      const Rescued rescued = fixture.kept->take_all(Reach::dead);
      CHECK(rescued.connections.size() == (one.moves ? 1 : 0));
      CHECK(rescued.counts.moved == (one.moves && !one.is_answered ? 1 : 0));
      CHECK(rescued.counts.answered == (one.is_answered ? 1 : 0));
      CHECK(rescued.counts.closed == (one.is_counted_closed ? 1 : 0));
      CHECK(has_ended(passed.client) == !one.moves);
      CHECK(fixture.custody->descriptors() == (one.moves ? 1 : 0));
      if (one.moves) {
        const Connection& connection = rescued.connections.front().connection;
        CHECK(connection.framing == Framing::lines);
        const bool is_untouched = one.state == State::passed || one.state == State::received;
        const bool speaks = one.state != State::passed;
        CHECK((connection.dialect == Dialect::json_rpc) == (speaks && one.state != State::free));
        CHECK(connection.owed.empty() == !one.is_answered);
        CHECK(rescued.connections.front().deaths == (one.state == State::received ? 1 : 0));
        CHECK((is_untouched || connection.unread.empty()));
      }
      CHECK(fixture.kept->count() == 0);
    }
    CHECK(fixture.custody->kept() == 0);
    CHECK(fixture.custody->descriptors() == 0);
  }
}

TEST_CASE("the client of an interrupted call is owed an error with its id") {
  Fixture fixture;
  const Passed passed = fixture.pass();
  fixture.store(passed, State::running);
  const Rescued rescued = fixture.kept->take_all(Reach::dead);
  REQUIRE(rescued.connections.size() == 1);
  const std::string& owed = rescued.connections.front().connection.owed;
  CHECK(owed.find("\"id\":7") != std::string::npos);
  CHECK(owed.find("-32004") != std::string::npos);
  CHECK(owed.back() == '\n');
}

TEST_CASE("the longest reply that can be owed fits into a message") {
  Fixture fixture;
  const Passed passed = fixture.pass();
  fixture.store(passed, State::received);
  const std::string id = '"' + std::string(ledger::kMaxId - 2, 'x') + '"';
  fixture.workers->entry(channel::index_of(passed.id))
      .store_running(id, Framing::length, Dialect::article);
  const Rescued rescued = fixture.kept->take_all(Reach::dead);
  REQUIRE(rescued.connections.size() == 1);
  CHECK(rescued.connections.front().connection.owed.size() <= channel::kMaxOwed);
}

TEST_CASE("a connection that three workers received and none touched is closed") {
  Fixture fixture;
  auto [held, client] = Fixture::make(*fixture.custody);
  Passed passed = fixture.pass(std::move(held), std::move(client));
  for (int deaths = 1; deaths <= 3; ++deaths) {
    CAPTURE(deaths);
    fixture.store(passed, State::received);
    Rescued rescued = fixture.kept->take_all(Reach::dead);
    REQUIRE(rescued.connections.size() == (deaths < 3 ? 1 : 0));
    CHECK(has_ended(passed.client) == (deaths == 3));
    if (deaths == 3) { break; }
    passed = fixture.pass(std::move(rescued.connections.front()), std::move(passed.client));
  }
}

TEST_CASE("bytes and a reply that came along are the master's until the worker touches them") {
  for (const State state : {State::passed, State::received, State::idle}) {
    CAPTURE(static_cast<int>(state));
    Fixture fixture;
    auto [held, client] = Fixture::make(*fixture.custody);
    held.connection.unread = "half a fra";
    held.connection.owed = "owed\n";
    CHECK(KeptConnections::has_luggage(held.connection));
    const Passed passed = fixture.pass(std::move(held), std::move(client));
    fixture.store(passed, state);
    CHECK(fixture.kept->started(passed.id));
    const Rescued rescued = fixture.kept->take_all(Reach::dead);
    REQUIRE(rescued.connections.size() == 1);
    const Connection& connection = rescued.connections.front().connection;
    const bool is_touched = state == State::idle;
    CHECK(connection.unread == (is_touched ? "" : "half a fra"));
    CHECK(connection.owed == (is_touched ? "" : "owed\n"));
  }
}

TEST_CASE("when all stop, only what no worker has touched goes on") {
  for (const State state :
       {State::passed, State::received, State::idle, State::running, State::silent, State::busy}) {
    CAPTURE(static_cast<int>(state));
    Fixture fixture;
    const Passed passed = fixture.pass();
    fixture.store(passed, state);
    const Rescued rescued = fixture.kept->take_all(Reach::untouched);
    const bool moves = state == State::passed || state == State::received;
    CHECK(rescued.connections.size() == (moves ? 1 : 0));
    CHECK(has_ended(passed.client) == !moves);
  }
}

TEST_CASE("a worker that is left alone keeps what it has taken, and gets nothing that it has not") {
  const test::DescriptorCheck check;
  for (const State state : {State::passed, State::received, State::idle, State::busy}) {
    CAPTURE(static_cast<int>(state));
    Fixture fixture;
    auto [held, client] = Fixture::make(*fixture.custody);
    const Fd workers_copy = duplicate(held.connection.socket.get());
    const Passed passed = fixture.pass(std::move(held), std::move(client));
    fixture.store(passed, state);
    const Rescued rescued = fixture.kept->take_all(Reach::on_its_way);
    CHECK(rescued.connections.size() == (state == State::passed ? 1 : 0));
    CHECK(rescued.counts.left == (state == State::passed ? 0 : 1));
    CHECK_FALSE(has_ended(passed.client));
    ledger::Entry& entry = fixture.workers->entry(channel::index_of(passed.id));
    CHECK_FALSE(entry.take(State::received, channel::generation_of(passed.id)));
  }
}

TEST_CASE("a copy counts from when its connection gets a number, not from when it is sent") {
  const test::DescriptorLimit limit(300);
  Fixture fixture;
  std::vector<HeldConnection> all;
  std::vector<Fd> clients;
  std::optional<std::uint64_t> last;
  std::size_t kept = 0;
  for (;;) {
    auto [held, client] = Fixture::make(*fixture.custody);
    last = fixture.kept->reserve(held.connection);
    if (!last || kept == fixture.kept->ledger().shape().passed) { break; }
    ++kept;
    held.connection.id = *last;
    all.push_back(std::move(held));
    clients.push_back(std::move(client));
  }
  CHECK(fixture.custody->kept() == kept);
  CHECK_FALSE(fixture.custody->may_keep());
  fixture.kept->cancel(all.back().connection.id);
  CHECK(fixture.custody->may_keep());
  all.pop_back();
  for (HeldConnection& held : all) { fixture.kept->sent(std::move(held)); }
  CHECK(fixture.custody->kept() == kept - 1);
  fixture.kept.reset();
  CHECK(fixture.custody->kept() == 0);
}

TEST_CASE("an entry of another generation decides nothing") {
  Fixture fixture;
  const Passed passed = fixture.pass();
  ledger::Entry& entry = fixture.workers->entry(channel::index_of(passed.id));
  entry.begin(State::idle, static_cast<std::uint16_t>(channel::generation_of(passed.id) + 1),
              Framing::lines, Dialect::article);
  const Rescued rescued = fixture.kept->take_all(Reach::dead);
  CHECK(rescued.connections.empty());
  CHECK(rescued.counts.closed == 1);
  CHECK(has_ended(passed.client));
}

TEST_CASE("an entry is used again with another generation") {
  Fixture fixture;
  const Passed first = fixture.pass();
  CHECK(fixture.kept->finished(first.id));
  const Passed second = fixture.pass();
  CHECK(channel::index_of(second.id) == channel::index_of(first.id));
  CHECK(second.id != first.id);
  CHECK_FALSE(fixture.kept->finished(first.id));
  CHECK(fixture.kept->finished(second.id));
}

TEST_CASE("a connection that is not passed after all gives its entry back") {
  Fixture fixture({.passed = 1});
  const auto [held, client] = Fixture::make(*fixture.custody);
  const std::optional<std::uint64_t> id = fixture.kept->reserve(held.connection);
  REQUIRE(id);
  CHECK_FALSE(fixture.kept->reserve(held.connection));
  fixture.kept->cancel(*id);
  CHECK(fixture.kept->reserve(held.connection));
  CHECK(fixture.kept->count() == 0);
}

TEST_CASE("a connection comes back without a descriptor, and is whole") {
  const test::DescriptorCheck check;
  Fixture fixture;
  const Passed passed = fixture.pass();
  fixture.store(passed, State::idle);
  Connection connection;
  connection.id = passed.id;
  connection.unread = "abc";
  Custody::Hold hold;
  CHECK(fixture.kept->returned(connection, hold));
  CHECK(connection.is_sound());
  CHECK(fixture.kept->count() == 0);
  CHECK(fixture.custody->kept() == 0);
  CHECK(fixture.custody->descriptors() == 1);
  Connection again;
  again.id = passed.id;
  CHECK_FALSE(fixture.kept->returned(again, hold));
}

TEST_CASE("a connection that comes back without the file of its bytes is closed") {
  Fixture fixture;
  const Passed passed = fixture.pass();
  fixture.store(passed, State::idle);
  CHECK(fixture.kept->lost(passed.id));
  CHECK(has_ended(passed.client));
  CHECK(fixture.kept->count() == 0);
  CHECK_FALSE(fixture.kept->lost(passed.id));
}

TEST_CASE("a connection is refused before it was taken, and not after") {
  Fixture fixture;
  const Passed passed = fixture.pass();
  const std::optional<HeldConnection> held = fixture.kept->refused(passed.id);
  REQUIRE(held);
  CHECK(held->connection.socket.valid());
  CHECK(fixture.kept->count() == 0);
  const Passed taken = fixture.pass();
  fixture.store(taken, State::received);
  CHECK_FALSE(fixture.kept->refused(taken.id));
  CHECK(fixture.kept->count() == 1);
}

TEST_CASE("what a worker has not taken can be taken back, and the worker may refuse it later") {
  Fixture fixture;
  const Passed taken = fixture.pass();
  const Passed untaken = fixture.pass();
  const Passed last = fixture.pass();
  fixture.store(taken, State::received);
  const std::deque<HeldConnection> back = fixture.kept->take_untaken();
  REQUIRE(back.size() == 2);
  CHECK(back.front().connection.socket.valid());
  CHECK(fixture.kept->count() == 1);
  CHECK(fixture.kept->unconfirmed() == 0);
  CHECK(fixture.kept->take_untaken().empty());
  for (const Passed* one : {&untaken, &last}) {
    CHECK_FALSE(fixture.kept->refused(one->id));
    CHECK(fixture.kept->had(one->id));
  }
  CHECK_FALSE(fixture.kept->had(taken.id));
  CHECK_FALSE(fixture.kept->had(channel::id_of_entry(channel::kKeptId, 3, 1)));
}

TEST_CASE("what a worker has not taken is counted until it has") {
  Fixture fixture;
  std::vector<Passed> all;
  for (int i = 0; i < 64; ++i) { all.push_back(fixture.pass()); }
  CHECK(fixture.kept->unconfirmed() == 64);
  fixture.store(all[0], State::received);
  fixture.store(all[1], State::idle);
  CHECK(fixture.kept->unconfirmed() == 62);
  CHECK(fixture.kept->finished(all[2].id));
  CHECK(fixture.kept->unconfirmed() == 61);
}

TEST_CASE("a connection that the worker has accepted is rescued once it is deposited") {
  const test::DescriptorCheck check;
  Fixture fixture;
  auto [client, server] = make_socket_pair(SOCK_STREAM);
  const std::uint64_t id = channel::id_of_entry(channel::kOwnId, 201, 5);
  fixture.workers->entry(201).begin(State::received, 5, Framing::lines, Dialect::article);
  Connection connection;
  connection.id = id;
  connection.socket = std::move(server);
  CHECK(fixture.kept->deposited(std::move(connection)));
  CHECK(fixture.kept->deposits() == 1);
  CHECK(fixture.kept->count() == 0);
  fixture.workers->entry(201).store(State::idle);
  const Rescued rescued = fixture.kept->take_all(Reach::dead);
  CHECK(rescued.connections.size() == 1);
  CHECK_FALSE(has_ended(client));
}

TEST_CASE("a deposit that ends is let go, and one that cannot be taken is refused") {
  Fixture fixture;
  const auto deposit = [&](std::uint32_t index) {
    Connection connection;
    connection.id = channel::id_of_entry(channel::kOwnId, index, 1);
    connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    return fixture.kept->deposited(std::move(connection));
  };
  CHECK(deposit(202));
  CHECK_FALSE(deposit(202));
  for (const std::uint32_t index : {0U, 199U, 203U, 0xffffffffU}) { CHECK_FALSE(deposit(index)); }
  fixture.kept->own_ended(channel::id_of_entry(channel::kOwnId, 202, 2));
  CHECK(fixture.kept->deposits() == 1);
  fixture.kept->own_ended(channel::id_of_entry(channel::kOwnId, 202, 1));
  CHECK(fixture.kept->deposits() == 0);
  CHECK(fixture.custody->kept() == 0);
}

TEST_CASE("no copies are kept near the limit of descriptors") {
  Fixture fixture;
  const test::DescriptorLimit limit(66 + 4 * channel::kMaxDescriptors + 2);
  const Passed one = fixture.pass();
  const Passed other = fixture.pass();
  const auto [held, client] = Fixture::make(*fixture.custody);
  CHECK_FALSE(fixture.kept->reserve(held.connection));
  CHECK(fixture.kept->finished(one.id));
  CHECK(fixture.kept->reserve(held.connection));
}

TEST_CASE("copies that are kept leave no room for others in hand") {
  Reactor reactor;
  const auto custody = std::make_shared<Custody>(reactor, 1);
  for (int i = 0; i < 100; ++i) { custody->keep(); }
  const Custody::Hold hold(*custody, channel::kMaxDescriptors);
  const test::DescriptorLimit limit(66 + 100 + 2 * channel::kMaxDescriptors + 1);
  CHECK(custody->has_room());
  custody->keep();
  CHECK_FALSE(custody->has_room());
}

}  // namespace
}  // namespace handoff
