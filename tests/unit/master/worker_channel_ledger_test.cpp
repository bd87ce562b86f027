// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "master/worker_channel.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "pass/ledger.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using ledger::State;

/// A master's end of a channel, and a worker with a ledger that the test plays.
class Played {
 public:
  explicit Played(WorkerOrigin origin = WorkerOrigin::spawned) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    worker_ = std::move(theirs);
    LifeEvents life;
    life.closed = [this](WorkerChannel&, const Status& how) {
      problems.push_back(how.is_ok() ? "its end" : how.why());
    };
    TrafficEvents traffic;
    traffic.connections_returned = [this](WorkerChannel&, std::vector<HeldConnection> all) {
      for (HeldConnection& held : all) { returned.push_back(std::move(held)); }
    };
    traffic.rescued = [this](WorkerChannel&, const RescueCounts& counts) { rescued = counts; };
    traffic.passes_on = [] { return true; };
    traffic.has_room = [this](WorkerChannel&) { ++has_room; };
    link = std::make_shared<WorkerChannel>(reactor_, std::move(life), std::move(traffic), custody,
                                           Handshake::full, 1, std::move(ours), origin);
  }
  ~Played() {
    link->end();
    returned.clear();  // while there is a custody
  }

  void run(Task<void> body) { reactor_.run(std::move(body)); }
  Task<void> turns() {
    for (int i = 0; i < 5; ++i) { co_await reactor_.yield(); }
  }

  /// Says HELLO, and maps the ledger that comes, if one does.
  Task<void> greet(std::uint32_t credits = 1000, bool counts_methods = false) {
    link->start();
    channel::Hello hello{channel::kVersion, 1, credits};
    hello.wants_ledger = true;
    hello.counts_methods = counts_methods;
    send(channel::encode_hello(hello));
    co_await turns();
    std::optional<channel::Message> message = receive();
    if (!message) { co_return; }
    REQUIRE(message->type == channel::Type::ledger);
    REQUIRE(message->descriptors.size() == 1);
    ledger.emplace(ledger::Ledger::open(message->descriptors.front()));
  }

  /// The master passes a connection; its client.
  Fd pass(std::string unread = "", std::string owed = "") {
    auto [client, server] = make_socket_pair(SOCK_STREAM);
    HeldConnection held;
    held.connection.socket = std::move(server);
    held.connection.framing = Framing::lines;
    held.connection.unread = std::move(unread);
    held.connection.owed = std::move(owed);
    held.hold = Custody::Hold(*custody, 1);
    link->pass(std::move(held));
    return std::move(client);
  }

  std::optional<channel::Message> receive() {
    std::array<char, channel::kMaxMessage> packet;
    ReceiveResult result = recv_fds(worker_.get(), packet, channel::kMaxDescriptors);
    if (result.outcome != ReceiveOutcome::received) { return std::nullopt; }
    return channel::decode({packet.data(), result.size}, std::move(result.descriptors));
  }

  /// The master passes listeners, so that the worker may accept and deposit connections.
  void pass_listener() {
    std::vector<Fd> listeners;
    listeners.push_back(std::move(make_socket_pair(SOCK_STREAM).first));
    link->pass_listeners(std::move(listeners), [] {});
    CHECK(receive()->type == channel::Type::listener);
  }

  void send(const std::string& message, const std::vector<int>& descriptors = {}) {
    CHECK(send_fds(worker_.get(), message, descriptors).outcome == SendOutcome::sent);
  }
  void say(channel::Type type, std::uint64_t id) {
    send(channel::encode_ids(type, std::array<std::uint64_t, 1>{id}));
  }
  /// The worker takes what was passed, and stores this.
  bool take(std::uint64_t id, State state) {
    ledger::Entry& entry = ledger->entry(channel::index_of(id));
    if (!entry.take(State::received, channel::generation_of(id))) { return false; }
    entry.store(state);
    return true;
  }

  std::optional<ledger::Ledger> ledger;
  std::size_t has_room = 0;  ///< how often the master was told that there is room
  std::vector<std::string> problems;
  std::vector<HeldConnection> returned;
  std::optional<RescueCounts> rescued;

 private:
  Reactor reactor_;
  Fd worker_;

 public:
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor_, 1);
  std::shared_ptr<WorkerChannel> link;
};

bool is_kept(std::uint64_t id) {
  return (id & channel::kKeptId) != 0;
}

