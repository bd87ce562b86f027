// SPDX-License-Identifier: MIT
#include "methods/coprocess_child.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/methods/fake_child.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Phase = CoprocessPhase;
using Event = CoprocessEvent;

constexpr std::array kPhases = {Phase::fresh, Phase::busy, Phase::idle, Phase::exited, Phase::over};
constexpr std::array kEvents = {Event::lent, Event::answered, Event::failed, Event::exited,
                                Event::discarded};

/// The phases after each event, in the order of kEvents.
constexpr std::array<std::array<Phase, kEvents.size()>, kPhases.size()> kTable = {{
    {Phase::fresh, Phase::idle, Phase::over, Phase::exited, Phase::over},   // fresh
    {Phase::busy, Phase::idle, Phase::over, Phase::exited, Phase::over},    // busy
    {Phase::busy, Phase::idle, Phase::idle, Phase::over, Phase::over},      // idle
    {Phase::exited, Phase::over, Phase::over, Phase::exited, Phase::over},  // exited
    {Phase::over, Phase::over, Phase::over, Phase::over, Phase::over},      // over
}};

/// What brings a fresh process to a phase.
std::vector<Event> way_to(Phase phase) {
  switch (phase) {
    case Phase::fresh: return {};
    case Phase::busy: return {Event::answered, Event::lent};
    case Phase::idle: return {Event::answered};
    case Phase::exited: return {Event::exited};
    case Phase::over: return {Event::failed};
  }
  return {};
}

TEST_CASE("each event brings a process of a coprocess from each phase to the next") {
  const test::DescriptorCheck check;
  for (std::size_t from = 0; from < kPhases.size(); ++from) {
    for (std::size_t event = 0; event < kEvents.size(); ++event) {
      CAPTURE(from);
      CAPTURE(event);
      Reactor reactor;
      test::FakeProcesses started;
      const auto child = CoprocessChild::start(reactor, test::start_fakes(started));
      for (const Event step : way_to(kPhases[from])) { child->handle(step); }
      REQUIRE(child->phase() == kPhases[from]);
      child->handle(kEvents[event]);
      CHECK(child->phase() == kTable[from][event]);
      // It is killed and reaped once, when it is over and not before.
      CHECK(started[0]->times_ended == (child->phase() == Phase::over ? 1 : 0));
    }
  }
}

TEST_CASE("a wait for output ends when the process ends") {
  Reactor reactor;
  test::FakeProcesses started;
  const auto child = CoprocessChild::start(reactor, test::start_fakes(started));
  bool readable = true;
  reactor.run([](Reactor& loop, CoprocessChild& of, test::FakeProcess& process,
                 bool& result) -> Task<void> {
    loop.spawn([](CoprocessChild& waited, bool& got) -> Task<void> {
      got = co_await waited.readable();
    }(of, result));
    co_await loop.yield();
    process.exit_with({3, 0});
    while (result) { co_await loop.yield(); }
  }(reactor, *child, *started[0], readable));
  CHECK(child->phase() == Phase::exited);
}

TEST_CASE("the end of an idle process is seen, and it is reaped") {
  Reactor reactor;
  test::FakeProcesses started;
  const auto child = CoprocessChild::start(reactor, test::start_fakes(started));
  child->handle(Event::answered);
  reactor.run([](Reactor& loop, CoprocessChild& of, test::FakeProcess& process) -> Task<void> {
    co_await loop.yield();
    process.exit_with({0, 9});
    while (of.phase() != Phase::over) { co_await loop.yield(); }
  }(reactor, *child, *started[0]));
  CHECK(child->status().signal == 9);
}

TEST_CASE("a line that does not fit into the pipe is written as the process reads") {
  Reactor reactor;
  test::FakeProcesses started;
  const auto child = CoprocessChild::start(reactor, test::start_fakes(started));
  const std::string line = std::string(300'000, 'x') + "\n";
  child->ask(line);
  CHECK(!child->has_read_all());
  std::string read;
  reactor.run([](Reactor& loop, test::FakeProcess& process, std::string& input,
                 std::size_t size) -> Task<void> {
    while (input.size() < size) {
      if (process.has_input()) { input += process.read_input(); }
      co_await loop.yield();
    }
  }(reactor, *started[0], read, line.size()));
  CHECK(read == line);
  CHECK(child->has_read_all());
}

TEST_CASE("lines that follow one that does not fit into the pipe are written after it") {
  Reactor reactor;
  test::FakeProcesses started;
  const auto child = CoprocessChild::start(reactor, test::start_fakes(started));
  std::string lines;
  for (const char letter : {'x', 'y', 'z'}) {
    const std::string line = std::string(300'000, letter) + "\n";
    child->ask(line);
    lines += line;
  }
  std::string read;
  reactor.run([](Reactor& loop, CoprocessChild& of, test::FakeProcess& process, std::string& input,
                 std::size_t size) -> Task<void> {
    co_await loop.yield();  // the writer waits now
    of.ask("last\n");
    while (input.size() < size) {
      if (process.has_input()) { input += process.read_input(); }
      co_await loop.yield();
    }
  }(reactor, *child, *started[0], read, lines.size() + 5));
  CHECK(read == lines + "last\n");
  // No writer is left that waits for the pipe and keeps the process.
  reactor.run([](Reactor& loop) -> Task<void> { co_await loop.yield(); }(reactor));
  CHECK(child.use_count() == 1);
}

TEST_CASE("the end of what a process writes to its stderr is kept, also what it wrote last") {
  Reactor reactor;
  test::FakeProcesses started;
  const auto child = CoprocessChild::start(reactor, test::start_fakes(started));
  test::write_text(started[0]->err.get(), "begin,");
  reactor.run([](Reactor& loop, CoprocessChild& of) -> Task<void> {
    while (of.error_tail().empty()) { co_await loop.yield(); }
  }(reactor, *child));
  test::write_text(started[0]->err.get(), "end");
  child->handle(Event::discarded);
  CHECK(child->error_tail() == "begin,end");
}

TEST_CASE(
    "each line that a process writes to its stderr is logged at once, and the rest at its end") {
  Reactor reactor;
  test::FakeProcesses started;
  std::vector<std::string> log;
  const auto child =
      CoprocessChild::start(reactor, test::start_fakes(started),
                            [&log](std::string_view line) { log.emplace_back(line); });
  test::write_text(started[0]->err.get(), "one\ntw");
  reactor.run([](Reactor& loop, const std::vector<std::string>& lines) -> Task<void> {
    while (lines.empty()) { co_await loop.yield(); }
  }(reactor, log));
  CHECK(log == std::vector<std::string>{"one"});
  test::write_text(started[0]->err.get(), "o\nthree");
  child->handle(Event::discarded);
  CHECK(log == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("a process is quiet while it is idle, alive and silent") {
  std::array<char, 16> buffer{};
  Reactor reactor;
  test::FakeProcesses started;
  const auto silent = CoprocessChild::start(reactor, test::start_fakes(started));
  CHECK(!silent->is_quiet(buffer));
  silent->handle(Event::answered);
  CHECK(silent->is_quiet(buffer));
  test::write_text(started[0]->out.get(), "?");
  CHECK(!silent->is_quiet(buffer));

  const auto ended = CoprocessChild::start(reactor, test::start_fakes(started));
  ended->handle(Event::answered);
  started[1]->exit_with({});
  CHECK(!ended->is_quiet(buffer));
}

}  // namespace
}  // namespace handoff
