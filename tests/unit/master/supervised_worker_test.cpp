// SPDX-License-Identifier: MIT
#include "master/supervised_worker.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <vector>

#include "supervised_worker_bench.hpp"

namespace handoff {
namespace {

using std::chrono::seconds;
using test::close_channel;
using test::Kind;
using test::kPhases;
using test::leader_ends_alone;
using test::leader_ends_among_others;
using test::name_of;
using Bench = test::WorkerBench;

struct Row {
  const char* event;
  void (*happens)(Bench&);
  /// What follows in each of kPhases.
  std::array<const char*, kPhases.size()> follows;
};

void walk(Kind kind, const std::vector<Row>& table) {
  for (const Row& row : table) {
    for (std::size_t i = 0; i < kPhases.size(); ++i) {
      Bench bench(kind);
      bench.reach(kPhases[i]);
      (void)bench.happened();
      row.happens(bench);
      CAPTURE(row.event);
      CAPTURE(name_of(kPhases[i]));
      CHECK(bench.happened() == row.follows[i]);
    }
  }
}

TEST_CASE("each event leads a spawned worker from each phase where the table says") {
  walk(Kind::spawned,
       {
           {"it says READY",
            [](Bench& bench) { bench.worker->ready(); },
            {"standby: may serve", "standby", "serving", "draining", "killed", "ended"}},
           {"its slot lets it serve",
            [](Bench& bench) { bench.worker->serve(); },
            {"starting", "serving: joined", "serving", "draining", "killed", "ended"}},
           {"it says LEAVE",
            [](Bench& bench) { bench.worker->asks_to_leave(); },
            {"starting: asks", "standby: asks", "serving: asks", "draining", "killed", "ended"}},
           {"it is told to leave",
            [](Bench& bench) { bench.worker->drain(LeaveReason::scaled_down); },
            {"draining: TERM, DRAIN", "draining: DRAIN", "draining: left, DRAIN", "draining",
             "killed", "ended"}},
           {"the master stops",
            [](Bench& bench) { bench.worker->drain(LeaveReason::stopping); },
            {"draining: TERM, DRAIN and close", "draining: DRAIN and close",
             "draining: DRAIN and close", "draining: DRAIN and close", "killed", "ended"}},
           {"it is to be killed",
            [](Bench& bench) { bench.worker->kill(LeaveReason::discarded); },
            {"killed: KILL", "killed: KILL", "killed: left, KILL", "killed: KILL", "killed: KILL",
             "ended"}},
           {"its time is over",
            [](Bench& bench) { bench.clock.advance(seconds(30)); },
            {"killed: KILL", "standby", "serving", "killed: KILL", "killed", "ended"}},
           {"it breaks the protocol",
            [](Bench& bench) { bench.worker->protocol_broken("it sent too much"); },
            {"killed: KILL", "killed: KILL", "killed: left, KILL", "killed: KILL", "killed",
             "ended"}},
           {"it closes its channel",
            close_channel,
            {"starting", "standby", "serving: left", "draining", "killed", "ended"}},
           {"its leader ends, and with it all its tree",
            leader_ends_alone,
            {"starting: over", "standby: over", "serving: over", "draining: over", "killed: over",
             "ended"}},
           {"its leader ends, and others of its tree live",
            leader_ends_among_others,
            {"killed: KILL", "killed: KILL", "killed: left, KILL", "draining: TERM", "killed: KILL",
             "ended"}},
           {"a child ends, its leader lives",
            [](Bench& bench) { bench.worker->child_ended(); },
            {"starting", "standby", "serving", "draining", "killed", "ended"}},
           {"everything that it has sent was received",
            [](Bench& bench) { bench.worker->end(); },
            {"ended: gone, over", "ended: gone, over", "ended: gone, over", "ended: gone, over",
             "ended: gone, over", "ended"}},
       });
}

TEST_CASE("each event leads a worker that has joined from each phase where the table says") {
  walk(Kind::joined,
       {
           {"it says READY",
            [](Bench& bench) { bench.worker->ready(); },
            {"standby: may serve", "standby", "serving", "draining", "killed", "ended"}},
           {"it may serve",
            [](Bench& bench) { bench.worker->serve(); },
            {"starting", "serving: joined", "serving", "draining", "killed", "ended"}},
           {"it says LEAVE",
            [](Bench& bench) { bench.worker->asks_to_leave(); },
            {"draining: DRAIN", "draining: DRAIN", "draining: left, DRAIN", "draining", "killed",
             "ended"}},
           {"it is told to leave",
            [](Bench& bench) { bench.worker->drain(LeaveReason::asked); },
            {"draining: DRAIN", "draining: DRAIN", "draining: left, DRAIN", "draining", "killed",
             "ended"}},
           {"it is let go",
            [](Bench& bench) { bench.worker->kill(LeaveReason::stopping); },
            {"killed: over", "killed: over", "killed: left, over", "killed: over", "killed",
             "ended"}},
           {"its time is over",
            [](Bench& bench) { bench.clock.advance(seconds(30)); },
            {"killed: over", "standby", "serving", "killed: over", "killed", "ended"}},
           {"it breaks the protocol",
            [](Bench& bench) { bench.worker->protocol_broken("it sent too much"); },
            {"killed: over", "killed: over", "killed: left, over", "killed: over", "killed",
             "ended"}},
           {"it closes its channel",
            close_channel,
            {"starting: over", "standby: over", "serving: left, over", "draining: over", "killed",
             "ended"}},
           {"a child of the master ends",
            [](Bench& bench) { bench.worker->child_ended(); },
            {"starting", "standby", "serving", "draining", "killed", "ended"}},
           {"everything that it has sent was received",
            [](Bench& bench) { bench.worker->end(); },
            {"ended: gone, over", "ended: gone, over", "ended: gone, over", "ended: gone, over",
             "ended: gone", "ended"}},
       });
}

}  // namespace
}  // namespace handoff
