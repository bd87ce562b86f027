// SPDX-License-Identifier: MIT
#include "master/worker_roster.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

#include "os/socket.hpp"
#include "worker_fakes.hpp"

namespace handoff {
namespace {

using std::chrono::seconds;
using Told = std::vector<std::string>;

SupervisorOptions with_handshake(Handshake handshake) {
  SupervisorOptions options;
  options.handshake = handshake;
  return options;
}

/// A roster whose listener is the test.
struct Fixture final : private WorkerListener {
  explicit Fixture(const SupervisorOptions& options = {})
      : roster(
            reactor, clock, mode, balancer, custody, spawner.function(), options,
            [this](Severity, std::string_view line) { lines.emplace_back(line); },
            static_cast<WorkerListener&>(*this), [] {}) {}

  /// Everything that is under way goes on until it waits for the test.
  Task<void> settle() {
    for (int i = 0; i < 12; ++i) { co_await reactor.yield(); }
  }
  /// A worker joins; this is its end of the channel.
  Fd join(int number) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    roster.adopt(number, std::move(ours));
    return std::move(theirs);
  }

  Reactor reactor;
  test::ManualClock clock;
  test::RecordingMode mode;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  Balancer balancer{Balance::round_robin};
  test::PlayedSpawner spawner;
  std::vector<std::string> lines;  ///< of the log
  Told told;
  WorkerRoster roster;

 private:
  void worker_ready(SupervisedWorker& worker) override {
    told.push_back("ready " + std::to_string(worker.id().number));
    worker.serve();
  }
  void worker_asks_to_leave(SupervisedWorker&) override { told.emplace_back("asks"); }
  void worker_ended(SupervisedWorker& worker) override {
    told.push_back("ended " + std::to_string(worker.id().number));
  }
};

void play(Fixture& fixture, Task<void> (*test)(Fixture&)) {
  fixture.reactor.run(test(fixture));
}

TEST_CASE("a worker that was spawned is in the roster until it has ended and was heard out") {
  Fixture fixture;
  fixture.mode.inherited = {0, 2};
  play(fixture, [](Fixture& on) -> Task<void> {
    on.roster.spawn(3);
    CHECK(on.spawner.inherited == std::vector<int>{0, 2});
    on.spawner.last().say_ready();
    co_await on.settle();
    CHECK(on.told == Told{"ready 3"});
    CHECK(on.roster.spawned() == 1);
    CHECK(on.roster.joined() == 0);
    on.spawner.last().say(channel::encode_requests(7));
    on.spawner.last().end();
    const auto worker = on.roster.workers().front();
    co_await on.settle();
    CHECK(worker->link()->totals().requests == 7);
    CHECK(on.roster.workers().empty());
    CHECK(on.told.back() == "ended 3");
  });
  CHECK(fixture.mode.told == Told{"joined 3", "left 3", "gone 3"});
}

TEST_CASE("two workers of one number have incarnations of their own") {
  Fixture fixture;
  play(fixture, [](Fixture& on) -> Task<void> {
    const auto one = on.roster.spawn(1);
    const auto other = on.roster.spawn(1);
    CHECK_FALSE(one->id() == other->id());
    for (const auto& process : on.spawner.processes) { process->end(); }
    co_await on.settle();
    CHECK(on.roster.workers().empty());
  });
}

TEST_CASE("a worker that can't be started is not in the roster") {
  Fixture fixture;
  fixture.spawner.fails = 1;
  CHECK_THROWS_AS(fixture.roster.spawn(1), SystemError);
  CHECK(fixture.roster.workers().empty());
  CHECK(fixture.roster.spawned() == 0);
}

TEST_CASE("without a handshake a worker is ready at once, and told by a signal if it accepts") {
  for (const bool accepts : {false, true}) {
    CAPTURE(accepts);
    Fixture fixture(with_handshake(Handshake::none));
    if (accepts) { fixture.mode.inherited = {0}; }
    play(fixture, [](Fixture& on) -> Task<void> {
      on.roster.spawn(1);
      co_await on.settle();
      CHECK(on.told == Told{"ready 1"});
      on.roster.workers().front()->drain(LeaveReason::stopping);
      on.spawner.last().end();
      co_await on.settle();
      CHECK(on.roster.workers().empty());
    });
    CHECK(fixture.spawner.last().told == (accepts ? Told{"TERM"} : Told{}));
  }
}

TEST_CASE("a worker that joins is in the roster until its channel has ended") {
  Fixture fixture;
  play(fixture, [](Fixture& on) -> Task<void> {
    Fd end = on.join(5);
    co_await on.settle();
    CHECK(on.roster.joined() == 1);
    CHECK(on.roster.spawned() == 0);
    end.reset();
    co_await on.settle();
    CHECK(on.roster.workers().empty());
    CHECK(on.told == Told{"ended 5"});
  });
}

TEST_CASE("a worker that answers nothing is killed after the hang timeout") {
  Fixture fixture;
  play(fixture, [](Fixture& on) -> Task<void> {
    on.roster.spawn(1);
    on.spawner.last().say_ready(true);
    co_await on.settle();
    for (int quarter = 0; quarter < 5; ++quarter) {
      CHECK(on.spawner.last().told.empty());
      on.clock.advance(seconds(15));
      co_await on.settle();
    }
    CHECK(on.spawner.last().told == Told{"KILL"});
  });
}

}  // namespace
}  // namespace handoff
