// SPDX-License-Identifier: MIT
#include "master/pass_queue.hpp"

#include <doctest/doctest.h>

#include <list>
#include <memory>
#include <utility>

#include <handoff/async/reactor.hpp>

#include "master/request_queue.hpp"
#include "played_channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Channel = test::PlayedChannel;

/// A call that no worker answers.
class WaitingCall final : public PendingCall {
 public:
  WaitingCall() { set_view({"echo", "1", "", "", kNever}); }
  void finish(const ResultView& /*result*/) override { FAIL("it was answered"); }
};

struct Fixture {
  Channel& join() {
    Channel& worker = workers.emplace_back(reactor, custody, 1, Channel::Kind{});
    test::turn(reactor);  // its HELLO says how many calls it takes
    mode.worker_joined(*worker.link);
    return worker;
  }

  Reactor reactor;
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 4);
  Queue queue{reactor, {10, 1000, {}}};
  PassQueue mode{queue};
  std::list<Channel> workers;
};

TEST_CASE("a worker that joins is given the memories of the queue, and inherits nothing") {
  const test::DescriptorCheck check;
  Fixture fixture;
  CHECK(fixture.mode.inheritance().empty());
  const auto message = fixture.join().hears();
  REQUIRE(message);
  CHECK(message->type == channel::Type::queue);
  CHECK(message->descriptors.size() == 2);
  CHECK(fixture.queue.workers() == 1);
}

TEST_CASE("a worker that has left gets no more requests, and one that is gone is forgotten") {
  Fixture fixture;
  Channel& worker = fixture.join();
  WaitingCall first;
  fixture.queue.begin(first);
  test::turn(fixture.reactor);
  CHECK(fixture.queue.counts().running == 1);
  fixture.mode.worker_left(*worker.link);
  WaitingCall second;
  fixture.queue.begin(second);
  test::turn(fixture.reactor);
  CHECK(fixture.queue.counts().running == 1);
  CHECK(fixture.queue.counts().waiting == 1);
  fixture.mode.worker_gone(*worker.link, {});
  CHECK(fixture.queue.workers() == 0);
  CHECK(fixture.queue.counts().waiting == 2);  // it had not begun the first
  fixture.mode.worker_gone(*worker.link, {});  // and nothing happens
  fixture.queue.cancel(first);
  fixture.queue.cancel(second);
}

TEST_CASE("a worker for whose queue there is no descriptor is given up within the call") {
  Fixture fixture;
  Channel& worker =
      fixture.workers.emplace_back(fixture.reactor, fixture.custody, 1, Channel::Kind{});
  {
    const test::DescriptorLimit none(0);
    fixture.mode.worker_joined(*worker.link);
  }
  REQUIRE(worker.problem);
  CHECK(worker.problem->starts_with("it could not be given the queue: "));
  CHECK(fixture.queue.workers() == 0);
}

}  // namespace
}  // namespace handoff
