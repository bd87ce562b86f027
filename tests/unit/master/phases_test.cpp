// SPDX-License-Identifier: MIT
#include "master/phases.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <ostream>
#include <vector>

namespace handoff {
namespace {

using Phase = MasterPhase;
using Event = MasterEvent;
using Action = MasterAction;

constexpr std::array kEvents{
    Event::workers_ready, Event::promised,     Event::predecessor_settled, Event::stop,
    Event::stop_again,    Event::cannot_go_on, Event::successor_ready,     Event::drained,
    Event::lame_duck_over};

struct Outcome {
  Phase phase;
  Action action;
  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << "phase " << static_cast<int>(outcome.phase) << ", action "
             << static_cast<int>(outcome.action);
}

/// A master to which these events have happened.
MasterPhases after(const std::vector<Event>& events, LameDuck lame_duck = LameDuck::without) {
  MasterPhases phases(lame_duck);
  for (const Event event : events) { phases.take(event); }
  return phases;
}

/// Checks every event in the phase to which `history` leads. Where `changes` says nothing, the
/// event changes nothing.
void check(const std::vector<Event>& history, Phase phase, const std::map<Event, Outcome>& changes,
           LameDuck lame_duck = LameDuck::without) {
  REQUIRE(after(history, lame_duck).phase() == phase);
  for (const Event event : kEvents) {
    CAPTURE(static_cast<int>(event));
    MasterPhases phases = after(history, lame_duck);
    const auto expected = changes.find(event);
    const Action action = phases.take(event);
    CHECK(Outcome{phases.phase(), action} ==
          (expected == changes.end() ? Outcome{phase, Action::none} : expected->second));
  }
}

const std::vector<Event> kServing{Event::workers_ready};
const std::vector<Event> kTakingOver{Event::workers_ready, Event::promised};

TEST_CASE("every event while a master starts") {
  check({}, Phase::starting,
        {{Event::workers_ready, {Phase::serving, Action::serve}},
         {Event::stop, {Phase::stopping, Action::stop}},
         {Event::stop_again, {Phase::stopping, Action::stop}},
         {Event::cannot_go_on, {Phase::stopping, Action::stop_at_once}},
         {Event::successor_ready, {Phase::handing_over, Action::hand_over}}});
}

TEST_CASE("every event while a master serves") {
  check(kServing, Phase::serving,
        {{Event::promised, {Phase::taking_over, Action::none}},
         {Event::stop, {Phase::stopping, Action::stop}},
         {Event::stop_again, {Phase::stopping, Action::stop}},
         {Event::cannot_go_on, {Phase::stopping, Action::stop_at_once}},
         {Event::successor_ready, {Phase::handing_over, Action::hand_over}}});
}

TEST_CASE("every event while a master waits for its predecessor's answer") {
  check(kTakingOver, Phase::taking_over,
        {{Event::predecessor_settled, {Phase::serving, Action::none}},
         {Event::stop_again, {Phase::stopping, Action::stop}},
         {Event::cannot_go_on, {Phase::stopping, Action::stop_at_once}},
         {Event::successor_ready, {Phase::handing_over, Action::hand_over}}});
}

TEST_CASE("every event after a stop was put off") {
  check({Event::workers_ready, Event::promised, Event::stop}, Phase::taking_over,
        {{Event::predecessor_settled, {Phase::stopping, Action::stop}},
         {Event::stop_again, {Phase::stopping, Action::stop}},
         {Event::cannot_go_on, {Phase::stopping, Action::stop_at_once}},
         {Event::successor_ready, {Phase::handing_over, Action::hand_over}}});
}

TEST_CASE("every event while a master stops") {
  const std::map<Event, Outcome> expected{{Event::stop_again, {Phase::stopping, Action::kill}},
                                          {Event::cannot_go_on, {Phase::stopping, Action::kill}},
                                          {Event::drained, {Phase::over, Action::none}}};
  check({Event::stop}, Phase::stopping, expected);
  check({Event::workers_ready, Event::stop}, Phase::stopping, expected);
  check({Event::cannot_go_on}, Phase::stopping, expected);
}

TEST_CASE("every event while a master is a lame duck") {
  const std::map<Event, Outcome> expected{
      {Event::lame_duck_over, {Phase::stopping, Action::stop}},
      {Event::stop_again, {Phase::stopping, Action::stop_at_once}},
      {Event::cannot_go_on, {Phase::stopping, Action::stop_at_once}}};
  check({Event::workers_ready, Event::stop}, Phase::lame_duck, expected, LameDuck::with);
  check({Event::workers_ready, Event::promised, Event::stop, Event::predecessor_settled},
        Phase::lame_duck, expected, LameDuck::with);
}

TEST_CASE("a master that serves is a lame duck before it stops, and no other is") {
  const auto outcome_of = [](const std::vector<Event>& history, Event event) {
    MasterPhases phases = after(history, LameDuck::with);
    const Action action = phases.take(event);
    return Outcome{phases.phase(), action};
  };
  const Outcome is_lame_duck{Phase::lame_duck, Action::be_lame_duck};
  CHECK(outcome_of(kServing, Event::stop) == is_lame_duck);
  CHECK(outcome_of(kServing, Event::stop_again) == is_lame_duck);
  CHECK(outcome_of(kTakingOver, Event::stop_again) == is_lame_duck);
  CHECK(outcome_of({}, Event::stop) == Outcome{Phase::stopping, Action::stop});
  CHECK(outcome_of(kServing, Event::cannot_go_on) ==
        Outcome{Phase::stopping, Action::stop_at_once});
}

TEST_CASE("a lame duck goes on, and changes no more") {
  const MasterPhases phases = after({Event::workers_ready, Event::stop}, LameDuck::with);
  CHECK(phases.goes_on());
  CHECK_FALSE(phases.may_change());
  CHECK(phases.is_told_to_stop());
}

TEST_CASE("every event while a master hands over") {
  check({Event::workers_ready, Event::successor_ready}, Phase::handing_over,
        {{Event::stop, {Phase::handing_over, Action::leave_successor}},
         {Event::stop_again, {Phase::handing_over, Action::leave_successor}},
         {Event::cannot_go_on, {Phase::handing_over, Action::kill}},
         {Event::drained, {Phase::over, Action::none}}});
}

TEST_CASE("a stop that was put off stops the successor too once the predecessor has settled") {
  check({Event::workers_ready, Event::promised, Event::stop, Event::successor_ready},
        Phase::handing_over,
        {{Event::predecessor_settled, {Phase::handing_over, Action::leave_successor}},
         {Event::stop, {Phase::handing_over, Action::leave_successor}},
         {Event::stop_again, {Phase::handing_over, Action::leave_successor}},
         {Event::cannot_go_on, {Phase::handing_over, Action::kill}},
         {Event::drained, {Phase::over, Action::none}}});
}

TEST_CASE("every event while a master that hands over was told to stop") {
  check({Event::workers_ready, Event::successor_ready, Event::stop}, Phase::handing_over,
        {{Event::stop_again, {Phase::handing_over, Action::kill}},
         {Event::cannot_go_on, {Phase::handing_over, Action::kill}},
         {Event::drained, {Phase::over, Action::none}}});
}

TEST_CASE("no event changes a master that is over") {
  check({Event::stop, Event::drained}, Phase::over, {});
  check({Event::successor_ready, Event::drained}, Phase::over, {});
}

TEST_CASE("a stop that was put off is none yet") {
  CHECK_FALSE(after({Event::workers_ready, Event::promised, Event::stop}).is_told_to_stop());
  CHECK(after({Event::workers_ready, Event::promised, Event::stop, Event::predecessor_settled})
            .is_told_to_stop());
}

TEST_CASE("a master is hurried by a second stop, and when it cannot go on") {
  CHECK_FALSE(after({Event::stop}).hurried());
  CHECK_FALSE(
      after({Event::workers_ready, Event::promised, Event::stop, Event::stop_again}).hurried());
  CHECK(after({Event::stop, Event::stop_again}).hurried());
  CHECK(after({Event::cannot_go_on}).hurried());
  CHECK(after({Event::stop, Event::stop_again, Event::stop}).hurried());
  CHECK(after({Event::successor_ready, Event::stop, Event::stop_again}).hurried());
}

TEST_CASE("a master goes on until it stops or hands over") {
  CHECK(after({}).goes_on());
  CHECK(after(kServing).goes_on());
  CHECK(after(kTakingOver).goes_on());
  CHECK_FALSE(after({Event::stop}).goes_on());
  CHECK_FALSE(after({Event::successor_ready}).goes_on());
  CHECK_FALSE(after({Event::stop, Event::drained}).goes_on());
}

}  // namespace
}  // namespace handoff
