// SPDX-License-Identifier: MIT
// A task may be destroyed at any await: nothing resumes it afterwards, and nothing that it waited
// for is lost to others. Each case ends a task in a race, by a deadline or by a cancellation, and
// then lets happen what the task has waited for.
#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include <handoff/async/condition.hpp>
#include <handoff/async/event.hpp>
#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/mailbox.hpp>
#include <handoff/async/stream.hpp>

#include "async/attempts.hpp"
#include "async/race.hpp"
#include "async/resolver.hpp"
#include "async/semaphore.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr auto kSoon = std::chrono::milliseconds(1);

/// Runs `task`, which must still wait at its deadline, and then `afterwards`.
void destroy_waiting(Reactor& reactor, Task<int> task, Task<void> afterwards) {
  reactor.run([](Reactor& loop, Task<int> waiting, Task<void> then) -> Task<void> {
    const Raced<int> raced = co_await race(loop, std::move(waiting), loop.now() + kSoon);
    CHECK(raced.end == RaceEnd::deadline);
    co_await std::move(then);
    for (int i = 0; i < 3; ++i) { co_await loop.yield(); }
  }(reactor, std::move(task), std::move(afterwards)));
}

Task<int> not_reached(bool& reached) {
  reached = true;
  co_return 0;
}

TEST_CASE("a task that is destroyed while it sleeps is not woken") {
  Reactor reactor;
  bool reached = false;
  const auto sleeps = [](Reactor& loop, bool& woken) -> Task<int> {
    co_await loop.sleep_until(loop.now() + std::chrono::hours(1));
    co_return co_await not_reached(woken);
  };
  const auto others = [](Reactor& loop) -> Task<void> {
    // The heap of timers would touch one that is no more.
    for (int i = 0; i < 3; ++i) { co_await loop.sleep_until(loop.now() + kSoon); }
  };
  destroy_waiting(reactor, sleeps(reactor, reached), others(reactor));
  CHECK(!reached);
}

TEST_CASE("a task that is destroyed while it has yielded is not resumed") {
  Reactor reactor;
  bool reached = false;
  const auto yields = [](Reactor& loop, bool& resumed) -> Task<int> {
    const TimePoint end = loop.now() + std::chrono::hours(1);
    while (loop.now() < end) { co_await loop.yield(); }
    co_return co_await not_reached(resumed);
  };
  const auto nothing = []() -> Task<void> { co_return; };
  destroy_waiting(reactor, yields(reactor, reached), nothing());
  CHECK(!reached);
}

TEST_CASE("a task that is destroyed while it waits for a condition is not notified") {
  Reactor reactor;
  Condition condition(reactor);
  bool reached = false;
  const auto waits = [](Condition& changed, bool& notified) -> Task<int> {
    co_await changed.wait_until([] { return false; }, kNever);
    co_return co_await not_reached(notified);
  };
  const auto notify = [](Condition& changed) -> Task<void> {
    changed.notify_all();
    co_return;
  };
  destroy_waiting(reactor, waits(condition, reached), notify(condition));
  CHECK(!reached);
}

TEST_CASE("a task that was notified and is destroyed before its turn is not resumed") {
  Reactor reactor;
  Condition condition(reactor);
  bool reached = false;
  const auto waits = [](Condition& changed, bool& notified) -> Task<int> {
    co_await changed.wait();
    co_return co_await not_reached(notified);
  };
  reactor.run([](Reactor& loop, Condition& changed, Task<int> task) -> Task<void> {
    {
      const auto root = [](Task<int> inner) -> Task<void> { co_await std::move(inner); };
      Task<void> waiting = root(std::move(task));
      const auto frame = waiting.release();
      frame.resume();
      changed.notify_all();
      frame.destroy();
    }
    for (int i = 0; i < 3; ++i) { co_await loop.yield(); }
  }(reactor, condition, waits(condition, reached)));
  CHECK(!reached);
}

