// SPDX-License-Identifier: MIT
#include "master/reload.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "played_workers.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Two slots with a worker each that serves; the test plays what becomes of their successors.
class Bench final : private Reload::Actions {
 public:
  Bench() {
    for (const int number : {1, 2}) {
      all.push_back(
          std::make_shared<WorkerSlot>(crew.reactor, number, milliseconds(100), seconds(10)));
      all.back()->fill(serving(number));
    }
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  /// Runs a test while the reactor runs.
  void run(Task<void> test) { crew.reactor.run(std::move(test)); }
  /// Asks for a reload, whose outcome is added to `outcomes`.
  void ask() {
    crew.reactor.spawn([](Bench& bench) -> Task<void> {
      Status outcome = co_await bench.reload.run();
      bench.outcomes.push_back(outcome.is_ok() ? "ok" : outcome.why());
    }(*this));
  }
  /// Everything that is under way goes on until it waits for the test.
  Task<void> settle() {
    for (int i = 0; i < 10; ++i) { co_await crew.reactor.yield(); }
  }
  void ready(std::size_t slot) {
    all[slot]->next()->ready();
    progress.notify_all();
  }
  void end_next(std::size_t slot) {
    const auto worker = all[slot]->next();
    crew.end(*worker, {3, 0});
    all[slot]->worker_ended(*worker, crew.clock.now());
    progress.notify_all();
  }

  test::PlayedWorkers crew;
  std::vector<Reload::Slot> all;
  std::vector<std::string> outcomes;
  int starts = 0;
  int discarded = 0;
  int promoted = 0;
  int over = 0;
  std::optional<int> cannot_start;  ///< the slot
  Condition progress{crew.reactor};
  Reload reload{crew.reactor, progress, static_cast<Reload::Actions&>(*this), crew.report};

 private:
  WorkerSlot::Worker serving(int number) {
    auto worker = crew.make(number);
    worker->ready();
    worker->serve();
    return worker;
  }

  std::vector<Reload::Slot> slots() const override { return all; }
  Status start_next(WorkerSlot& slot) override {
    if (cannot_start == slot.number()) { return Status::failure("cannot be executed"); }
    ++starts;
    slot.set_next(crew.make(slot.number()));
    return Status::ok();
  }
  void discard_next(WorkerSlot& slot) override {
    ++discarded;
    slot.take_next()->kill(LeaveReason::discarded);
  }
  void promote_next(WorkerSlot& slot, LeaveReason why) override {
    ++promoted;
    CHECK(why == LeaveReason::reload);
    const auto old = slot.promote();
    slot.current()->serve();
    if (old) { old->drain(why); }
  }
  void reload_is_over() override { ++over; }
};

TEST_CASE("a reload waits for all successors, and then all take over") {
  Bench bench;
  const auto old = bench.all[0]->current();
  bench.run([](Bench& on) -> Task<void> {
    CHECK(on.reload.phase() == ReloadPhase::idle);
    on.ask();
    co_await on.settle();
    CHECK(on.reload.phase() == ReloadPhase::waiting_for_ready);
    on.ready(0);
    co_await on.settle();
    CHECK(on.promoted == 0);
    on.ready(1);
    co_await on.settle();
  }(bench));
  CHECK(bench.reload.phase() == ReloadPhase::idle);
  CHECK(bench.promoted == 2);
  CHECK(bench.outcomes == std::vector<std::string>{"ok"});
  CHECK(old->phase() == WorkerPhase::draining);
  CHECK(old->leave_reason() == LeaveReason::reload);
  CHECK(bench.over == 1);
  CHECK(bench.crew.lines.back() == "reloaded, 2 workers");
}

TEST_CASE("a reload fails when one of the successors ends, and the old workers serve on") {
  Bench bench;
  const auto old = bench.all[0]->current();
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
    on.ready(0);
    on.end_next(1);
    co_await on.settle();
  }(bench));
  CHECK(bench.reload.phase() == ReloadPhase::idle);
  CHECK(bench.discarded == 1);
  CHECK(bench.promoted == 0);
  CHECK(old->phase() == WorkerPhase::serving);
  REQUIRE(bench.outcomes.size() == 1);
  CHECK(bench.outcomes[0] == "worker 2, pid 1003: exit status 3, before it was ready");
  CHECK(bench.crew.lines.back() ==
        "cannot reload: worker 2, pid 1003: exit status 3, before it was ready; the old workers "
        "serve on");
}

