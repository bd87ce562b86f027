// SPDX-License-Identifier: MIT
// The table above WorkerChannel::enter, and what an owner may do from its callbacks.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "master/worker_channel.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A master's end of a channel, and the worker's in the hands of the test.
class Fixture {
 public:
  explicit Fixture(Handshake handshake = Handshake::full) {
    const int type = handshake == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM;
    auto [ours, theirs] = make_socket_pair(type);
    worker = std::move(theirs);
    link = std::make_shared<WorkerChannel>(reactor, life_events(), traffic_events(), custody,
                                           handshake, 1, std::move(ours));
  }

  void run(const std::function<void(Fixture&)>& step = {}) {
    reactor.run([](Fixture& self, std::function<void(Fixture&)> then) -> Task<void> {
      self.link->start();
      for (int i = 0; i < 5; ++i) { co_await self.reactor.yield(); }
      if (then) { then(self); }
      for (int i = 0; i < 5; ++i) { co_await self.reactor.yield(); }
    }(*this, step));
  }

  void say(const std::string& message, const std::vector<int>& descriptors = {}) const {
    CHECK(send_fds(worker.get(), message, descriptors).outcome == SendOutcome::sent);
  }
  void say_hello() const { say(channel::encode_hello({channel::kVersion, 1, 1000})); }
  void say_started(std::vector<std::uint64_t> ids) const {
    say(channel::encode_ids(channel::Type::started, ids));
  }
  void return_connections(std::size_t count) const {
    const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections packed(channel::Type::returned);
    while (packed.count() < count) { packed.add(Connection()); }
    say(packed.bytes(), std::vector<int>(count, connection.get()));
  }
  void pass(std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      link->pass(
          {{.socket = std::move(make_socket_pair(SOCK_STREAM).first)}, Custody::Hold(*custody, 1)});
    }
    link->flush();
  }

  Reactor reactor;
  Fd worker;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  std::vector<HeldConnection> returned;
  std::size_t ready = 0;
  std::size_t closed = 0;
  std::string problem;
  std::function<void()> on_returned = [] {};
  std::function<void()> on_room = [] {};
  std::function<void()> on_ready = [] {};
  std::shared_ptr<WorkerChannel> link;

 private:
  LifeEvents life_events() {
    LifeEvents events;
    events.ready = [this](WorkerChannel&) {
      ++ready;
      on_ready();
    };
    events.closed = [this](WorkerChannel&, const Status& how) {
      ++closed;
      problem = how.is_ok() ? "" : how.why();
    };
    return events;
  }
  TrafficEvents traffic_events() {
    TrafficEvents events;
    events.has_room = [this](WorkerChannel&) { on_room(); };
    events.connections_returned = [this](WorkerChannel&, std::vector<HeldConnection> all) {
      for (HeldConnection& held : all) {
        returned.push_back(std::move(held));
        on_returned();
      }
    };
    events.passes_on = [] { return true; };
    return events;
  }
};

using Step = void (*)(Fixture&);

struct Event {
  const char* name;
  Step happens;
};

constexpr Event kEvents[] = {
    {"HELLO", [](Fixture& its) { its.say_hello(); }},
    {"another message", [](Fixture& its) { its.say(channel::encode_ready()); }},
    {"drain", [](Fixture& its) { its.link->drain({.give_back = true}); }},
    {"the worker's end", [](Fixture& its) { its.worker.reset(); }},
    {"blame", [](Fixture& its) { its.link->fail_with_protocol_error("it was seen"); }},
    {"what is no message", [](Fixture& its) { its.say("nothing"); }},
    {"end", [](Fixture& its) { its.link->end(); }},
};

struct Row {
  WorkerChannelPhase before;
  Step reached;
  WorkerChannelPhase after[std::size(kEvents)];
};

using P = WorkerChannelPhase;
constexpr Row kTable[] = {
    {P::unheard,
     [](Fixture&) {},
     {P::open, P::closed, P::drained_unheard, P::closed, P::closed, P::closed, P::closed}},
    {P::open,
     [](Fixture& its) { its.say_hello(); },
     {P::closed, P::open, P::draining, P::closed, P::closed, P::closed, P::closed}},
    {P::drained_unheard,
     [](Fixture& its) { its.link->drain({}); },
     {P::draining, P::closed, P::drained_unheard, P::closed, P::closed, P::closed, P::closed}},
    {P::draining,
     [](Fixture& its) { its.say_hello(); },
     {P::closed, P::draining, P::draining, P::closed, P::closed, P::closed, P::closed}},
};

TEST_CASE("a channel goes from each phase by each event as its table says") {
  const test::DescriptorCheck check;
  for (const Row& row : kTable) {
    for (std::size_t i = 0; i < std::size(kEvents); ++i) {
      const Event& event = kEvents[i];
      CAPTURE(static_cast<int>(row.before));
      CAPTURE(event.name);
      Fixture fixture;
      row.reached(fixture);
      fixture.run([&](Fixture& its) {
        // Only now, for it has been heard.
        if (row.before == P::draining) { its.link->drain({}); }
        CHECK(its.link->phase() == row.before);
        event.happens(its);
      });
      CHECK(fixture.link->phase() == row.after[i]);
      const bool told = row.after[i] == P::closed && std::string_view(event.name) != "end";
      CHECK(fixture.closed == (told ? 1 : 0));
      CHECK(fixture.problem.empty() == (!told || !fixture.worker.valid()));
    }
  }
}

