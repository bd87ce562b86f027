// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <chrono>

#include "master/supervised_worker.hpp"
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

TEST_CASE("a worker has its time to start and to drain, and as much as it likes to serve") {
  const std::array<long, kPhases.size()> limits{10, 0, 0, 30, 0, 0};
  for (std::size_t i = 0; i < kPhases.size(); ++i) {
    CAPTURE(name_of(kPhases[i]));
    Bench bench;
    bench.reach(kPhases[i]);
    CHECK(bench.limit() == limits[i]);
  }
}

TEST_CASE("a worker that closes its channel while it serves has to end in its drain time") {
  Bench bench;
  bench.reach(WorkerPhase::serving);
  close_channel(bench);
  CHECK(bench.limit() == 30);
  bench.clock.advance(seconds(30));
  CHECK(bench.worker->phase() == WorkerPhase::killed);
  CHECK(bench.lines.back() ==
        "worker 1, pid 4711: still there after 30s, killed with 0 connections");
}

TEST_CASE("a worker with socket activation may close a channel that means nothing to it") {
  Bench bench(Kind::without_handshake);
  bench.reach(WorkerPhase::serving);
  close_channel(bench);
  CHECK(bench.happened() == "serving: joined, may serve");
  CHECK(bench.limit() == 0);
  bench.worker->drain(LeaveReason::reload);
  CHECK(bench.happened() == "draining: left, TERM");
}

TEST_CASE("a worker that is not ready in time is killed, and its READY counts no more") {
  Bench bench;
  bench.clock.advance(seconds(10));
  CHECK(bench.lines.back() == "worker 1, pid 4711: not ready within 10s, killed");
  bench.worker->ready();
  CHECK(bench.worker->phase() == WorkerPhase::killed);
  CHECK(!bench.worker->was_ready());
  CHECK(bench.worker->leave_reason() == LeaveReason::overdue);
}

TEST_CASE("a worker that is ready in the moment before its deadline lives") {
  Bench bench;
  bench.clock.advance(seconds(10) - std::chrono::nanoseconds(1));
  bench.worker->ready();
  bench.clock.advance(seconds(1000));
  CHECK(bench.worker->phase() == WorkerPhase::standby);
}

TEST_CASE("a worker that was ready and dead at once was ready, and serves nobody") {
  Bench bench;
  leader_ends_alone(bench);
  bench.worker->ready();  // which was still in its channel
  bench.worker->asks_to_leave();
  CHECK(bench.happened() == "starting: over");
  CHECK(bench.worker->was_ready());
  bench.worker->end();
  CHECK(bench.lines.back() == "worker 1, pid 4711: exit status 0");
}

TEST_CASE("a worker that asks to leave is heard once") {
  Bench bench;
  bench.reach(WorkerPhase::serving);
  bench.worker->asks_to_leave();
  bench.worker->asks_to_leave();
  CHECK(bench.happened() == "serving: joined, may serve, asks");
}

TEST_CASE("the first reason to leave stays") {
  Bench bench;
  bench.reach(WorkerPhase::serving);
  bench.worker->drain(LeaveReason::reload);
  bench.clock.advance(seconds(30));
  CHECK(bench.worker->leave_reason() == LeaveReason::reload);
  CHECK(bench.worker->was_killed());
  bench.worker->end();
  CHECK(bench.worker->was_cut_off());
  CHECK(bench.lines.back() == "worker 1, pid 4711: left, signal 9 (Killed)");
}

TEST_CASE("a worker that drains lives as long as anything of its tree, and TERM reaches the rest") {
  Bench bench;
  bench.reach(WorkerPhase::draining);
  (void)bench.happened();
  leader_ends_among_others(bench);
  CHECK(bench.happened() == "draining: TERM");
  bench.worker->child_ended();  // an orphan has left another behind
  CHECK(bench.happened() == "draining: TERM");
  bench.process->others = 0;
  bench.worker->child_ended();
  CHECK(bench.happened() == "draining: over");
  bench.worker->end();
  CHECK(!bench.worker->was_cut_off());
}

TEST_CASE("what a wrapper that does not forward TERM leaves behind is killed at the deadline") {
  Bench bench;
  bench.reach(WorkerPhase::draining);
  leader_ends_among_others(bench);
  bench.clock.advance(seconds(30));
  CHECK(bench.worker->phase() == WorkerPhase::killed);
  CHECK(bench.process->others == 0);
  bench.worker->child_ended();
  bench.worker->end();
  CHECK(bench.worker->was_cut_off());
}

TEST_CASE("a tree that has ended by its deadline is not said to be late") {
  Bench bench;
  bench.reach(WorkerPhase::draining);
  leader_ends_among_others(bench);
  bench.process->others = 0;  // its SIGCHLD has not been handled yet
  bench.clock.advance(seconds(30));
  CHECK(bench.worker->phase() == WorkerPhase::draining);
  CHECK(bench.worker->over().is_set());
}

TEST_CASE("a worker that goes into the background is killed there, and the log says so") {
  Bench bench;
  leader_ends_among_others(bench);
  bench.worker->child_ended();
  bench.worker->end();
  CHECK(bench.worker->leave_reason() == LeaveReason::left_others);
  CHECK(bench.lines.back() ==
        "worker 1, pid 4711: exit status 0; it went into the background and was killed there (run "
        "it in the foreground), before it was ready");
}

TEST_CASE("what a killed tree gives birth to is killed too") {
  Bench bench;
  bench.reach(WorkerPhase::serving);
  leader_ends_among_others(bench);
  bench.process->others = 1;
  (void)bench.happened();
  bench.worker->child_ended();
  CHECK(bench.happened() == "killed: KILL");
  bench.worker->child_ended();
  CHECK(bench.happened() == "killed: over");
}

TEST_CASE("a worker that was told to give back closes what it has when the master stops") {
  Bench bench;
  bench.reach(WorkerPhase::draining);
  (void)bench.happened();
  bench.worker->drain(LeaveReason::handing_over);
  CHECK(bench.happened() == "draining");
  bench.worker->drain(LeaveReason::stopping);
  CHECK(bench.happened() == "draining: DRAIN and close");
  CHECK(bench.worker->leave_reason() == LeaveReason::reload);
}

TEST_CASE("a worker that hangs is killed once it has left a timeout's questions unanswered") {
  for (const WorkerPhase phase : kPhases) {
    CAPTURE(name_of(phase));
    Bench bench;
    bench.process->say(channel::encode_hello({channel::kVersion, 1, 10, 1, true}));
    bench.worker->link()->start();
    bench.reactor.run([](Reactor& reactor) -> Task<void> {
      co_await reactor.yield();  // the HELLO is received
    }(bench.reactor));
    bench.reach(phase);
    for (int i = 0; i < AnswerWatch::kQuarters; ++i) {
      bench.worker->quarter_passed(AnswerWatch::Look::in_time);
      bench.worker->quarter_passed(AnswerWatch::Look::late);  // the master was suspended
    }
    CHECK(bench.worker->phase() == phase);
    bench.worker->quarter_passed(AnswerWatch::Look::in_time);
    const bool has_to_answer = phase == WorkerPhase::standby || phase == WorkerPhase::serving ||
                               phase == WorkerPhase::draining;
    CHECK(bench.worker->phase() == (has_to_answer ? WorkerPhase::killed : phase));
  }
}

}  // namespace
}  // namespace handoff
