// SPDX-License-Identifier: MIT
#include "master/pass_listener.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "played_channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Channel = test::PlayedChannel;

/// The mode with two listeners, and workers whose ends are the test's.
struct Fixture {
  Fixture() {
    std::vector<Listener> both;
    both.push_back(listen_on(Address::parse("127.0.0.1:0")));
    both.push_back(listen_on(Address::parse("127.0.0.1:0")));
    listeners.add_guarded(
        std::move(both), [](Severity, std::string_view) {}, [](ListenerGuard::Healed) {});
  }
  Channel& add(Channel::Kind kind = {}) {
    const int number = static_cast<int>(workers.size()) + 1;
    return workers.emplace_back(reactor, custody, number, kind);
  }
  Channel& join(Channel::Kind kind = {}) {
    Channel& worker = add(kind);
    mode.worker_joined(*worker.link);
    return worker;
  }

  Reactor reactor;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 4);
  Balancer balancer{Balance::least};
  ClientListeners listeners{reactor};
  PassListener mode{balancer, listeners};
  std::list<Channel> workers;
};

/// Whether the worker is given both listeners.
bool gets_listeners(const Channel& worker, const std::vector<int>& expected) {
  const auto message = worker.hears();
  if (!message || message->type != channel::Type::listener) { return false; }
  if (message->descriptors.size() != expected.size()) { return false; }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!test::same_file(message->descriptors[i].get(), expected[i])) { return false; }
  }
  return true;
}

/// Whether the worker is woken to look at its listeners.
bool is_woken(const Channel& worker) {
  const auto message = worker.hears();
  return message && message->type == channel::Type::listener && message->descriptors.empty();
}

TEST_CASE("workers get the listeners once these are offered, and at once when they join later") {
  const test::DescriptorCheck check;
  Fixture fixture;
  const std::vector<int> numbers = fixture.listeners.numbers();
  CHECK(numbers.size() == 2);
  CHECK(fixture.mode.inheritance() == numbers);
  Channel& early = fixture.join();
  CHECK_FALSE(early.hears());
  fixture.mode.offer_listeners();
  CHECK(gets_listeners(early, numbers));
  CHECK(gets_listeners(fixture.join(), numbers));
  CHECK_FALSE(early.hears());
  fixture.mode.offer_listeners();  // others, in their place
  CHECK(gets_listeners(early, numbers));
}

TEST_CASE("without a handshake only a worker that has joined is given the listeners") {
  Fixture fixture;
  fixture.mode.offer_listeners();
  const Channel& spawned = fixture.join({Handshake::none, WorkerOrigin::spawned});
  const Channel& joined = fixture.join({Handshake::none, WorkerOrigin::joined});
  std::array<char, 2> bytes{};
  CHECK(recv_fds(spawned.worker.get(), bytes, 2).outcome == ReceiveOutcome::would_block);
  const ReceiveResult received = recv_fds(joined.worker.get(), bytes, 2);
  CHECK(received.size == 1);
  CHECK(received.descriptors.size() == 2);
}

TEST_CASE("a worker that leaves a client to others has all others woken") {
  Fixture fixture;
  fixture.mode.offer_listeners();
  Channel& busy = fixture.join();
  Channel& other = fixture.join();
  Channel& left = fixture.join();
  fixture.mode.worker_left(*left.link);
  for (Channel& worker : fixture.workers) {
    CHECK(gets_listeners(worker, fixture.listeners.numbers()));
  }
  busy.say(channel::encode_passing(channel::Type::listener, 0));
  test::turn(fixture.reactor);
  CHECK(is_woken(other));
  CHECK_FALSE(busy.hears());
  CHECK_FALSE(left.hears());
}

TEST_CASE("a worker that was given no listeners wakes nobody") {
  Fixture fixture;
  Channel& early = fixture.join();
  const Channel& other = fixture.join();
  early.say(channel::encode_passing(channel::Type::listener, 0));
  test::turn(fixture.reactor);
  CHECK_FALSE(other.hears());
  CHECK_FALSE(early.problem);
}

TEST_CASE("the end of a worker has the others woken, for a client may have woken it alone") {
  Fixture fixture;
  fixture.mode.offer_listeners();
  Channel& dead = fixture.join();
  const Channel& other = fixture.join();
  CHECK(gets_listeners(other, fixture.listeners.numbers()));
  fixture.mode.worker_gone(*dead.link, {});
  CHECK(is_woken(other));
}

TEST_CASE("what is returned goes to a worker, and on to another when that had not started it") {
  Fixture fixture;
  Channel& one = fixture.join();
  Channel& two = fixture.add();
  test::turn(fixture.reactor);
  fixture.balancer.room_changed(*one.link);
  std::vector<HeldConnection> returned(1);
  returned.front().connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
  fixture.balancer.pass_on(std::move(returned));
  CHECK(one.link->assigned() == 1);
  fixture.mode.worker_joined(*two.link);
  fixture.mode.worker_gone(*one.link, {});
  CHECK(one.link->assigned() == 0);
  CHECK(two.link->assigned() == 1);
  fixture.mode.worker_left(*two.link);
  CHECK(fixture.balancer.is_empty());
  two.link->take_all(Reach::dead);
}

TEST_CASE("a worker for whose listeners there is no descriptor is given up within the call") {
  Fixture fixture;
  fixture.mode.offer_listeners();
  Channel& worker = fixture.add();
  {
    const test::DescriptorLimit none(0);
    fixture.mode.worker_joined(*worker.link);
  }
  REQUIRE(worker.problem);
  CHECK(worker.problem->starts_with("it could not be given the listeners: "));
  CHECK_FALSE(worker.link->open());
}

TEST_CASE("workers are told of the proxies, and one that reads no headers is given up") {
  Fixture fixture;
  PassListener mode(fixture.balancer, fixture.listeners, "unix 10.0.0.0/8");
  mode.offer_listeners();
  Channel& reads = fixture.add({.reads_proxies = true});
  Channel& ignores = fixture.add();
  test::turn(fixture.reactor);  // the master hears HELLO
  mode.worker_joined(*reads.link);
  const auto message = reads.hears();
  REQUIRE(message);
  CHECK(message->proxies == "unix 10.0.0.0/8");
  CHECK(message->descriptors.size() == 2);
  mode.worker_joined(*ignores.link);
  REQUIRE(ignores.problem);
  CHECK(*ignores.problem == "it does not read the headers of proxies, which --proxy-from needs");
  CHECK_FALSE(ignores.hears());
}

TEST_CASE("a master that has closed its listeners offers none") {
  Fixture fixture;
  fixture.mode.offer_listeners();
  fixture.listeners.close();
  Channel& worker = fixture.join();
  CHECK_FALSE(worker.hears());
  CHECK_FALSE(worker.problem);
  CHECK(fixture.mode.inheritance().empty());
}

}  // namespace
}  // namespace handoff