TEST_CASE("a worker that wants a ledger gets it, and of what it is passed a copy is kept") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    REQUIRE(its.ledger);
    CHECK(its.ledger->shape().passed == 1000);
    const Fd client = its.pass();
    its.link->flush();
    const auto message = its.receive();
    REQUIRE(message);
    REQUIRE(message->connections.size() == 1);
    const Connection& connection = message->connections.front();
    CHECK(is_kept(connection.id));
    CHECK_FALSE(connection.wants_started);
    const ledger::Snapshot entry(its.ledger->entry(channel::index_of(connection.id)));
    CHECK(entry.state() == State::passed);
    CHECK(entry.framing() == Framing::lines);
    CHECK(its.link->assigned() == 1);
    CHECK(its.link->unacknowledged() == 1);
    CHECK(its.take(connection.id, State::idle));
    CHECK(its.link->unacknowledged() == 0);
    CHECK(its.link->assigned() == 1);
    its.say(channel::Type::finished, connection.id);
    co_await its.turns();
    CHECK(its.link->assigned() == 0);
    CHECK(its.custody->kept() == 0);
    CHECK(its.problems.empty());
  }(played));
}

TEST_CASE("a connection that brings bytes along asks for STARTED") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    const Fd client = its.pass("half");
    its.link->flush();
    const auto message = its.receive();
    REQUIRE(message);
    CHECK(message->connections.front().wants_started);
    CHECK(message->connections.front().unread == "half");
  }(played));
}

TEST_CASE("a worker that gets no more for the moment says when it has taken what it got") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    std::vector<Fd> clients;
    while (its.link->has_room()) { clients.push_back(its.pass()); }
    // The worker is so fast that it has taken each of them when the next is sent.
    for (std::uint32_t i = 0; i < clients.size(); ++i) {
      const std::uint16_t generation = ledger::Snapshot(its.ledger->entry(i)).generation();
      CHECK(its.take(channel::id_of_entry(channel::kKeptId, i, generation), State::idle));
    }
    its.link->flush();
    co_await its.turns();
    its.has_room = 0;
    while (const auto message = its.receive()) {
      for (const Connection& connection : message->connections) {
        if (connection.wants_started) { its.say(channel::Type::started, connection.id); }
      }
    }
    co_await its.turns();
    CHECK(its.has_room > 0);
    CHECK(its.link->has_room());
  }(played));
}

TEST_CASE("a worker that is passed over keeps what it has taken, and gets more when it answers") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    const Fd taken = its.pass();
    const Fd untaken = its.pass();
    its.link->flush();
    CHECK(its.take(channel::id_of_entry(channel::kKeptId, 0, 1), State::idle));
    its.link->pass_over();
    CHECK(its.returned.size() == 1);
    CHECK(its.link->assigned() == 1);
    CHECK_FALSE(its.link->has_room());
    CHECK_FALSE(its.take(channel::id_of_entry(channel::kKeptId, 1, 1), State::received));
    its.has_room = 0;
    its.send(channel::encode_requests(7));
    co_await its.turns();
    CHECK(its.has_room > 0);
    CHECK(its.link->has_room());
    CHECK(its.problems.empty());
  }(played));
}

TEST_CASE("a kept connection comes back without a descriptor and goes on whole") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    const Fd client = its.pass();
    its.link->flush();
    auto message = its.receive();
    REQUIRE(message);
    Connection& connection = message->connections.front();
    CHECK(its.take(connection.id, State::idle));
    channel::PackedConnections packed(channel::Type::returned);
    CHECK(packed.add(connection));
    its.send(packed.bytes());
    co_await its.turns();
    REQUIRE(its.returned.size() == 1);
    CHECK(its.returned.front().connection.is_sound());
    CHECK(its.link->assigned() == 0);
    CHECK(its.problems.empty());
  }(played));
}

TEST_CASE("the connections of a dead worker are given out as its ledger says") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    std::vector<Fd> clients;
    for (int i = 0; i < 4; ++i) { clients.push_back(its.pass()); }
    its.link->flush();
    const auto message = its.receive();
    REQUIRE(message);
    REQUIRE(message->connections.size() == 4);
    CHECK(its.take(message->connections[0].id, State::idle));
    CHECK(its.take(message->connections[1].id, State::busy));
    CHECK(its.take(message->connections[2].id, State::running));
    const Fd unsent = its.pass();
    const auto all = its.link->take_all(Reach::dead);
    CHECK(all.size() == 4);
    REQUIRE(its.rescued);
    CHECK(its.rescued->moved == 2);
    CHECK(its.rescued->answered == 1);
    CHECK(its.rescued->closed == 1);
    CHECK(its.link->assigned() == 0);
    CHECK(its.custody->kept() == 0);
    co_return;
  }(played));
}

