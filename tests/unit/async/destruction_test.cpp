// SPDX-License-Identifier: MIT
// A task may be destroyed at any await: nothing resumes it afterwards, and nothing that it waited
// for is lost to others. Each case ends a task in a race, by a deadline or by a cancellation, and
// then lets happen what the task has waited for.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "async/condition.hpp"
#include "async/event.hpp"
#include "async/fd_watcher.hpp"
#include "async/mailbox.hpp"
#include "async/race.hpp"
#include "async/semaphore.hpp"
#include "async/stream.hpp"
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
    for (int i = 0; i < 3; ++i) co_await loop.yield();
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
    for (int i = 0; i < 3; ++i) co_await loop.sleep_until(loop.now() + kSoon);
  };
  destroy_waiting(reactor, sleeps(reactor, reached), others(reactor));
  CHECK(!reached);
}

TEST_CASE("a task that is destroyed while it has yielded is not resumed") {
  Reactor reactor;
  bool reached = false;
  const auto yields = [](Reactor& loop, bool& resumed) -> Task<int> {
    const TimePoint end = loop.now() + std::chrono::hours(1);
    while (loop.now() < end) co_await loop.yield();
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
    for (int i = 0; i < 3; ++i) co_await loop.yield();
  }(reactor, condition, waits(condition, reached)));
  CHECK(!reached);
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

TEST_CASE("a task is destroyed while another thread works for it, and the letter finds its own") {
  Reactor reactor;
  Mailbox mailbox(reactor);
  /// What the task and the letter share: either may be the last to have it.
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
