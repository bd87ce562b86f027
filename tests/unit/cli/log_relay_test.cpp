// SPDX-License-Identifier: MIT
#include "cli/log_relay.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <handoff/async/event.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

/// A relay of the main thread, and what was written through it.
struct Relay {
  Relay()
      : relay(std::in_place, reactor, 2, [this](Severity severity, std::string_view line) {
          CHECK(severity == Severity::error);
          said.emplace_back(line);
        }) {}

  void write(const std::string& line) {
    relay->run([this, line] { said.push_back(line); });
  }
  /// Writes lines from another thread, which has ended then.
  void write_elsewhere(std::size_t count) {
    std::thread([this, count] {
      for (std::size_t i = 0; i < count; ++i) { write("line"); }
    }).join();
  }
  void run_until_said(std::size_t count) {
    reactor.run([](Reactor& loop, const Relay& of, std::size_t wanted) -> Task<void> {
      while (of.said.size() < wanted) { co_await loop.yield(); }
    }(reactor, *this, count));
  }

  Reactor reactor;
  std::vector<std::string> said;
  std::optional<LogRelay> relay;
};

TEST_CASE("a line of the main thread is written at once") {
  const test::DescriptorCheck check;
  Relay relay;
  relay.write("line");
  CHECK(relay.said == std::vector<std::string>{"line"});
}

TEST_CASE("lines of another thread are written on the main thread, in their order") {
  Relay relay;
  const std::thread::id main = std::this_thread::get_id();
  std::thread([&] {
    for (const char* line : {"one", "two", "three"}) {
      relay.relay->run([&relay, main, line] {
        CHECK(std::this_thread::get_id() == main);
        relay.said.emplace_back(line);
      });
    }
  }).join();
  CHECK(relay.said.empty());
  relay.run_until_said(3);
  CHECK(relay.said == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE(
    "lines that the main thread does not write in time are dropped, and their number is said") {
  Relay relay;
  relay.write_elsewhere(LogRelay::kMostWaiting + 7);
  relay.run_until_said(LogRelay::kMostWaiting + 1);
  CHECK(relay.said.size() == LogRelay::kMostWaiting + 1);
  CHECK(relay.said.back() == "7 lines were dropped: the main thread did not keep up");
  relay.write_elsewhere(1);
  relay.relay.reset();
  CHECK(relay.said.size() == LogRelay::kMostWaiting + 2);
  CHECK(relay.said.back() == "line");
}

TEST_CASE("lines of other threads that wait are written at the end") {
  Relay relay;
  relay.reactor.run([](Reactor& loop) -> Task<void> { co_await loop.yield(); }(relay.reactor));
  relay.write_elsewhere(2);
  relay.relay.reset();
  CHECK(relay.said.size() == 2);
}

}  // namespace
}  // namespace handoff
