// SPDX-License-Identifier: MIT
#include "async/signal_watcher.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include <handoff/async/condition.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// Collects the signals that a watcher reports.
struct Recorder {
  Task<void> watch() {
    return watch_signals(reactor, mask, [this](const ReceivedSignal& signal) {
      received.push_back(signal);
      changed.notify_all();
    });
  }
  Task<bool> wait_for(std::size_t count) {
    return changed.wait_until([this, count] { return received.size() >= count; },
                              Clock::now() + milliseconds(test::kPatienceMs));
  }

  Reactor reactor;
  Condition changed{reactor};
  SignalMask mask{SIGUSR1, SIGUSR2};
  std::vector<ReceivedSignal> received;
};

TEST_CASE("each signal is reported with its sender, also those that arrived before the watcher") {
  const test::DescriptorCheck check;
  Recorder recorder;
  kill(getpid(), SIGUSR1);
  const auto main = [&]() -> Task<void> {
    recorder.reactor.spawn(recorder.watch());
    CHECK(co_await recorder.wait_for(1));
    kill(getpid(), SIGUSR2);
    CHECK(co_await recorder.wait_for(2));
    kill(getpid(), SIGUSR1);
    CHECK(co_await recorder.wait_for(3));
  };
  recorder.reactor.run(main());
  REQUIRE(recorder.received.size() == 3);
  CHECK(recorder.received[0].number == SIGUSR1);
  CHECK(recorder.received[1].number == SIGUSR2);
  CHECK(recorder.received[2].number == SIGUSR1);
  CHECK(recorder.received[0].sender == getpid());
}

TEST_CASE("signals that wait together are all reported in one turn") {
  Recorder recorder;
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR2);
  const auto main = [&]() -> Task<void> {
    recorder.reactor.spawn(recorder.watch());
    co_await recorder.reactor.yield();
    CHECK(recorder.received.size() == 2);
  };
  recorder.reactor.run(main());
}

TEST_CASE("an exception of the handler leaves the reactor's run, and ends the watcher") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const SignalMask mask({SIGUSR1});
  int calls = 0;
  reactor.spawn(watch_signals(reactor, mask, [&calls](const ReceivedSignal&) {
    ++calls;
    throw std::runtime_error("told to stop");
  }));
  const auto forever = [&]() -> Task<void> { co_await reactor.sleep_until(kNever); };
  kill(getpid(), SIGUSR1);
  CHECK_THROWS_WITH(reactor.run(forever()), "told to stop");
  CHECK(calls == 1);
}

TEST_CASE("a watcher that is destroyed while it waits leaves the signals to the next") {
  const test::DescriptorCheck check;
  Recorder recorder;
  const auto nothing = []() -> Task<void> { co_return; };
  recorder.reactor.spawn(recorder.watch());
  recorder.reactor.run(nothing());
  kill(getpid(), SIGUSR1);
  CHECK(recorder.received.empty());
  const auto main = [&]() -> Task<void> {
    recorder.reactor.spawn(recorder.watch());
    CHECK(co_await recorder.wait_for(1));
  };
  recorder.reactor.run(main());
}

}  // namespace
}  // namespace handoff
