// SPDX-License-Identifier: MIT
#include "master/worker_slot.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "played_workers.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A slot whose workers the test makes and ends.
class Bench {
 public:
  using Worker = WorkerSlot::Worker;

  Worker ready() {
    Worker worker = crew.make(1);
    worker->ready();
    return worker;
  }
  /// The worker ends by itself.
  void end(const Worker& worker, ExitStatus status = {1, 0}) {
    crew.end(*worker, status);
    slot.worker_ended(*worker, crew.clock.now());
  }
  /// Puts a worker into the empty slot, which ends at once. Returns the pause that follows.
  Duration pause_after_unready() {
    const Worker worker = crew.make(1);
    slot.fill(worker);
    end(worker);
    return slot.pause();
  }
  Duration pause_after_ready(Duration age) {
    const Worker worker = ready();
    slot.fill(worker);
    crew.clock.advance(age);
    end(worker);
    return slot.pause();
  }

  test::PlayedWorkers crew;
  WorkerSlot slot{crew.reactor, 1, milliseconds(100), seconds(10)};
};

enum class Content { nobody, current, next, both, retired };

TEST_CASE("each event leads a slot from each state where the table says") {
  struct Row {
    const char* event;
    void (*happens)(Bench&);
    std::array<SlotState, 5> follows;  ///< for each Content
  };
  constexpr auto kFilled = SlotState::filled;
  constexpr auto kEmpty = SlotState::backing_off;
  constexpr auto kRetired = SlotState::retired;
  const std::vector<Row> table{
      {"a worker is put in it",
       [](Bench& bench) { bench.slot.fill(bench.ready()); },
       {kFilled, kFilled, kFilled, kFilled, kRetired}},
      {"a successor is put in it",
       [](Bench& bench) { bench.slot.set_next(bench.ready()); },
       {kFilled, kFilled, kFilled, kFilled, kRetired}},
      {"the successor is promoted",
       [](Bench& bench) { (void)bench.slot.promote(); },
       {kEmpty, kFilled, kFilled, kFilled, kRetired}},
      {"the successor is taken away",
       [](Bench& bench) { (void)bench.slot.take_next(); },
       {kEmpty, kFilled, kEmpty, kFilled, kRetired}},
      {"the current worker ends",
       [](Bench& bench) {
         if (const auto worker = bench.slot.current()) { bench.end(worker); }
       },
       {kEmpty, kEmpty, kFilled, kFilled, kRetired}},
      {"the successor ends",
       [](Bench& bench) {
         if (const auto worker = bench.slot.next()) { bench.end(worker); }
       },
       {kEmpty, kFilled, kEmpty, kFilled, kRetired}},
      {"a worker of another slot ends",
       [](Bench& bench) { bench.end(bench.ready()); },
       {kEmpty, kFilled, kFilled, kFilled, kRetired}},
      {"a start fails",
       [](Bench& bench) { bench.slot.start_failed(); },
       {kEmpty, kFilled, kFilled, kFilled, kRetired}},
      {"it is retired",
       [](Bench& bench) { (void)bench.slot.retire(); },
       {kRetired, kRetired, kRetired, kRetired, kRetired}},
  };
  for (const Row& row : table) {
    for (std::size_t i = 0; i < row.follows.size(); ++i) {
      const auto content = static_cast<Content>(i);
      Bench bench;
      if (content == Content::current || content == Content::both) {
        bench.slot.fill(bench.ready());
      }
      if (content == Content::next || content == Content::both) {
        bench.slot.set_next(bench.ready());
      }
      if (content == Content::retired) { (void)bench.slot.retire(); }
      row.happens(bench);
      CAPTURE(row.event);
      CAPTURE(i);
      CHECK(bench.slot.state() == row.follows[i]);
    }
  }
}

TEST_CASE("a promoted worker takes the place of the current one, which is given back") {
  Bench bench;
  const auto old = bench.ready();
  const auto successor = bench.ready();
  bench.slot.fill(old);
  bench.slot.set_next(successor);
  CHECK(bench.slot.promote() == old);
  CHECK(bench.slot.current() == successor);
  CHECK(bench.slot.next() == nullptr);
  CHECK(bench.slot.promote() == nullptr);
}

TEST_CASE("a slot knows its workers by their incarnation, which no other worker has") {
  Bench bench;
  const auto old = bench.ready();
  const auto successor = bench.ready();
  bench.slot.fill(old);
  bench.slot.set_next(successor);
  CHECK(old->id().number == successor->id().number);
  CHECK(bench.slot.is_current(old->id()));
  CHECK(!bench.slot.is_current(successor->id()));
  CHECK(bench.slot.has(successor->id()));
  CHECK(!bench.slot.has(bench.ready()->id()));
}

TEST_CASE("a slot that is retired lets go of its workers, and takes no others") {
  Bench bench;
  const auto old = bench.ready();
  const auto successor = bench.ready();
  bench.slot.fill(old);
  bench.slot.set_next(successor);
  const auto workers = bench.slot.retire();
  CHECK(workers.current == old);
  CHECK(workers.next == successor);
  bench.slot.fill(bench.ready());
  bench.slot.set_next(bench.ready());
  CHECK(bench.slot.current() == nullptr);
  CHECK(bench.slot.next() == nullptr);
}

TEST_CASE("workers that die before they are ready are started again ever later") {
  Bench bench;
  CHECK(bench.slot.pause() == Duration::zero());  // the first one is started at once
  for (const int ms : {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}) {
    CHECK(bench.pause_after_unready() == milliseconds(ms));
  }
}

TEST_CASE("a worker that was ready is started again at once, but not time after time") {
  Bench bench;
  CHECK(bench.pause_after_ready(seconds(1)) == Duration::zero());
  CHECK(bench.pause_after_ready(seconds(1)) == milliseconds(100));
  CHECK(bench.pause_after_ready(seconds(1)) == milliseconds(200));
  CHECK(bench.pause_after_ready(seconds(10)) == Duration::zero());  // it has served well
  CHECK(bench.pause_after_ready(seconds(1)) == milliseconds(100));
}

TEST_CASE("an attempt to start that fails counts as a worker that died young") {
  Bench bench;
  bench.slot.start_failed();
  CHECK(bench.slot.pause() == milliseconds(100));
  bench.slot.start_failed();
  CHECK(bench.slot.pause() == milliseconds(200));
}

TEST_CASE("a successor that fails beside a worker that serves makes no pause") {
  Bench bench;
  bench.slot.fill(bench.ready());
  const auto successor = bench.crew.make(1);
  bench.slot.set_next(successor);
  bench.end(successor, {0, SIGSEGV});
  CHECK(bench.slot.pause() == Duration::zero());
  CHECK(bench.slot.last_exit() == "signal 11 (Segmentation fault)");
}

TEST_CASE("whoever waits for a change of a slot is woken by each of them") {
  Bench bench;
  const auto changed = [&] {
    const bool was_set = bench.slot.changed().is_set();
    bench.slot.changed().clear();
    return was_set;
  };
  CHECK(!changed());
  const auto worker = bench.ready();
  bench.slot.fill(worker);
  CHECK(changed());
  bench.slot.set_next(bench.ready());
  CHECK(changed());
  bench.end(worker);
  CHECK(changed());
  (void)bench.slot.promote();
  CHECK(changed());
  (void)bench.slot.retire();
  CHECK(changed());
}

}  // namespace
}  // namespace handoff