TEST_CASE("a closed channel is told nothing and tells nothing") {
  for (const Event& event : kEvents) {
    if (std::string_view(event.name) == "the worker's end") { continue; }
    CAPTURE(event.name);
    Fixture fixture;
    fixture.say_hello();
    fixture.run([&](Fixture& its) {
      its.link->fail_with_protocol_error("it was seen");
      CHECK(its.closed == 1);
      if (std::string_view(event.name) == "drain" || std::string_view(event.name) == "blame" ||
          std::string_view(event.name) == "end") {
        event.happens(its);
      } else {
        its.say(channel::encode_ready());
      }
    });
    CHECK(fixture.link->phase() == WorkerChannelPhase::closed);
    CHECK(fixture.closed == 1);
    CHECK(fixture.problem == "it was seen");
    CHECK(fixture.ready == 0);
    CHECK_FALSE(fixture.link->has_room());
  }
}

TEST_CASE("a channel without a handshake is open from the start, and ends with the worker's end") {
  Fixture fixture(Handshake::none);
  CHECK(fixture.link->phase() == WorkerChannelPhase::open);
  CHECK(fixture.link->has_room());
  SUBCASE("while it is open") {
    fixture.run([](Fixture& its) { its.worker.reset(); });
  }
  SUBCASE("while it drains, which its worker sees as the end of what is passed") {
    fixture.run([](Fixture& its) {
      its.pass(1);
      its.link->drain({});
      CHECK(its.link->phase() == WorkerChannelPhase::draining);
      std::array<char, 2> bytes{};
      CHECK(recv(its.worker.get(), bytes.data(), bytes.size(), 0) == 1);
      CHECK(recv(its.worker.get(), bytes.data(), bytes.size(), 0) == 0);
      its.worker.reset();
    });
  }
  CHECK(fixture.link->phase() == WorkerChannelPhase::closed);
  CHECK(fixture.closed == 1);
  CHECK(fixture.problem.empty());
}

/// Sixteen connections that the worker has, and returns in one message.
void return_sixteen(Fixture& fixture) {
  fixture.say_hello();
  fixture.run([](Fixture& its) {
    its.pass(16);
    std::vector<std::uint64_t> ids;
    for (std::uint64_t id = 1; id <= 16; ++id) { ids.push_back(id); }
    its.say_started(ids);
    its.link->drain({.give_back = true});
    its.return_connections(16);
  });
}

TEST_CASE("an owner that ends the channel while it takes a connection back gets the others too") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.on_returned = [&] { fixture.link->end(); };
  return_sixteen(fixture);
  CHECK(fixture.returned.size() == 16);
  CHECK(fixture.link->assigned() == 0);
  CHECK(fixture.link->phase() == WorkerChannelPhase::closed);
  CHECK(fixture.closed == 0);
}

TEST_CASE("an owner that blames the worker while it takes a connection back is told of one end") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.on_returned = [&] { fixture.link->fail_with_protocol_error("it was seen"); };
  return_sixteen(fixture);
  CHECK(fixture.returned.size() == 16);
  CHECK(fixture.closed == 1);
  CHECK(fixture.problem == "it was seen");
}

TEST_CASE("an owner may pass connections whenever it is told of room") {
  const test::DescriptorCheck check;
  Fixture fixture;
  int left = 3;
  fixture.on_room = [&] {
    if (left-- > 0) { fixture.pass(1); }
  };
  fixture.say_hello();
  fixture.run([](Fixture& its) {
    its.pass(1);
    its.say_started({1});
  });
  CHECK(fixture.link->assigned() == 2);
  CHECK(fixture.link->unacknowledged() == 1);
  CHECK(fixture.closed == 0);
}

TEST_CASE("an owner may give a refused connection to the same worker again, or take all back") {
  const test::DescriptorCheck check;
  Fixture fixture;
  bool again = true;
  fixture.on_returned = [&] {
    if (!std::exchange(again, false)) { return; }
    fixture.link->pass(std::move(fixture.returned.back()));
    fixture.returned.pop_back();
    for (HeldConnection& held : fixture.link->take_all(Reach::dead)) {
      fixture.returned.push_back(std::move(held));
    }
  };
  fixture.say_hello();
  fixture.run([](Fixture& its) {
    its.pass(3);
    const std::vector<std::uint64_t> ids = {1, 2};
    its.say(channel::encode_ids(channel::Type::refused, ids));
  });
  CHECK(fixture.returned.size() == 3);
  CHECK(fixture.link->assigned() == 0);
  CHECK(fixture.closed == 0);
  fixture.returned.clear();
  CHECK(fixture.custody->descriptors() == 0);
}

TEST_CASE("an owner that ends the channel when its worker is ready hears no more of it") {
  Fixture fixture;
  fixture.on_ready = [&] { fixture.link->end(); };
  fixture.say_hello();
  fixture.say(channel::encode_ready());
  fixture.say(channel::encode_ready());
  fixture.run();
  CHECK(fixture.ready == 1);
  CHECK(fixture.closed == 0);
}

}  // namespace
}  // namespace handoff
