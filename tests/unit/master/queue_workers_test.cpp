// SPDX-License-Identifier: MIT
#include "master/queue_workers.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <list>
#include <memory>
#include <string>

#include "async/reactor.hpp"
#include "unit/master/given_call.hpp"
#include "unit/master/scripted_queue_worker.hpp"

namespace handoff {
namespace {

/// The master's ends of some workers, and those workers in the hands of the test.
class Bench : private QueueWorker::Receiver {
 public:
  using Worker = QueueWorkers::Worker;

  /// The worker that joins next, with the number of those before it.
  void join(std::uint32_t max_calls = 1) {
    ScriptedQueueWorker& worker = scripted.emplace_back(
        reactor_, LifeEvents{}, custody_, static_cast<int>(scripted.size()) + 1, max_calls);
    reactor_.run([](Reactor& reactor) -> Task<void> {
      for (int i = 0; i < 3; ++i) { co_await reactor.yield(); }
    }(reactor_));
    workers.add(*worker.link, RingEnd::memory_size(1000));
    worker.open_rings();
    worker.rings->heed_revocations();
  }
  void join_many(int count, std::uint32_t max_calls = 1) {
    for (int i = 0; i < count; ++i) { join(max_calls); }
  }

  Worker& worker(std::size_t number) { return *workers.find(*scripted.at(number).link); }
  /// The number of the worker that is chosen for this method and given a request; -1 for none.
  int give(std::string_view method = "method") {
    Worker* worker = workers.choose(MethodTimes::index_of(method));
    if (worker == nullptr) { return -1; }
    give(*worker, method);
    for (std::size_t i = 0; i < scripted.size(); ++i) {
      if (worker->is_of(*scripted[i].link)) { return static_cast<int>(i); }
    }
    return -1;
  }
  void give(Worker& worker, std::string_view method = "method") {
    CHECK(worker.give(calls_.emplace_back(++ticket_, method).slot, TimePoint{}));
    workers.was_given(worker);
    workers.publish();
  }
  /// The worker answers what it was given first.
  void answer(std::size_t number) {
    CHECK(scripted[number].take() != "nothing");
    scripted[number].reply(scripted[number].tickets.back(), "1");
    CHECK(worker(number).read_replies(*this, copy_, TimePoint{}));
    workers.settle(worker(number));
  }
  /// Whether the worker would wake the master with a reply now.
  bool wakes(std::size_t number) { return scripted[number].rings->must_wake(); }
  std::size_t count_busy() {
    std::size_t count = 0;
    workers.for_each_busy([&count](Worker&) { ++count; });
    return count;
  }

  std::deque<ScriptedQueueWorker> scripted;

 private:
  Status receive(QueueWorker& /*from*/, const QueueReply& /*reply*/) override {
    return Status::ok();
  }

  Reactor reactor_;
  std::shared_ptr<Custody> custody_ = std::make_shared<Custody>(reactor_, 4);
  std::list<GivenCall> calls_;
  std::uint64_t ticket_ = 0;
  std::string copy_;