TEST_CASE("of a worker whose process is not known no copies are kept") {
  Played played(WorkerOrigin::joined_from_elsewhere);
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    REQUIRE(its.ledger);
    const Fd client = its.pass();
    its.link->flush();
    const auto message = its.receive();
    REQUIRE(message);
    CHECK_FALSE(is_kept(message->connections.front().id));
    CHECK(message->connections.front().wants_started);
    its.say(channel::Type::started, message->connections.front().id);
    co_await its.turns();
    CHECK(its.link->assigned() == 1);
    CHECK(its.link->unacknowledged() == 0);
  }(played));
}

TEST_CASE("a worker without room for a file gets no ledger and is served without it") {
  Played played;
  const test::FileSizeLimit limit(100);
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    CHECK_FALSE(its.ledger);
    const Fd client = its.pass();
    its.link->flush();
    const auto message = its.receive();
    REQUIRE(message);
    CHECK_FALSE(is_kept(message->connections.front().id));
    CHECK_FALSE(message->connections.front().wants_started);
    CHECK(its.problems.empty());
  }(played));
}

TEST_CASE("what a worker says of a kept connection that it does not have breaks the protocol") {
  for (const channel::Type type :
       {channel::Type::started, channel::Type::finished, channel::Type::refused}) {
    CAPTURE(static_cast<int>(type));
    Played played;
    played.run([](Played& its, channel::Type said) -> Task<void> {
      co_await its.greet();
      its.say(said, channel::id_of_entry(channel::kKeptId, 0, 1));
      co_await its.turns();
      CHECK(its.problems.size() == 1);
    }(played, type));
  }
}

TEST_CASE("a kept number means nothing from a worker without a ledger") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    its.link->start();
    its.send(channel::encode_hello({channel::kVersion, 1, 10}));
    co_await its.turns();
    Connection connection;
    connection.id = channel::id_of_entry(channel::kKeptId, 0, 1);
    channel::PackedConnections packed(channel::Type::returned);
    CHECK(packed.add(connection));
    its.send(packed.bytes());
    co_await its.turns();
    CHECK(its.problems.size() == 1);
    CHECK(its.returned.empty());
  }(played));
}

TEST_CASE("a worker without a ledger is sent no reply that is owed: the client has it before") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    its.link->start();
    its.send(channel::encode_hello({channel::kVersion, 1, 10}));
    co_await its.turns();
    const Fd client = its.pass("", "owed\n");
    its.link->flush();
    const auto message = its.receive();
    REQUIRE(message);
    CHECK(message->connections.front().owed.empty());
    std::array<char, 16> reply{};
    REQUIRE(recv(client.get(), reply.data(), reply.size(), MSG_DONTWAIT) == 5);
    CHECK(std::string_view(reply.data(), 5) == "owed\n");
  }(played));
}

TEST_CASE("a deposit replaces the one that had its entry before") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet(2);
    its.pass_listener();
    for (const std::uint16_t generation : {std::uint16_t{1}, std::uint16_t{2}}) {
      Connection one;
      one.id = channel::id_of_entry(channel::kOwnId, 2, generation);
      one.socket = std::move(make_socket_pair(SOCK_STREAM).first);
      channel::PackedConnections packed(channel::Type::deposit);
      CHECK(packed.add(one));
      its.say(channel::Type::started, one.id);
      its.send(packed.bytes(), {one.socket.get()});
      co_await its.turns();
    }
    CHECK(its.link->kept() == 1);
    CHECK_FALSE(its.receive());  // nothing was refused
    its.say(channel::Type::finished, channel::id_of_entry(channel::kOwnId, 2, 1));
    co_await its.turns();
    CHECK(its.link->kept() == 1);
  }(played));
}

