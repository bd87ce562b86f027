// SPDX-License-Identifier: MIT
#include "master/pass_connection.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "master/worker_channel.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// Workers that have said HELLO and nothing more; nothing is sent before flush().
class Cluster {
 public:
  explicit Cluster(Balance balance) : balancer(balance) {}

  WorkerChannel& join(int number, std::uint32_t credits = 1000) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    const std::string hello = channel::encode_hello({channel::kVersion, 1, credits});
    CHECK(write(theirs.get(), hello.data(), hello.size()) > 0);
    ends_.push_back(std::move(theirs));
    links_.push_back(std::make_shared<WorkerChannel>(reactor_, LifeEvents{}, TrafficEvents{},
                                                     custody_, Handshake::full, number,
                                                     std::move(ours)));
    links_.back()->start();
    turn();
    mode.worker_joined(*links_.back());
    return *links_.back();
  }

  void arrive(const std::string& peer = "127.0.0.1:1") {
    balancer.pass({{.socket = std::move(make_socket_pair(SOCK_STREAM).first),
                    .peer = Address::parse(peer).resolve().front()}});
  }

  /// The worker says STARTED. Its channel is started again, for its tasks end with each turn.
  void start(int number, const std::vector<std::uint64_t>& ids) {
    const std::string started = channel::encode_ids(channel::Type::started, ids);
    const int end = ends_.at(static_cast<std::size_t>(number - 1)).get();
    CHECK(write(end, started.data(), started.size()) > 0);
    links_.at(static_cast<std::size_t>(number - 1))->start();
    turn();
  }

  Balancer balancer;
  PassConnection mode{balancer};

 private:
  void turn() {
    reactor_.run([](Reactor& reactor) -> Task<void> {
      for (int i = 0; i < 3; ++i) { co_await reactor.yield(); }
    }(reactor_));
  }

  Reactor reactor_;
  std::shared_ptr<Custody> custody_ = std::make_shared<Custody>(reactor_, 4);
  std::vector<Fd> ends_;
  std::deque<std::shared_ptr<WorkerChannel>> links_;
};

TEST_CASE("round robin gives each worker one in turn") {
  Cluster cluster(Balance::round_robin);
  WorkerChannel& one = cluster.join(1);
  WorkerChannel& two = cluster.join(2);
  WorkerChannel& three = cluster.join(3);
  for (int i = 0; i < 7; ++i) { cluster.arrive(); }
  CHECK(one.assigned() == 3);
  CHECK(two.assigned() == 2);
  CHECK(three.assigned() == 2);
}

TEST_CASE("least gives a newcomer all until it holds as many as the others") {
  Cluster cluster(Balance::least);
  WorkerChannel& one = cluster.join(1);
  WorkerChannel& two = cluster.join(2);
  for (int i = 0; i < 10; ++i) { cluster.arrive(); }
  CHECK(one.assigned() == 5);
  CHECK(two.assigned() == 5);
  WorkerChannel& three = cluster.join(3);
  for (int i = 0; i < 5; ++i) { cluster.arrive(); }
  CHECK(three.assigned() == 5);
  for (int i = 0; i < 3; ++i) { cluster.arrive(); }
  CHECK(one.assigned() == 6);
  CHECK(two.assigned() == 6);
  CHECK(three.assigned() == 6);
}

TEST_CASE("hash gives a host's connections to one worker, whatever their ports") {
  Cluster cluster(Balance::hash);
  std::vector<WorkerChannel*> links;
  for (int number = 1; number <= 4; ++number) { links.push_back(&cluster.join(number)); }
  const auto chosen = [&](const std::string& peer) {
    std::vector<std::size_t> before;
    for (WorkerChannel* link : links) { before.push_back(link->assigned()); }
    cluster.arrive(peer);
    for (std::size_t i = 0; i < links.size(); ++i) {
      if (links[i]->assigned() > before[i]) { return links[i]->number(); }
    }
    return 0;
  };
  std::vector<int> numbers;
  std::vector<int> count(5);
  for (int host = 1; host <= 50; ++host) {
    numbers.push_back(chosen(fmt::format("10.0.0.{}:1000", host)));
    CHECK(chosen(fmt::format("10.0.0.{}:2000", host)) == numbers.back());
    ++count[static_cast<std::size_t>(numbers.back())];
  }
  CHECK(*std::min_element(count.begin() + 1, count.end()) > 2);

  // Another in the place of the second, by its number.
  cluster.mode.worker_left(*links[1]);
  links[1] = &cluster.join(2);
  for (int host = 1; host <= 50; ++host) {
    CHECK(chosen(fmt::format("10.0.0.{}:3000", host)) ==
          numbers[static_cast<std::size_t>(host - 1)]);
  }
}

TEST_CASE("without room connections wait, in their order, and go to whoever has room first") {
  Cluster cluster(Balance::round_robin);
  CHECK_FALSE(cluster.balancer.has_room());
  cluster.arrive();
  cluster.arrive();
  CHECK(cluster.balancer.waiting() == 2);
  WorkerChannel& one = cluster.join(1, 1);
  CHECK(one.assigned() == 1);
  CHECK(cluster.balancer.waiting() == 1);
  CHECK_FALSE(cluster.balancer.has_room());
  WorkerChannel& two = cluster.join(2);
  CHECK(two.assigned() == 1);
  CHECK(cluster.balancer.waiting() == 0);
  CHECK(cluster.balancer.has_room());
}

TEST_CASE("what a worker that leaves was not sent goes to others, and what it was sent does not") {
  Cluster cluster(Balance::round_robin);
  WorkerChannel& one = cluster.join(1);
  cluster.arrive();
  cluster.balancer.flush();
  WorkerChannel& two = cluster.join(2);
  cluster.arrive();
  CHECK(one.assigned() == 2);
  cluster.mode.worker_left(one);
  CHECK(one.assigned() == 1);
  CHECK(two.assigned() == 1);
}

TEST_CASE("what a dead worker had not started goes to others, whether it had left before or not") {
  for (const bool has_left : {false, true}) {
    CAPTURE(has_left);
    Cluster cluster(Balance::round_robin);
    WorkerChannel& one = cluster.join(1);
    for (int i = 0; i < 3; ++i) { cluster.arrive(); }
    cluster.balancer.flush();
    cluster.start(1, {2});
    if (has_left) { cluster.mode.worker_left(one); }
    cluster.mode.worker_gone(one, {});
    CHECK(one.assigned() == 1);
    CHECK(cluster.balancer.waiting() == 2);
    CHECK(cluster.join(2).assigned() == 2);
    cluster.mode.worker_left(one);  // and nothing happens
    CHECK(one.assigned() == 1);
  }
}

}  // namespace
}  // namespace handoff
