// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <handoff/async/mailbox.hpp>
#include <handoff/async/reactor.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

Task<void> until(Reactor& reactor, const std::size_t& count, std::size_t wanted) {
  while (count < wanted) { co_await reactor.yield(); }
}

TEST_CASE("callbacks of another thread are called in their order, on the reactor's thread") {
  constexpr std::size_t kCallbacks = 10'000;
  const test::DescriptorCheck check;
  Reactor reactor;
  Mailbox mailbox(reactor);
  const std::thread::id home = std::this_thread::get_id();
  std::size_t called = 0;
  std::size_t misplaced = 0;
  std::thread sender([&] {
    for (std::size_t i = 0; i < kCallbacks; ++i) {
      mailbox.send([&, i] {
        if (i != called || std::this_thread::get_id() != home) { ++misplaced; }
        ++called;
      });
    }
  });
  reactor.run(until(reactor, called, kCallbacks));
  sender.join();
  CHECK(misplaced == 0);
}

TEST_CASE("callbacks that were sent before the reactor runs are called then") {
  Reactor reactor;
  Mailbox mailbox(reactor);
  std::size_t called = 0;
  mailbox.send([&] { ++called; });
  mailbox.send([&] { ++called; });
  CHECK(called == 0);
  reactor.run(until(reactor, called, 2));
  CHECK(called == 2);
}

TEST_CASE("a callback may send another one") {
  Reactor reactor;
  Mailbox mailbox(reactor);
  std::size_t called = 0;
  mailbox.send([&] { mailbox.send([&] { ++called; }); });
  reactor.run(until(reactor, called, 1));
  CHECK(called == 1);
}

TEST_CASE("an exception of a callback leaves the reactor's run") {
  Reactor reactor;
  Mailbox mailbox(reactor);
  std::size_t called = 0;
  mailbox.send([] { throw std::runtime_error("it could not be done"); });
  CHECK_THROWS_WITH_AS(reactor.run(until(reactor, called, 1)), "it could not be done",
                       std::runtime_error);
}

TEST_CASE("what a callback holds is let go once it was called, or when nobody calls it") {
  const auto held = std::make_shared<int>();
  {
    Reactor reactor;
    Mailbox mailbox(reactor);
    std::size_t called = 0;
    mailbox.send([held] {});
    mailbox.send([&] { ++called; });
    reactor.run(until(reactor, called, 1));
    CHECK(held.use_count() == 1);
    mailbox.send([held] {});
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
}

}  // namespace
}  // namespace handoff
