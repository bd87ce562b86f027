// SPDX-License-Identifier: MIT
#include "master/supervisor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "supervisor_bench.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Bench = test::SupervisorBench;
using test::play;

TEST_CASE("a supervisor has started once all workers that were added are ready") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    on.supervisor.add();
    CHECK(on.states() == "1 pausing, 2 pausing");
    co_await on.settle();
    CHECK(on.states() == "1 starting, 2 starting");
    on.process(0).say_ready();
    co_await on.settle();
    CHECK(!on.supervisor.all_started());
    on.process(1).say_ready();
    co_await on.settle();
    CHECK(on.supervisor.all_started());
    CHECK(on.states() == "1 ready, 2 ready");
    CHECK(on.mode.told == std::vector<std::string>{"joined 1", "joined 2"});
  });
}

TEST_CASE("a worker that was ready and dies is started again at once, and counted") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    co_await on.end(0, {0, SIGSEGV});
    CHECK(on.started() == 2);
    CHECK(on.was_told("gone 1"));
    const WorkerStatus worker = on.supervisor.status().front();
    CHECK(worker.restarts == 1);
    CHECK(worker.last_exit == "signal 11 (Segmentation fault)");
    CHECK(on.lines[on.lines.size() - 2] == "worker 1, pid 1000: signal 11 (Segmentation fault)");
  });
}

TEST_CASE("a worker that dies at its start is started again after ever longer pauses") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    for (const int ms : {100, 200, 400}) {
      const std::size_t before = on.started();
      co_await on.end(before - 1, {1, 0});
      CHECK(on.states() == "1 pausing");
      on.clock.advance(milliseconds(ms - 1));
      co_await on.settle();
      CHECK(on.started() == before);
      on.clock.advance(milliseconds(1));
      co_await on.settle();
      CHECK(on.started() == before + 1);
    }
  });
}

TEST_CASE("workers that end three times alike before they are ready can't start") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(!on.supervisor.cannot_start());
      co_await on.end(i, {1, 0});
      on.clock.advance(seconds(10));
      co_await on.settle();
    }
    REQUIRE(on.supervisor.cannot_start());
    CHECK(on.supervisor.cannot_start()->code == 1);
  });
}

TEST_CASE("workers that are killed because they are not ready in time may start some day") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    for (std::size_t i = 0; i < 5; ++i) {
      on.clock.advance(seconds(10));
      co_await on.settle();
      CHECK(on.process(i).finished);
      on.clock.advance(seconds(10));
      co_await on.settle();
    }
    CHECK(!on.supervisor.cannot_start());
  });
}

TEST_CASE("a first worker that can't be executed ends the reactor's run") {
  Bench bench;
  bench.spawner.fails = 1;
  bench.supervisor.add();
  const auto error = test::thrown_by<SystemError>([&] {
    bench.reactor.run([](Reactor& reactor) -> Task<void> {
      for (;;) { co_await reactor.yield(); }
    }(bench.reactor));
  });
  CHECK(error.error_number() == ENOENT);
}

TEST_CASE("a worker that can't be executed any more is said and tried again") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.spawner.fails = 1;
    co_await on.end(0);
    CHECK(on.started() == 1);
    CHECK(on.states() == "1 pausing");
    CHECK(std::count(on.lines.begin(), on.lines.end(),
                     "worker 1: cannot exec worker: No such file or directory") == 1);
    on.clock.advance(milliseconds(100));
    co_await on.settle();
    CHECK(on.started() == 2);
  });
}

TEST_CASE("workers of a master that stops close what they have, and then nobody is left") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    on.supervisor.retire_all({});
    co_await on.settle();
    CHECK(on.states() == "1 draining, 2 draining");
    CHECK(!on.was_told("left 1"));  // what waits for it is still its own
    co_await on.end(0);
    CHECK(!on.supervisor.is_empty());
    co_await on.end(1);
    CHECK(on.supervisor.is_empty());
    CHECK(on.supervisor.cut_off().workers == 0);
    CHECK(on.started() == 2);
  });
}

TEST_CASE("workers that outlast a stop are killed and counted, and all at once by a second one") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    on.supervisor.retire_all({});
    SUBCASE("after their drain time") {
      on.clock.advance(seconds(30));
    }
    SUBCASE("at once") {
      on.supervisor.kill_all();
    }
    co_await on.settle();
    CHECK(on.supervisor.is_empty());
    CHECK(on.supervisor.cut_off().workers == 2);
  });
}

TEST_CASE("workers of a master that hands over are told so, and leave what they were not sent") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.supervisor.retire_all({.give_back = true, .join_again = true});
    co_await on.settle();
    CHECK(on.was_told("left 1"));
    CHECK(on.states() == "1 draining");
  });
}

}  // namespace
}  // namespace handoff
