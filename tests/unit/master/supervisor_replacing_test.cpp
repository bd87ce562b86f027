// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
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

TEST_CASE("a worker has the same number as its successor") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    CHECK(on.process(1).number == 1);
    CHECK(on.states() == "1 ready, 1 starting");
  });
}

TEST_CASE("a replaced worker serves until its successor is ready, and drains then") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    CHECK(on.mode.serving.size() == 2);
    on.process(2).say_ready();
    co_await on.settle();
    CHECK(on.outcomes == std::vector<std::string>{"ok"});
    CHECK(on.states() == "1 draining, 1 ready, 2 ready");
    CHECK(on.mode.told == std::vector<std::string>{"joined 1", "joined 2", "joined 1", "left 1"});
    co_await on.end(0);
    CHECK(on.states() == "1 ready, 2 ready");
    CHECK(on.supervisor.status().front().restarts == 0);
  });
}

TEST_CASE("a worker whose successor fails serves on") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    co_await on.end(1, {7, 0});
    CHECK(on.outcomes ==
          std::vector<std::string>{"worker 1, pid 1001: exit status 7, before it was ready"});
    CHECK(on.states() == "1 ready");
    on.spawner.fails = 1;
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    CHECK(on.outcomes.back() == "worker 1: cannot exec worker: No such file or directory");
  });
}

TEST_CASE("a worker is replaced by one successor at a time, and one that is not there by none") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    on.ask(on.supervisor.replace(1));
    on.ask(on.supervisor.replace(2));
    co_await on.settle();
    CHECK(on.outcomes ==
          std::vector<std::string>{"it is being replaced already", "there is no worker 2"});
    CHECK(on.started() == 2);
  });
}

TEST_CASE("a successor takes over as soon as it is ready when its predecessor dies meanwhile") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    on.ask(on.supervisor.reload());
    co_await on.settle();
    SUBCASE("before it is ready") {
      co_await on.end(0, {0, SIGKILL});
      on.process(2).say_ready();
    }
    SUBCASE("while it waits for the others") {
      on.process(2).say_ready();
      co_await on.settle();
      co_await on.end(0, {0, SIGKILL});
    }
    co_await on.settle();
    CHECK(on.outcomes.empty());
    CHECK(on.mode.serving.size() == 2);
    on.process(3).say_ready();
    co_await on.settle();
    CHECK(on.outcomes == std::vector<std::string>{"ok"});
    CHECK(on.started() == 4);
  });
}

TEST_CASE("a reload also replaces a worker that starts, and one that backs off") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    on.supervisor.add();
    co_await on.settle();
    co_await on.end(0, {1, 0});
    CHECK(on.states() == "1 pausing, 2 starting");
    on.ask(on.supervisor.reload());
    co_await on.settle();
    CHECK(on.states() == "1 starting, 2 starting, 2 starting");
    on.process(2).say_ready();
    co_await on.settle();
    CHECK(on.mode.serving.size() == 1);   // nobody else does in its slot
    on.clock.advance(milliseconds(100));  // the pause would be over
    on.process(3).say_ready();
    co_await on.settle();
    CHECK(on.outcomes == std::vector<std::string>{"ok"});
    CHECK(on.states() == "1 ready, 2 draining, 2 ready");
    CHECK(on.process(1).told == std::vector<std::string>{"TERM"});
    CHECK(on.started() == 4);
  });
}

TEST_CASE("a reload that fails while a slot backs off leaves that to start again") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    co_await on.end(0, {0, SIGKILL});  // started again at once
    co_await on.end(2, {1, 0});
    CHECK(on.states() == "1 pausing, 2 ready");
    on.ask(on.supervisor.reload());
    co_await on.settle();
    co_await on.end(4, {1, 0});  // the successor of the second
    CHECK(on.outcomes.size() == 1);
    on.clock.advance(milliseconds(100));
    co_await on.settle();
    CHECK(on.states() == "1 starting, 2 ready");
  });
}

TEST_CASE("a worker that is scaled away during a reload drains, and its successor is killed") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    on.ask(on.supervisor.reload());
    co_await on.settle();
    on.supervisor.scale(1);
    co_await on.settle();
    CHECK(on.process(3).told == std::vector<std::string>{"KILL"});
    CHECK(on.process(3).finished);
    CHECK(on.outcomes.empty());
    on.process(2).say_ready();
    co_await on.settle();
    CHECK(on.outcomes == std::vector<std::string>{"ok"});
    CHECK(on.states() == "1 draining, 1 ready, 2 draining");
  });
}

