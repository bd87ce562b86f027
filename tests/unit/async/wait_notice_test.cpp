// SPDX-License-Identifier: MIT
#include "async/wait_notice.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include <handoff/async/event.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

struct Spoken {
  Reactor reactor;
  std::vector<std::string> lines;
  Event another{reactor};

  WaitNotice::Say listener() {
    return [this](const std::string& text) {
      lines.push_back(text);
      another.set();
    };
  }
  Task<void> wait_for(std::size_t count) {
    while (lines.size() < count) {
      another.clear();
      co_await another;
    }
  }
};

TEST_CASE("a reason to wait is said at once when it is new, and not again within the period") {
  Spoken spoken;
  WaitNotice notice(spoken.reactor, spoken.listener(), hours(1));
  notice.wait("refused");
  notice.wait("refused");
  notice.wait("missing");
  CHECK(spoken.lines == std::vector<std::string>{"refused (waiting)", "missing (waiting)"});
}

TEST_CASE("a reason is not said again by the next wait within the period") {
  Spoken spoken;
  WaitNotice notice(spoken.reactor, spoken.listener(), hours(1));
  notice.wait("refused");
  notice.stop();
  notice.expect("no answer yet");
  notice.wait("refused");
  CHECK(spoken.lines == std::vector<std::string>{"refused (waiting)"});
}

TEST_CASE("a reason is said again for as long as the wait goes on") {
  Spoken spoken;
  WaitNotice notice(spoken.reactor, spoken.listener(), milliseconds(1));
  notice.wait("refused");
  spoken.reactor.run(spoken.wait_for(3));
  CHECK(spoken.lines == std::vector<std::string>(3, "refused (waiting)"));
}

TEST_CASE("a wait that is short is not mentioned, and one that lasts for a period is") {
  Spoken spoken;
  WaitNotice notice(spoken.reactor, spoken.listener(), milliseconds(1));
  notice.expect("no answer yet");
  CHECK(spoken.lines.empty());
  spoken.reactor.run(spoken.wait_for(1));
  CHECK(spoken.lines.front() == "no answer yet (waiting)");
}

TEST_CASE("nothing is said after the wait is over") {
  Spoken spoken;
  WaitNotice notice(spoken.reactor, spoken.listener(), milliseconds(1));
  WaitNotice other(spoken.reactor, spoken.listener(), milliseconds(1));
  notice.expect("over");
  notice.stop();
  other.expect("goes on");
  spoken.reactor.run(spoken.wait_for(3));
  CHECK(spoken.lines == std::vector<std::string>(3, "goes on (waiting)"));
}

TEST_CASE("a notice without a listener says nothing") {
  Reactor reactor;
  WaitNotice notice(reactor, {}, milliseconds(1));
  notice.wait("refused");
  notice.expect("no answer yet");
  reactor.run([](Reactor& loop) -> Task<void> {
    co_await loop.sleep_until(Clock::now() + milliseconds(3));
  }(reactor));
}

}  // namespace
}  // namespace handoff