TEST_CASE("a task that is destroyed while it waits for an event leaves it to the next") {
  Reactor reactor;
  Event event(reactor);
  bool reached = false;
  const auto waits = [](Event& set, bool& resumed) -> Task<int> {
    co_await set;
    co_return co_await not_reached(resumed);
  };
  const auto others = [](Reactor& loop, Event& set) -> Task<void> {
    loop.spawn([](Reactor& in, Event& of) -> Task<void> {
      co_await in.yield();
      of.set();
    }(loop, set));
    co_await set;
  };
  destroy_waiting(reactor, waits(event, reached), others(reactor, event));
  CHECK(!reached);
}

TEST_CASE(
    "a task that is destroyed while it waits for room or a hang-up is not resumed by either") {
  for (const std::uint32_t awaited : {EPOLLOUT, EPOLLHUP}) {
    const test::DescriptorCheck check;
    Reactor reactor;
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    Stream stream(reactor, std::move(ours), Stream::Kind::socket);
    const std::string many(4 << 20, 'x');
    while (stream.try_write(many).done()) { continue; }
    bool reached = false;
    const auto waits = [](Stream& of, std::uint32_t event, bool& resumed) -> Task<int> {
      // An edge of before its registration may end the first wait.
      for (int i = 0; i < 2; ++i) { co_await of.ready(event); }
      co_return co_await not_reached(resumed);
    };
    const auto others = [](Stream& of, Fd& peer) -> Task<void> {
      peer.reset();
      co_await of.readable();
      CHECK(of.hung_up());
    };
    destroy_waiting(reactor, waits(stream, awaited, reached), others(stream, theirs));
    CHECK(!reached);
  }
}

TEST_CASE("a task that is destroyed while it races another one takes that with it") {
  Reactor reactor;
  Event event(reactor);
  Cancellation cancellation;
  bool reached = false;
  const auto inner = [](Event& set, bool& resumed) -> Task<int> {
    co_await set;
    co_return co_await not_reached(resumed);
  };
  const auto races = [](Reactor& loop, Task<int> task, Cancellation& all) -> Task<int> {
    const Raced<int> raced =
        co_await race(loop, std::move(task), loop.now() + std::chrono::hours(1), &all);
    co_return raced.value.value_or(0);
  };
  const auto others = [](Event& set, Cancellation& all) -> Task<void> {
    set.set();
    all.cancel();
    co_return;
  };
  destroy_waiting(reactor, races(reactor, inner(event, reached), cancellation),
                  others(event, cancellation));
  CHECK(!reached);
}

TEST_CASE("a task that is destroyed while it looks up a host lets the lookup end by itself") {
  const test::DescriptorCheck check;
  Reactor reactor;
  std::promise<void> answer;
  const std::shared_future<void> answered = answer.get_future().share();
  Resolver resolver([answered](const std::string&) {
    answered.wait();
    return HostLookup{};
  });
  bool reached = false;
  const auto looks_up = [](Reactor& loop, Resolver& of, bool& resumed) -> Task<int> {
    co_await of.look_up(loop, "name", kNever);
    co_return co_await not_reached(resumed);
  };
  const auto others = [](std::promise<void>& of) -> Task<void> {
    of.set_value();
    co_return;
  };
  destroy_waiting(reactor, looks_up(reactor, resolver, reached), others(answer));
  CHECK(!reached);
}

TEST_CASE("a task that is destroyed while it pauses between attempts makes no other") {
  Reactor reactor;
  int attempts = 0;
  const auto tries = [](Reactor& loop, int& count) -> Task<int> {
    Attempts all(loop, {.mode = AttemptMode::wait, .first_pause = std::chrono::hours(1)});
    co_return co_await all.run<int>([&count](TimeLimit) -> Task<int> {
      ++count;
      throw CannotConnect("cannot connect to x", {111, "refused", Outlook::may_change});
      co_return 0;
    });
  };
  const auto nothing = []() -> Task<void> { co_return; };
  destroy_waiting(reactor, tries(reactor, attempts), nothing());
  CHECK(attempts == 1);
}