TEST_CASE("a scaled supervisor keeps one worker, and gives out the lowest free numbers") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(3);
    CHECK(on.supervisor.retire_one());
    CHECK(on.supervisor.retire_one());
    CHECK(!on.supervisor.retire_one());
    co_await on.settle();
    CHECK(on.supervisor.size() == 1);
    co_await on.end(2);
    on.supervisor.add();
    co_await on.settle();
    CHECK(on.spawner.last().number == 3);  // the second one still drains
    CHECK(on.states() == "1 ready, 2 draining, 3 starting");
  });
}

TEST_CASE("a worker that is scaled away while its slot backs off is never started again") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    on.supervisor.add();
    on.supervisor.add();
    co_await on.settle();
    co_await on.end(1, {1, 0});
    on.supervisor.scale(1);
    on.clock.advance(seconds(10) - milliseconds(1));
    co_await on.settle();
    CHECK(on.started() == 2);
    CHECK(on.states() == "1 starting");
  });
}

TEST_CASE("a worker that asks to leave is replaced, and serves until then") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.process(0).say(channel::encode_leave());
    on.process(0).say(channel::encode_leave());
    co_await on.settle();
    CHECK(on.states() == "1 ready, 1 starting");
    on.process(1).say_ready();
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 ready");
    CHECK(on.started() == 2);
  });
}

TEST_CASE("a worker that asks to leave and whose successors fail is replaced by a later one") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.process(0).say(channel::encode_leave());
    co_await on.settle();
    co_await on.end(1, {1, 0});
    CHECK(on.lines.back() ==
          "cannot replace worker 1: worker 1, pid 1001: exit status 1, before it was "
          "ready; trying again");
    CHECK(on.started() == 2);
    on.clock.advance(milliseconds(100));
    co_await on.settle();
    CHECK(on.started() == 3);
    on.process(2).say_ready();
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 ready");
  });
}

TEST_CASE("a worker that asks to leave while it is being replaced has what it asks for") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    on.process(0).say(channel::encode_leave());
    co_await on.settle();
    on.process(1).say_ready();
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 ready");
    CHECK(on.started() == 2);
    const auto failed = [](const std::string& line) { return line.find("again") < line.size(); };
    CHECK(std::none_of(on.lines.begin(), on.lines.end(), failed));
  });
}

TEST_CASE("a worker that asks to leave during a reload that fails is replaced after it") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.reload());
    co_await on.settle();
    on.process(0).say(channel::encode_leave());
    co_await on.settle();
    CHECK(on.started() == 2);
    co_await on.end(1, {1, 0});
    CHECK(on.outcomes.size() == 1);
    CHECK(on.started() == 3);
    on.process(2).say_ready();
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 ready");
  });
}

TEST_CASE("a successor that asks to leave before it serves is replaced once it does") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    on.ask(on.supervisor.reload());
    co_await on.settle();
    on.process(2).say_ready();
    on.process(2).say(channel::encode_leave());
    co_await on.settle();
    CHECK(on.started() == 4);
    on.process(3).say_ready();
    co_await on.settle();
    CHECK(on.outcomes == std::vector<std::string>{"ok"});
    CHECK(on.started() == 5);
    on.process(4).say_ready();
    co_await on.settle();
    CHECK(on.states() == "1 draining, 1 draining, 1 ready, 2 draining, 2 ready");
  });
}

TEST_CASE("a worker that is being replaced when a reload begins gets the reload's successor") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(1);
    on.ask(on.supervisor.replace(1));
    co_await on.settle();
    on.ask(on.supervisor.reload());
    co_await on.settle();
    CHECK(on.process(1).finished);
    CHECK(on.started() == 3);
    on.process(2).say_ready();
    co_await on.settle();
    CHECK(on.outcomes == std::vector<std::string>{"ok", "ok"});
  });
}

TEST_CASE("a stop kills successors, ends pauses, and lets no reload or replacement begin") {
  Bench bench;
  play(bench, [](Bench& on) -> Task<void> {
    co_await on.serve(2);
    co_await on.end(0, {0, SIGKILL});
    co_await on.end(2, {1, 0});
    CHECK(on.states() == "1 pausing, 2 ready");
    on.ask(on.supervisor.replace(2));
    co_await on.settle();
    on.supervisor.retire_all({});
    on.ask(on.supervisor.reload());
    on.ask(on.supervisor.replace(2));
    co_await on.settle();
    CHECK(on.process(3).finished);
    CHECK(on.outcomes == std::vector<std::string>{"ok", "stopping", "there is no worker 2"});
    CHECK(on.states() == "2 draining");
    co_await on.end(1);
    CHECK(on.supervisor.is_empty());
  });
}

}  // namespace
}  // namespace handoff