TEST_CASE("a reload fails when one of the successors can't be executed") {
  Bench bench;
  bench.cannot_start = 2;
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
  }(bench));
  CHECK(bench.outcomes == std::vector<std::string>{"cannot be executed"});
  CHECK(bench.discarded == 1);
  CHECK(bench.all[0]->next() == nullptr);
  CHECK(bench.reload.phase() == ReloadPhase::idle);
}

TEST_CASE("reloads that are asked for while one is under way become one more") {
  Bench bench;
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
    for (int i = 0; i < 7; ++i) { on.ask(); }
    co_await on.settle();
    CHECK(on.starts == 2);
    for (int round = 0; round < 2; ++round) {
      on.ready(0);
      on.ready(1);
      co_await on.settle();
      CHECK(on.outcomes.size() == (round == 0 ? 1 : 8));
    }
  }(bench));
  CHECK(bench.starts == 4);
  CHECK(bench.over == 1);
}

TEST_CASE("eight reloads that are asked for at once are two at most") {
  Bench bench;
  bench.run([](Bench& on) -> Task<void> {
    for (int i = 0; i < 8; ++i) { on.ask(); }
    co_await on.settle();
    while (on.outcomes.size() < 8) {
      on.ready(0);
      on.ready(1);
      co_await on.settle();
    }
  }(bench));
  CHECK(bench.starts <= 4);
}

TEST_CASE("a reload does not make do with a successor that was started before it") {
  Bench bench;
  const auto early = bench.crew.make(1);
  bench.all[0]->set_next(early);
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
  }(bench));
  CHECK(early->leave_reason() == LeaveReason::discarded);
  CHECK(bench.all[0]->next() != early);
  CHECK(bench.starts == 2);
}

TEST_CASE("a reload does not wait for a slot that is retired meanwhile") {
  Bench bench;
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
    on.ready(0);
    (void)on.all[1]->retire();
    on.progress.notify_all();
    co_await on.settle();
  }(bench));
  CHECK(bench.outcomes == std::vector<std::string>{"ok"});
  CHECK(bench.promoted == 1);
}

TEST_CASE(
    "a successor that serves already, because nobody else did, need not wait nor be promoted") {
  Bench bench;
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
    on.ready(0);
    (void)on.all[0]->promote();  // the current one has died
    on.ready(1);
    co_await on.settle();
  }(bench));
  CHECK(bench.outcomes == std::vector<std::string>{"ok"});
  CHECK(bench.promoted == 1);
}

TEST_CASE(
    "a successor that was killed on standby is waited for until it has ended, and fails all") {
  Bench bench;
  bench.run([](Bench& on) -> Task<void> {
    on.ask();
    co_await on.settle();
    on.ready(0);
    on.all[0]->next()->kill(LeaveReason::unresponsive);
    on.ready(1);
    co_await on.settle();
    CHECK(on.reload.phase() == ReloadPhase::waiting_for_ready);
    on.end_next(0);
    co_await on.settle();
  }(bench));
  CHECK(bench.outcomes == std::vector<std::string>{"worker 1, pid 1002: signal 9 (Killed)"});
}

TEST_CASE("a stop ends a reload in each of its phases, and none begins after it") {
  SUBCASE("idle") {
    Bench bench;
    bench.reload.stop();
    bench.run([](Bench& on) -> Task<void> {
      on.ask();
      co_await on.settle();
    }(bench));
    CHECK(bench.outcomes == std::vector<std::string>{"stopping"});
    CHECK(bench.starts == 0);
    CHECK(bench.reload.phase() == ReloadPhase::stopped);
  }
  SUBCASE("starting successors") {
    Bench bench;
    bench.run([](Bench& on) -> Task<void> {
      on.ask();
      on.reload.stop();
      co_await on.settle();
    }(bench));
    CHECK(bench.outcomes == std::vector<std::string>{"stopping"});
    CHECK(bench.starts == 0);
  }
  SUBCASE("waiting for them to be ready, with another one asked for") {
    Bench bench;
    bench.run([](Bench& on) -> Task<void> {
      on.ask();
      co_await on.settle();
      on.ask();
      on.reload.stop();
      for (const auto& slot : on.all) { (void)slot->retire(); }
      co_await on.settle();
    }(bench));
    CHECK(bench.outcomes == std::vector<std::string>{"stopping", "stopping"});
    CHECK(bench.promoted == 0);
    CHECK(bench.starts == 2);
    CHECK(!bench.reload.is_under_way());
  }
}

}  // namespace
}  // namespace handoff
