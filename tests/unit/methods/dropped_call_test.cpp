// SPDX-License-Identifier: MIT
// A handler in C++ may await a command or a coprocess, and be ended meanwhile.
#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/stream.hpp>

#include "async/race.hpp"
#include "methods/command.hpp"
#include "methods/coprocess.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr auto kSoon = std::chrono::milliseconds(1);
constexpr auto kPatience = std::chrono::milliseconds(test::kPatienceMs);

Call call_with(std::string params) {
  Call call;
  call.method = "m";
  call.params = std::move(params);
  return call;
}

/// Answers with its process id, and reads from the FIFO first when that is asked for.
std::string coprocess_at(const std::string& fifo) {
  return "while read -r line; do [ \"$line\" = true ] && read -r go < " + fifo + "; echo $$; done";
}

TEST_CASE("a coprocess whose call is dropped is killed, and answers no other call") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string fifo = directory.path("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  Reactor reactor;
  ChildRunner runner({});
  Coprocess coprocess(reactor, runner, "m", coprocess_at(fifo), 1);
  reactor.run([](Reactor& loop, Coprocess& of) -> Task<void> {
    const Result first = co_await of.call(call_with("false"));
    const Result again = co_await of.call(call_with("false"));
    CHECK(first.json == again.json);
    const Raced<Result> raced = co_await race(loop, of.call(call_with("true")), loop.now() + kSoon);
    CHECK(raced.end == RaceEnd::deadline);
    CHECK(kill(std::atoi(first.json.c_str()), 0) == -1);
    const Result next = co_await of.call(call_with("false"));
    CHECK(!next.is_error());
    CHECK(next.json != first.json);
  }(reactor, coprocess));
}

TEST_CASE("a call that is dropped while it waits for a coprocess leaves it to the others") {
  const test::TemporaryDirectory directory;
  const std::string fifo = directory.path("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  Reactor reactor;
  ChildRunner runner({});
  Coprocess coprocess(reactor, runner, "m", coprocess_at(fifo), 1);
  reactor.run([](Reactor& loop, Coprocess& of, const std::string& path) -> Task<void> {
    const Result before = co_await of.call(call_with("false"));
    bool answered = false;
    loop.spawn([](Coprocess& slow, std::string pid, bool& done) -> Task<void> {
      const Result result = co_await slow.call(call_with("true"));
      CHECK(result.json == pid);
      done = true;
    }(of, before.json, answered));
    co_await loop.yield();
    const Raced<Result> raced = co_await race(loop, of.call(call_with("1")), loop.now() + kSoon);
    CHECK(raced.end == RaceEnd::deadline);
    test::write_file(path, "go\n");
    while (!answered) { co_await loop.yield(); }
    CHECK((co_await of.call(call_with("2"))).json == before.json);
  }(reactor, coprocess, fifo));
}

TEST_CASE("a command whose call is dropped is gone, and takes no descriptor out of the loop") {
  const test::DescriptorCheck check;
  Reactor reactor;
  ChildRunner runner({});
  const Handler handler = command_handler(reactor, runner, Program::shell("exec sleep 1000"));
  reactor.run([](Reactor& loop, const Handler& run) -> Task<void> {
    const std::size_t before = test::open_descriptors();
    const Raced<Result> raced = co_await race(loop, run(call_with("1")), loop.now() + kSoon);
    CHECK(raced.end == RaceEnd::deadline);
    // These get the numbers that the call has had.
    std::vector<Fd> fds;
    std::deque<FdWatcher> watcher;
    std::size_t woken = 0;
    for (int i = 0; i < 16; ++i) {
      fds.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      watcher.emplace_back(loop, fds.back().get());
      loop.spawn([](FdWatcher& of, std::size_t& count, TimePoint limit) -> Task<void> {
        const WaitTimeout deadline(of, limit);
        if (co_await of.readable()) { ++count; }
      }(watcher.back(), woken, loop.now() + kPatience));
    }
    while (test::open_descriptors() > before + fds.size()) { co_await loop.yield(); }
    for (const Fd& fd : fds) { eventfd_write(fd.get(), 1); }
    const TimePoint limit = loop.now() + kPatience;
    while (woken < fds.size() && loop.now() < limit) { co_await loop.yield(); }
    CHECK(woken == fds.size());
    watcher.clear();
  }(reactor, handler));
}

}  // namespace
}  // namespace handoff
