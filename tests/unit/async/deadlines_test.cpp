// SPDX-License-Identifier: MIT
#include "async/deadlines.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>

#include <handoff/async/event.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

/// Notes its letter when its deadline passes, and sets the event after the last.
struct Entry final : Deadlines::Entry {
  Entry(char its_letter, std::string& where, Event& its_last)
      : letter(its_letter), passed(where), last(its_last) {}
  void on_deadline() override {
    passed += letter;
    if (letter == 'z') { last.set(); }
  }
  char letter;
  std::string& passed;
  Event& last;
};

TEST_CASE("deadlines pass on the reactor, the earlier ones first, and not those disarmed") {
  const test::DescriptorCheck check;
  Reactor reactor;
  Deadlines deadlines(reactor);
  Event last(reactor);
  std::string passed;
  Entry early('a', passed, last);
  Entry late('z', passed, last);
  Entry never('n', passed, last);
  Entry disarmed('d', passed, last);
  const TimePoint start = Clock::now();
  deadlines.arm(never, start + hours(1));
  deadlines.arm(late, start + milliseconds(20));
  deadlines.arm(disarmed, start + milliseconds(8));
  deadlines.arm(early, start + milliseconds(10));
  deadlines.disarm(disarmed);
  reactor.run([](Event& event) -> Task<void> { co_await event; }(last));
  CHECK(passed == "az");
  CHECK(Clock::now() >= start + milliseconds(20));
  CHECK(never.is_armed());
  deadlines.disarm(never);
}

}  // namespace
}  // namespace handoff