TEST_CASE("a task that is destroyed while it waits for a place leaves the line") {
  Reactor reactor;
  Semaphore semaphore(reactor, 1, 10);
  REQUIRE(semaphore.try_acquire());
  const auto waits = [](Semaphore& places) -> Task<int> {
    co_await places.acquire();
    co_return 0;
  };
  const auto release = [](Semaphore& places) -> Task<void> {
    places.release();
    co_return;
  };
  destroy_waiting(reactor, waits(semaphore), release(semaphore));
  CHECK(semaphore.try_acquire());
}

TEST_CASE("a task that was given a place and is destroyed before its turn gives it back") {
  Reactor reactor;
  Semaphore semaphore(reactor, 1, 10);
  REQUIRE(semaphore.try_acquire());
  reactor.run([](Reactor& loop, Semaphore& places) -> Task<void> {
    {
      const auto root = [](Semaphore& of) -> Task<void> { co_await of.acquire(); };
      const auto frame = root(places).release();
      frame.resume();
      places.release();
      frame.destroy();
    }
    CHECK(places.try_acquire());
    co_await loop.yield();
  }(reactor, semaphore));
}

TEST_CASE("a task that is destroyed while it reads loses no byte to others") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Stream stream(reactor, std::move(ours));
  bool reached = false;
  const auto reads = [](Stream& from, bool& read) -> Task<int> {
    std::array<char, 8> buffer{};
    co_await from.read_some(buffer);
    co_return co_await not_reached(read);
  };
  const auto others = [](Stream& from, int peer) -> Task<void> {
    test::write_text(peer, "abc");
    std::array<char, 8> buffer{};
    const IoResult result = co_await from.read_some(buffer);
    CHECK(std::string(buffer.data(), result.size) == "abc");
  };
  destroy_waiting(reactor, reads(stream, reached), others(stream, theirs.get()));
  CHECK(!reached);
}

TEST_CASE("a task may own the stream that it waits for when it is destroyed") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  bool reached = false;
  const auto reads = [](Reactor& loop, Fd socket, bool& read) -> Task<int> {
    Stream stream(loop, std::move(socket));
    const WaitTimeout deadline(stream.watcher(), loop.now() + std::chrono::hours(1));
    std::array<char, 8> buffer{};
    co_await stream.read_some(buffer);
    co_return co_await not_reached(read);
  };
  const auto sees_end = [](int peer) -> Task<void> {
    CHECK(test::read_until_end(peer).empty());
    co_return;
  };
  destroy_waiting(reactor, reads(reactor, std::move(ours), reached), sees_end(theirs.get()));
  CHECK(!reached);
}

TEST_CASE("a task is destroyed while another thread works for it, and the callback finds its own") {
  Reactor reactor;
  Mailbox mailbox(reactor);
  /// What the task and the callback share: either may be the last to have it.
  struct Work {
    explicit Work(Reactor& loop) : came(loop) {}
    Event came;
  };
  const auto work = std::make_shared<Work>(reactor);
  bool reached = false;
  const auto waits = [](std::shared_ptr<Work> shared, bool& resumed) -> Task<int> {
    co_await shared->came;
    co_return co_await not_reached(resumed);
  };
  const auto arrives = [](Mailbox& to, std::shared_ptr<Work> shared) -> Task<void> {
    bool read = false;
    Event& came = shared->came;
    std::thread other([&to, &read, sent = std::move(shared)]() mutable {
      to.send([&read, sent = std::move(sent)] {
        sent->came.set();
        read = true;
      });
    });
    other.join();
    co_await came;
    CHECK(read);
  };
  destroy_waiting(reactor, waits(work, reached), arrives(mailbox, work));
  CHECK(!reached);
}

}  // namespace
}  // namespace handoff
