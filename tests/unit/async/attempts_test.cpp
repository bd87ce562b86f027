// SPDX-License-Identifier: MIT
#include "async/attempts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Result { refused, missing, forbidden, silent, broken, connected };

/// Attempts whose results are written down beforehand; the last one repeats.
struct Script {
  explicit Script(std::vector<Result> written) : results(std::move(written)) {}

  Reactor reactor;
  std::vector<Result> results;
  std::size_t attempts = 0;
  std::vector<std::string> reported;

  Task<std::string> attempt(TimeLimit limit) {
    const Result result = results[std::min(attempts++, results.size() - 1)];
    switch (result) {
      case Result::refused:
        throw CannotConnect("cannot connect to x", {111, "refused", Outlook::may_change});
      case Result::missing:
        throw CannotConnect("cannot connect to x", {2, "missing", Outlook::may_change});
      case Result::forbidden:
        throw CannotConnect("cannot connect to x", {13, "forbidden", Outlook::permanent});
      case Result::silent:
        co_await reactor.sleep_until(limit.when);
        throw ConnectTimedOut("cannot connect to x", "no answer", limit);
      case Result::broken: throw std::runtime_error("broken");
      case Result::connected: break;
    }
    co_return "connected";
  }

  std::string run(AttemptOptions options) {
    options.first_pause = milliseconds(1);
    options.on_waiting = [this](const std::string& text) { reported.push_back(text); };
    Attempts all(reactor, std::move(options));
    return reactor.run_for_result(
        all.run<std::string>([this](TimeLimit limit) { return attempt(limit); }));
  }
  template <typename Exception>
  std::string failure(AttemptOptions options) {
    return test::thrown_by<Exception>([&] { (void)run(std::move(options)); }).what();
  }
};

TimeLimit within(Duration duration) {
  return TimeLimit::after(Clock::now(), duration);
}

TEST_CASE("so many retries follow the first attempt, and the last failure is the result") {
  Script script({Result::refused});
  CHECK(script.failure<CannotConnect>({}) == "cannot connect to x: refused");
  CHECK(script.attempts == 1);
  CHECK(script.reported.empty());
  script.attempts = 0;
  script.results = {Result::missing, Result::missing, Result::refused};
  CHECK(script.failure<CannotConnect>({.retries = 2}) == "cannot connect to x: refused");
  CHECK(script.attempts == 3);
}

TEST_CASE("waiting and retrying survive an attempt that timed out") {
  for (const AttemptMode mode : {AttemptMode::wait, AttemptMode::retry}) {
    Script script({Result::silent, Result::refused, Result::connected});
    CHECK(script.run({.mode = mode,
                      .retries = 2,
                      .limit = within(seconds(10)),
                      .attempt_timeout = milliseconds(5)}) == "connected");
    CHECK(script.attempts == 3);
    CHECK(script.reported ==
          std::vector<std::string>{"cannot connect to x within 5ms: no answer (waiting)",
                                   "cannot connect to x: refused (waiting)"});
  }
}

TEST_CASE("what can never work is no reason to wait") {
  Script script({Result::refused, Result::forbidden});
  CHECK(script.failure<CannotConnect>({.mode = AttemptMode::wait}) ==
        "cannot connect to x: forbidden");
  CHECK(script.attempts == 2);
}

TEST_CASE("any other failure of an attempt ends them") {
  Script script({Result::refused, Result::broken});
  CHECK(script.failure<std::runtime_error>({.mode = AttemptMode::wait}) == "broken");
  CHECK(script.attempts == 2);
}

TEST_CASE("a reason is reported at once when it is another than before") {
  Script script(
      {Result::missing, Result::missing, Result::refused, Result::missing, Result::connected});
  CHECK(script.run({.mode = AttemptMode::wait}) == "connected");
  CHECK(script.reported == std::vector<std::string>{"cannot connect to x: missing (waiting)",
                                                    "cannot connect to x: refused (waiting)",
                                                    "cannot connect to x: missing (waiting)"});
}

TEST_CASE("at the limit the last reason is said, with how long was waited") {
  Script script({Result::missing, Result::refused});
  CHECK(script.failure<CannotConnect>(
            {.mode = AttemptMode::wait, .limit = within(milliseconds(20))}) ==
        "cannot connect to x within 20ms: refused");
  CHECK(script.attempts > 1);
}

TEST_CASE("an attempt that the limit cuts short does not hide why those before it failed") {
  Script script({Result::refused, Result::silent});
  CHECK(script.failure<CannotConnect>(
            {.mode = AttemptMode::wait, .limit = within(milliseconds(20))}) ==
        "cannot connect to x within 20ms: refused");
  CHECK(script.attempts == 2);
}

TEST_CASE("when nothing has ever answered, the limit is a timeout") {
  Script script({Result::silent});
  CHECK(script.failure<ConnectTimedOut>({.mode = AttemptMode::wait,
                                         .limit = within(milliseconds(20)),
                                         .attempt_timeout = milliseconds(5)}) ==
        "cannot connect to x within 20ms: no answer");
  CHECK(script.attempts > 1);
}

TEST_CASE("a call that is made again uses up a retry, and ends at the limit") {
  Reactor reactor;
  Attempts some(reactor, {.retries = 2, .first_pause = milliseconds(1)});
  CHECK(some.has_retry());
  CHECK(reactor.run_for_result(some.pause_before_retry("busy")));
  CHECK(reactor.run_for_result(some.pause_before_retry("busy")));
  CHECK(!some.has_retry());
  Attempts short_ones(reactor, {.retries = 9, .limit = within(milliseconds(1))});
  CHECK(!reactor.run_for_result(short_ones.pause_before_retry("busy")));
}

}  // namespace
}  // namespace handoff
