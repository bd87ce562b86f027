// SPDX-License-Identifier: MIT
#include "worker/worker_life.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <ostream>
#include <vector>

namespace handoff {
namespace {

using Phase = WorkerLife::Phase;
using Happened = WorkerLife::Event;
using Action = WorkerLife::Action;

constexpr std::array kEvents{Happened::begins_alone,    Happened::begins_for_master,
                             Happened::signal,          Happened::wants_replacement,
                             Happened::drain_returning, Happened::drain_closing,
                             Happened::drain_rejoining, Happened::master_gone,
                             Happened::finished,        Happened::lame_duck_over};

struct Outcome {
  Phase phase;
  Action action;
  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << "phase " << static_cast<int>(outcome.phase) << ", action "
             << static_cast<int>(outcome.action);
}

using LameDuck = WorkerLife::LameDuck;

WorkerLife after(const std::vector<Happened>& events, LameDuck lame_duck = LameDuck::without) {
  WorkerLife life(lame_duck);
  for (const Happened event : events) { life.take(event); }
  return life;
}

/// Checks every event in the phase to which `history` leads. Where `changes` says nothing, the
/// event changes nothing.
void check(const std::vector<Happened>& history, Phase phase,
           const std::map<Happened, Outcome>& changes, LameDuck lame_duck = LameDuck::without) {
  REQUIRE(after(history, lame_duck).phase() == phase);
  for (const Happened event : kEvents) {
    CAPTURE(static_cast<int>(event));
    WorkerLife life = after(history, lame_duck);
    const auto expected = changes.find(event);
    const Action action = life.take(event);
    CHECK(Outcome{life.phase(), action} ==
          (expected == changes.end() ? Outcome{phase, Action::none} : expected->second));
  }
}

TEST_CASE("every event while a worker starts") {
  check({}, Phase::starting,
        {{Happened::begins_alone, {Phase::alone, Action::none}},
         {Happened::begins_for_master, {Phase::serving, Action::none}},
         {Happened::signal, {Phase::over, Action::stop_waiting}}});
}

TEST_CASE("every event while a worker serves alone") {
  check({Happened::begins_alone}, Phase::alone,
        {{Happened::signal, {Phase::draining, Action::drain_closing}},
         {Happened::wants_replacement, {Phase::draining, Action::drain_closing}},
         {Happened::drain_returning, {Phase::draining, Action::drain_returning}},
         {Happened::drain_rejoining, {Phase::draining, Action::drain_returning}},
         {Happened::drain_closing, {Phase::draining, Action::drain_closing}},
         {Happened::master_gone, {Phase::draining, Action::drain_closing}},
         {Happened::finished, {Phase::over, Action::none}}});
}

TEST_CASE("every event while a worker that serves alone is a lame duck") {
  check({Happened::begins_alone, Happened::signal}, Phase::lame_duck,
        {{Happened::signal, {Phase::draining, Action::drain_closing}},
         {Happened::lame_duck_over, {Phase::draining, Action::drain_closing}},
         {Happened::wants_replacement, {Phase::lame_duck, Action::none}},
         {Happened::drain_returning, {Phase::draining, Action::drain_returning}},
         {Happened::drain_rejoining, {Phase::draining, Action::drain_returning}},
         {Happened::drain_closing, {Phase::draining, Action::drain_closing}},
         {Happened::master_gone, {Phase::draining, Action::drain_closing}},
         {Happened::finished, {Phase::over, Action::none}}},
        LameDuck::with);
}

TEST_CASE("a worker of a master has no lame-duck phase of its own") {
  WorkerLife life = after({Happened::begins_for_master}, LameDuck::with);
  CHECK(life.take(Happened::signal) == Action::ask_in_time);
}

TEST_CASE("every event while a worker serves for a master") {
  check({Happened::begins_for_master}, Phase::serving,
        {{Happened::signal, {Phase::leaving, Action::ask_in_time}},
         {Happened::wants_replacement, {Phase::serving, Action::ask_master}},
         {Happened::drain_returning, {Phase::draining, Action::drain_returning}},
         {Happened::drain_rejoining, {Phase::draining, Action::drain_returning}},
         {Happened::drain_closing, {Phase::draining, Action::drain_closing}},
         {Happened::master_gone, {Phase::draining, Action::drain_closing}},
         {Happened::finished, {Phase::over, Action::none}}});
}

TEST_CASE("every event while a worker waits for its master's answer to a signal") {
  check({Happened::begins_for_master, Happened::signal}, Phase::leaving,
        {{Happened::drain_returning, {Phase::draining, Action::drain_returning}},
         {Happened::drain_rejoining, {Phase::draining, Action::drain_returning}},
         {Happened::drain_closing, {Phase::draining, Action::drain_closing}},
         {Happened::master_gone, {Phase::draining, Action::drain_closing}},
         {Happened::finished, {Phase::over, Action::none}}});
}

TEST_CASE("every event while a worker drains") {
  for (const Happened cause : {Happened::drain_returning, Happened::drain_closing}) {
    check({Happened::begins_for_master, cause}, Phase::draining,
          {{Happened::drain_closing, {Phase::draining, Action::close_rest}},
           {Happened::master_gone, {Phase::draining, Action::close_rest}},
           {Happened::finished, {Phase::over, Action::none}}});
  }
}

TEST_CASE("every event while a worker drains that joins again then") {
  for (const Happened cause : {Happened::drain_rejoining, Happened::master_gone}) {
    check({Happened::begins_for_master, cause}, Phase::draining,
          {{Happened::drain_closing, {Phase::draining, Action::close_rest}},
           {Happened::master_gone, {Phase::draining, Action::close_rest}},
           {Happened::finished, {Phase::starting, Action::none}}});
  }
}

TEST_CASE("no event changes a worker that is over") {
  check({Happened::signal}, Phase::over, {});
  check({Happened::begins_alone, Happened::finished}, Phase::over, {});
}

TEST_CASE("a worker that a signal has ended joins no other master") {
  using enum WorkerLife::Event;
  CHECK(after({begins_for_master, signal, drain_rejoining, finished}).phase() == Phase::over);
  CHECK(after({begins_for_master, master_gone, signal, finished}).phase() == Phase::over);
  CHECK(after({begins_for_master, signal, finished}).is_told_to_end());
}

TEST_CASE("a worker that was drained for good does not join again when its master goes then") {
  using enum WorkerLife::Event;
  CHECK(after({begins_for_master, drain_returning, master_gone, finished}).phase() == Phase::over);
}

TEST_CASE("a worker that joins again begins as at its start") {
  using enum WorkerLife::Event;
  check({begins_for_master, master_gone, finished, begins_for_master}, Phase::serving,
        {{signal, {Phase::leaving, Action::ask_in_time}},
         {wants_replacement, {Phase::serving, Action::ask_master}},
         {drain_returning, {Phase::draining, Action::drain_returning}},
         {drain_rejoining, {Phase::draining, Action::drain_returning}},
         {drain_closing, {Phase::draining, Action::drain_closing}},
         {master_gone, {Phase::draining, Action::drain_closing}},
         {finished, {Phase::over, Action::none}}});
}

TEST_CASE("a second signal hurries a worker, in each phase") {
  using enum WorkerLife::Event;
  CHECK_FALSE(after({begins_for_master, signal}).is_hurried());
  CHECK_FALSE(after({begins_for_master, drain_returning, signal}).is_hurried());
  CHECK(after({begins_for_master, signal, signal}).is_hurried());
  CHECK(after({begins_for_master, signal, drain_returning, signal}).is_hurried());
  CHECK(after({begins_alone, signal, signal}).is_hurried());
}

TEST_CASE("a DRAIN says whether connections go back, and whether to join again") {
  CHECK(event_of({.give_back = false, .join_again = false}) == Happened::drain_closing);
  CHECK(event_of({.give_back = true, .join_again = false}) == Happened::drain_returning);
  CHECK(event_of({.give_back = true, .join_again = true}) == Happened::drain_rejoining);
  CHECK(event_of({.give_back = false, .join_again = true}) == Happened::master_gone);
}

}  // namespace
}  // namespace handoff