TEST_CASE("a worker deposits no more connections than it has accepted") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet(2);
    its.pass_listener();
    Connection one;
    one.id = channel::id_of_entry(channel::kOwnId, 2, 1);
    one.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections packed(channel::Type::deposit);
    CHECK(packed.add(one));
    its.send(packed.bytes(), {one.socket.get()});
    co_await its.turns();
    CHECK(its.link->kept() == 0);
    CHECK(its.receive()->type == channel::Type::refused);
  }(played));
}

TEST_CASE("deposits that are not kept are refused, and that is no violation") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet(2);
    its.pass_listener();
    channel::PackedConnections packed(channel::Type::deposit);
    std::vector<Connection> deposits;
    for (const std::uint32_t index : {2U, 0xffffffffU}) {
      Connection& one = deposits.emplace_back();
      one.id = channel::id_of_entry(channel::kOwnId, index, 1);
      one.socket = std::move(make_socket_pair(SOCK_STREAM).first);
      CHECK(packed.add(one));
    }
    const std::vector<int> descriptors(packed.descriptors().begin(), packed.descriptors().end());
    its.send(channel::encode_ids(channel::Type::started,
                                 std::array<std::uint64_t, 2>{deposits[0].id, deposits[1].id}));
    its.send(packed.bytes(), descriptors);
    co_await its.turns();
    CHECK(its.problems.empty());
    CHECK(its.link->kept() == 1);
    CHECK(its.link->assigned() == 2);
    const auto message = its.receive();
    REQUIRE(message);
    CHECK(message->type == channel::Type::refused);
    CHECK(message->ids == std::vector<std::uint64_t>{deposits[1].id});
    its.say(channel::Type::finished, deposits[0].id);
    co_await its.turns();
    CHECK(its.link->kept() == 0);
    CHECK(its.link->assigned() == 1);
  }(played));
}

TEST_CASE("a deposit that goes to another worker is assigned to the dead one no more") {
  for (const Reach reach : {Reach::dead, Reach::on_its_way}) {
    CAPTURE(static_cast<int>(reach));
    Played played;
    played.run([](Played& its, Reach how) -> Task<void> {
      co_await its.greet(2);
      its.link->pass_listeners({}, [] {});
      CHECK(its.receive()->type == channel::Type::listener);
      Connection deposit;
      deposit.id = channel::id_of_entry(channel::kOwnId, 2, 1);
      deposit.socket = std::move(make_socket_pair(SOCK_STREAM).first);
      its.ledger->entry(2).begin(State::idle, 1, Framing::lines, Dialect::article);
      channel::PackedConnections packed(channel::Type::deposit);
      CHECK(packed.add(deposit));
      its.say(channel::Type::started, deposit.id);
      its.send(packed.bytes(), {packed.descriptors().begin(), packed.descriptors().end()});
      co_await its.turns();
      CHECK(its.link->kept() == 1);
      const bool dies = how == Reach::dead;
      CHECK(its.link->take_all(how).size() == (dies ? 1 : 0));
      CHECK(its.link->assigned() == (dies ? 0 : 1));
    }(played, reach));
  }
}

TEST_CASE("what a worker has counted in its ledger is known without a question") {
  Played played;
  played.run([](Played& its) -> Task<void> {
    co_await its.greet();
    REQUIRE(its.link->has_ledger());
    ledger::Counters& counters = its.ledger->counters(0);
    ledger::Counters::add(counters.requests, 5);
    ledger::Counters::add(counters.active_calls, 2);
    CHECK(its.link->totals().requests == 5);
    CHECK(its.link->active_calls() == 2);
    CHECK(!its.link->knows_more());
    its.link->pass_listeners({}, [] {});
    CHECK(its.link->knows_more());
    its.link->end();
    CHECK(its.link->totals().requests == 5);
  }(played));
}

TEST_CASE("a worker that counts by method gets room for it in its ledger, and no other does") {
  for (const bool counts : {false, true}) {
    Played played;
    played.run([](Played& its, bool asks) -> Task<void> {
      co_await its.greet(1000, asks);
      REQUIRE(its.ledger);
      CHECK(its.ledger->shape().methods == (asks ? ledger::kMethodSlots : 0));
      if (!asks) {
        CHECK(its.link->method_totals().by_name().empty());
        co_return;
      }
      its.ledger->method_name(2).store("sum");
      ledger::Counters::add(its.ledger->method_counters(0)[2].requests, 3);
      its.link->end();
      CHECK(its.link->method_totals().by_name().at("sum").requests == 3);
    }(played, counts));
  }
}

}  // namespace
}  // namespace handoff
