// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "master/supervisor.hpp"
#include "supervisor_bench.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Bench = test::SupervisorBench;
using test::play;

TEST_CASE("a worker that dies in the moment it becomes ready serves nobody, and was ready") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    on.process(0).end({0, SIGKILL});
    on.supervisor.children_ended();
    on.process(0).say_ready();  // said before, and read after its end was seen
    co_await on.settle();
    CHECK(on.was_told("gone 1"));
    CHECK(on.started() == 2);
    CHECK(on.mode.serving.empty());
    CHECK(!on.supervisor.cannot_start());
  });
}

TEST_CASE("a worker that says READY when it is being killed for being late serves nobody") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    on.clock.advance(seconds(10));
    on.process(0).say_ready();
    co_await on.settle();
    CHECK(!on.was_told("joined 1"));
    CHECK(on.was_told("gone 1"));
  });
}

TEST_CASE("a worker that is suspended while it drains is killed at its deadline") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    on.process(1).say_ready();
    co_await on.settle();
    on.clock.advance(seconds(30) - milliseconds(1));
    co_await on.settle();
    CHECK(!on.process(0).finished);
    on.clock.advance(milliseconds(1));
    co_await on.settle();
    CHECK(on.process(0).finished);
    CHECK(on.states() == "1 ready");
  });
}

TEST_CASE("workers whose master was suspended do not hang") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    on.process(0).say_ready(true);
    co_await on.settle();
    for (int i = 0; i < 10; ++i) {
      on.clock.suspend(seconds(1000));
      co_await on.settle();
    }
    CHECK(on.process(0).told.empty());
  });
}

TEST_CASE("no worker hangs when that is switched off") {
  SupervisorOptions options;
  options.hang_timeout = Duration::zero();
  Bench bench(options);
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    on.process(0).say_ready(true);
    co_await on.settle();
    CHECK(on.clock.alarms() == 0);
  });
}

TEST_CASE("a worker is not gone, and none follows it, before its whole tree is") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    on.process(1).say_ready();
    co_await on.settle();
    on.process(0).others = 1;
    co_await on.end(0);
    CHECK(on.states() == "1 draining, 1 ready");
    CHECK(on.process(0).told == std::vector<std::string>{"TERM"});
    on.process(0).others = 0;
    on.supervisor.children_ended();
    co_await on.settle();
    CHECK(on.states() == "1 ready");
  });
}

TEST_CASE("a worker that can't be given what it is to have is killed within the call") {
  Bench bench;
  bench.mode.on_joined = [](WorkerChannel& link) {
    link.fail_with_protocol_error("no descriptor is left");
  };
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    co_await on.settle();
    on.process(0).say_ready();
    co_await on.settle();
    CHECK(on.process(0).finished);
    CHECK(on.mode.serving.empty());
    on.mode.on_joined = nullptr;
  });
}

TEST_CASE("a worker that hangs is killed and replaced, and one that answers is not") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    on.supervisor.add();
    co_await on.settle();
    on.process(0).say_ready(true);
    on.process(1).say_ready(true);
    co_await on.settle();
    for (int quarter = 0; quarter < 5; ++quarter) {
      CHECK(on.started() == 2);
      on.clock.advance(seconds(15));
      on.process(1).say(channel::encode_requests(0));
      co_await on.settle();
    }
    CHECK(on.started() == 3);
    CHECK(on.process(0).told == std::vector<std::string>{"KILL"});
    CHECK(on.process(1).told.empty());
  });
}

TEST_CASE("a worker that breaks the protocol is killed and replaced") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.process(0).say("nonsense");
    co_await on.settle();
    CHECK(on.process(0).finished);
    CHECK(on.started() == 2);
    CHECK(on.was_told("left 1"));
  });
}

}  // namespace
}  // namespace handoff
