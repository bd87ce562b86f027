// SPDX-License-Identifier: MIT
#include "master/queue_worker.hpp"

#include <doctest/doctest.h>

#include <array>
#include <iterator>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "unit/master/given_call.hpp"
#include "unit/master/scripted_queue_worker.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// The master's end of a worker, and that worker in the hands of the test.
class Bench : private QueueWorker::Receiver {
 public:
  explicit Bench(std::uint32_t max_calls = 1, WorkerOrigin origin = WorkerOrigin::spawned)
      : worker(reactor_, life_events(), std::make_shared<Custody>(reactor_, 4), 1, max_calls,
               origin) {
    reactor_.run([](Reactor& reactor) -> Task<void> {
      for (int i = 0; i < 3; ++i) { co_await reactor.yield(); }
    }(reactor_));
    ours.emplace(*worker.link, RingEnd::memory_size(1000));
    worker.open_rings();
  }

  bool give(std::string_view method, std::string_view params = "1") {
    GivenCall& call = calls.emplace_back(++last_ticket, method, params);
    return ours->give(call.slot, now);
  }
  bool read_replies() { return ours->read_replies(*this, copy_, now); }

 private:
  Status receive(QueueWorker& /*from*/, const QueueReply& reply) override {
    replies.emplace_back(reply.json);
    return reply.json == "\"refused\"" ? Status::failure("it was refused") : Status::ok();
  }
  LifeEvents life_events() {
    LifeEvents events;
    events.closed = [this](WorkerChannel&, const Status& how) {
      problem = how.is_ok() ? "" : how.why();
    };
    return events;
  }

  Reactor reactor_;
  std::string copy_;

 public:
  ScriptedQueueWorker worker;
  std::list<GivenCall> calls;  ///< that it was given
  std::optional<QueueWorker> ours;
  std::vector<std::string> replies;
  std::string problem;  ///< why its channel was closed
  std::uint64_t last_ticket = 0;
  TimePoint now{};
};

TEST_CASE("a request that was given is seen by the worker once it is published") {
  const test::DescriptorCheck check;
  Bench bench(2);
  CHECK(bench.give("one"));
  CHECK(bench.worker.take() == "nothing");
  CHECK(bench.give("two"));
  bench.ours->publish();
  CHECK(bench.worker.take() == "one");
  CHECK(bench.worker.take() == "two");
  CHECK(bench.ours->given() == 2);
}

TEST_CASE("a worker that sleeps is woken once for all that is published together") {
  Bench bench(5);
  bench.worker.rings->arm();
  bench.give("one");
  bench.give("two");
  CHECK(bench.worker.count_messages() == 0);
  bench.ours->publish();
  CHECK(bench.worker.count_messages() == 1);
  bench.ours->publish();
  bench.give("three");
  bench.ours->publish();
  CHECK(bench.worker.count_messages() == 0);
}

TEST_CASE("a worker that is awake is not woken") {
  Bench bench(5);
  bench.give("one");
  bench.ours->publish();
  CHECK(bench.worker.count_messages() == 0);
}

TEST_CASE("a worker is free until it has as many requests as it runs, and when it has answered") {
  Bench bench(2);
  CHECK(bench.ours->is_free());
  bench.give("one");
  CHECK(bench.ours->is_free());
  bench.give("two");
  CHECK_FALSE(bench.ours->is_free());
  bench.ours->publish();
  bench.worker.take();
  bench.worker.reply(bench.worker.tickets[0], "1");
  CHECK_FALSE(bench.ours->is_free());
  CHECK(bench.read_replies());
  CHECK(bench.replies == std::vector<std::string>{"1"});
  CHECK(bench.ours->is_free());
  CHECK_FALSE(bench.read_replies());
}

TEST_CASE("a worker keeps what it was given in that order, until it is let go") {
  Bench bench(5);
  CHECK(bench.ours->last() == nullptr);
  for (const char* method : {"one", "two", "three"}) { bench.give(method); }
  GivenCall& first = bench.calls.front();
  GivenCall& third = bench.calls.back();
  CHECK(bench.ours->last() == &third.slot);
  CHECK(third.slot.worker == &*bench.ours);
  CHECK(third.slot.end > std::next(bench.calls.begin())->slot.end);
  CHECK(first.slot.end < third.slot.end);
  bench.ours->let_go(first.slot);
  CHECK(first.slot.worker == nullptr);
  CHECK(bench.ours->last() == &third.slot);
  bench.ours->let_go(third.slot);
  CHECK(bench.ours->last()->call->view().method == "two");
  CHECK(bench.ours->given() == 3);  // it may still answer them
  bench.ours.reset();
  CHECK(std::next(bench.calls.begin())->slot.worker == nullptr);
}