 public:
  QueueWorkers workers;
};

TEST_CASE("workers that have nothing get requests in turn, before those that have some") {
  Bench bench;
  bench.join_many(3, 2);
  CHECK(bench.give() == 0);
  CHECK(bench.give() == 1);
  bench.answer(0);
  CHECK(bench.give() == 2);
  CHECK(bench.give() == 0);
  CHECK(bench.give() == 1);
}

TEST_CASE("of those that have some the one with the fewest gets the next, if it is free") {
  Bench bench;
  bench.join(4);
  bench.join(3);
  for (const int expected : {0, 1, 0, 1, 0, 1, 0, -1}) { CHECK(bench.give() == expected); }
  bench.answer(1);
  bench.answer(1);
  bench.answer(0);
  for (const int expected : {1, 1, 0, -1}) { CHECK(bench.give() == expected); }
}

TEST_CASE("a worker that is free gets the next, whatever number of others is not") {
  Bench bench;
  bench.join_many(20);
  bench.join(2);
  for (int i = 0; i < 21; ++i) { CHECK(bench.give() == i); }
  CHECK(bench.give() == 20);
  CHECK(bench.give() == -1);
  bench.answer(7);
  CHECK(bench.give() == 7);
}

TEST_CASE("a worker that may prefetch is found, though it is looked at only some at a time") {
  Bench bench;
  bench.join_many(12);
  bench.worker(10).learn(MethodTimes::index_of("quick"), {1, 0, {}, {}, 1000});
  for (int i = 0; i < 12; ++i) { CHECK(bench.give("quick") == i); }
  for (std::size_t seen = QueueWorkers::kMostLookedAt; seen < 10;
       seen += QueueWorkers::kMostLookedAt) {
    CHECK(bench.give("quick") == -1);
  }
  CHECK(bench.give("quick") == 10);
  CHECK(bench.give("slow") == -1);
  CHECK(bench.workers.prefetched() == 1);
  CHECK(bench.workers.any_is_ahead());
}

TEST_CASE("that which is expected to begin a request first gets it beyond those that it runs") {
  Bench bench;
  bench.join_many(3);
  for (std::size_t i = 0; i < 3; ++i) {
    for (const char* method : {"long", "short"}) {
      const std::uint32_t nanoseconds = *method == 'l' ? 50'000 : 10'000;
      bench.worker(i).learn(MethodTimes::index_of(method), {1, 0, {}, {}, nanoseconds});
    }
  }
  CHECK(bench.give("long") == 0);
  CHECK(bench.give("short") == 1);
  CHECK(bench.give("long") == 2);
  CHECK(bench.give("short") == 1);
  CHECK(bench.give("short") == 1);
}

TEST_CASE("only workers that have something are looked at") {
  Bench bench;
  bench.join_many(64, 2);
  CHECK(bench.count_busy() == 0);
  bench.give();
  bench.give();
  CHECK(bench.count_busy() == 2);
  bench.answer(0);
  CHECK(bench.count_busy() == 1);
}

TEST_CASE("while the loop blocks exactly those that have something are armed") {
  Bench bench;
  bench.join_many(3);
  bench.give();
  bench.workers.prepare_to_block();
  CHECK(bench.wakes(0));
  CHECK_FALSE(bench.wakes(1));
  bench.give();  // its first, and nothing else looks at it before the loop blocks
  CHECK(bench.wakes(1));
  bench.answer(0);
  bench.workers.stop_blocking();
  bench.workers.prepare_to_block();
  CHECK_FALSE(bench.wakes(0));
  CHECK(bench.wakes(1));  // for another sleep
  bench.workers.stop_blocking();
  CHECK_FALSE(bench.wakes(1));
}

TEST_CASE("a worker that was disarmed with its last reply wakes with the next") {
  Bench bench;
  bench.join_many(2);
  for (int round = 0; round < 3; ++round) {
    bench.give(bench.worker(0));
    bench.workers.prepare_to_block();
    bench.answer(0);
    CHECK_FALSE(bench.wakes(0));
    bench.give(bench.worker(0));
    CHECK(bench.wakes(0));
    bench.workers.stop_blocking();
    bench.answer(0);
  }
}

TEST_CASE("a worker that is retired is not chosen, and is looked at while it has something") {
  Bench bench;
  bench.join_many(2, 2);
  bench.give();
  for (const std::size_t i : {0U, 1U}) {
    bench.worker(i).retire();
    bench.workers.settle(bench.worker(i));
  }
  CHECK(bench.give() == -1);
  CHECK_FALSE(bench.workers.any_is_free());
  CHECK(bench.count_busy() == 1);
  bench.answer(0);
  CHECK(bench.count_busy() == 0);
}

TEST_CASE("a worker that is removed before its request is published leaves the others whole") {
  Bench bench;
  bench.join_many(2);
  GivenCall call(7, "method");
  Bench::Worker& first = bench.worker(0);
  CHECK(first.give(call.slot, TimePoint{}));
  bench.workers.was_given(first);
  bench.workers.remove(first);
  CHECK(call.slot.worker == nullptr);
  bench.workers.publish();
  CHECK(bench.workers.size() == 1);
  CHECK(bench.workers.find(*bench.scripted[0].link) == nullptr);
  CHECK(bench.give() == 1);
}

}  // namespace
}  // namespace handoff