TEST_CASE("the load of a worker tells what it has and whether it is free") {
  using Load = QueueWorker::Load;
  Bench bench(2);
  bench.worker.rings->heed_revocations();
  CHECK(bench.ours->load() == Load::idle);
  bench.give("one");
  CHECK(bench.ours->load() == Load::partly);
  bench.give("two");
  CHECK(bench.ours->load() == Load::full);
  bench.give("three");
  CHECK(bench.ours->load() == Load::ahead);
  bench.ours->publish();
  for (int i = 0; i < 3; ++i) { bench.worker.take(); }
  for (const Load next : {Load::full, Load::partly, Load::idle}) {
    bench.worker.reply(bench.last_ticket, "1");
    bench.read_replies();
    CHECK(bench.ours->load() == next);
  }
  bench.ours->retire();
  CHECK(bench.ours->load() == Load::unused);
}

TEST_CASE("a worker that is retired while it has something is full, and then unused") {
  Bench bench(2);
  bench.give("one");
  bench.ours->publish();
  bench.ours->retire();
  CHECK(bench.ours->load() == QueueWorker::Load::full);
  bench.worker.take();
  bench.worker.reply(bench.last_ticket, "1");
  bench.read_replies();
  CHECK(bench.ours->load() == QueueWorker::Load::unused);
}

TEST_CASE("a worker that takes no call is unused") {
  Bench bench(0);
  CHECK(bench.ours->load() == QueueWorker::Load::unused);
}

TEST_CASE("a worker whose memory is broken before it has anything is full, so that one looks") {
  Bench bench(2);
  reinterpret_cast<RingState*>(bench.worker.replies.data())->read = 1'000'000;
  CHECK_FALSE(bench.give("one"));
  CHECK(bench.ours->load() == QueueWorker::Load::full);
  CHECK_FALSE(bench.read_replies());
  CHECK(bench.problem == "it broke the queue's memory");
}

TEST_CASE("a worker that is retired is not free, and its replies count") {
  Bench bench(2);
  bench.give("one");
  bench.ours->publish();
  bench.worker.take();
  bench.ours->retire();
  CHECK_FALSE(bench.ours->is_free());
  bench.worker.reply(bench.worker.tickets[0], "1");
  CHECK(bench.read_replies());
  CHECK(bench.ours->given() == 0);
}

TEST_CASE("a worker whose ring is full is not free until one looks for room again") {
  Bench bench(100'000);
  const std::string params(1000, '1');
  while (bench.give("fill", params)) { CHECK(bench.ours->is_free()); }
  CHECK_FALSE(bench.ours->is_free());
  bench.ours->publish();
  CHECK(bench.worker.rings->other_is_starved());
  bench.worker.take();
  bench.ours->look_for_room();
  CHECK(bench.ours->is_free());
  CHECK(bench.give("more", params));
  CHECK_FALSE(bench.worker.rings->other_is_starved());
}

TEST_CASE("what a worker that is gone has not begun is known, unless others have started it") {
  for (const WorkerOrigin origin : {WorkerOrigin::spawned, WorkerOrigin::joined}) {
    for (const bool heeds : {false, true}) {
      CAPTURE(static_cast<int>(origin));
      CAPTURE(heeds);
      Bench bench(2, origin);
      if (heeds) { bench.worker.rings->heed_revocations(); }
      bench.give("one");
      const std::uint64_t first = bench.calls.back().slot.end;
      bench.give("two");
      const std::uint64_t second = bench.calls.back().slot.end;
      bench.ours->publish();
      CHECK_FALSE(bench.ours->says_begun(first));
      bench.worker.take();
      bench.worker.take(false);
      CHECK(bench.ours->says_begun(first));
      CHECK_FALSE(bench.ours->says_begun(second));
      const bool may_begin = origin == WorkerOrigin::joined && !heeds;
      CHECK(bench.ours->abandon() == (may_begin ? second : first));
      CHECK(bench.worker.rings->release_to_begin() != heeds);
    }
  }
}

TEST_CASE("a worker that breaks a rule loses its channel, and no reply of it counts any more") {
  Bench bench(2);
  bench.give("one");
  bench.give("two");
  bench.ours->publish();
  bench.worker.take();
  std::string expected;
  std::vector<std::string> replies;
  SUBCASE("more replies than requests") {
    for (int i = 0; i < 3; ++i) { bench.worker.reply(7, "1"); }
    expected = "it answered more requests than it was given";
    replies = {"1", "1"};
  }
  SUBCASE("no reply") {
    REQUIRE(bench.worker.rings->write(std::array<std::string_view, 1>{"short"}));
    bench.worker.rings->publish();
    expected = "it sent no valid reply";
  }
  SUBCASE("what the receiver refuses") {
    bench.worker.reply(7, "\"refused\"");
    expected = "it was refused";
    replies = {"\"refused\""};
  }
  SUBCASE("an end that can't be") {
    reinterpret_cast<RingState*>(bench.worker.replies.data())->written = 3;
    expected = "it broke the queue's memory";
  }
  CHECK_FALSE(bench.read_replies());
  CHECK(bench.problem == expected);
  CHECK(bench.replies == replies);
  bench.worker.reply(8, "1");
  CHECK_FALSE(bench.read_replies());
  CHECK(bench.replies == replies);
}

}  // namespace
}  // namespace handoff
