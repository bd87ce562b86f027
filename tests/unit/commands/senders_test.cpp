// SPDX-License-Identifier: MIT
#include "commands/senders.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <utility>
#include <vector>

#include <handoff/async/stream.hpp>

#include "os/socket.hpp"

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr Duration kShort = milliseconds(5);

/// An end of a connection whose other end stays open.
Fd connection() {
  static std::vector<Fd> others;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  others.push_back(std::move(theirs));
  return std::move(ours);
}

TEST_CASE("there is room until as many are connected as may be, and again when one has left") {
  Reactor reactor;
  Senders senders(reactor, 2, hours(1));
  reactor.run(senders.room());
  Sender& first = senders.add(connection(), Sender::Origin::accepted);
  reactor.run(senders.room());
  senders.add(connection(), Sender::Origin::accepted);
  reactor.spawn([](Reactor& loop, Senders& all, const Sender& leaves) -> Task<void> {
    co_await loop.sleep_until(Clock::now() + kShort);
    all.remove(leaves);
  }(reactor, senders, first));
  reactor.run(senders.room());
}

TEST_CASE("an accepted sender has a deadline for its first message and within one, not between") {
  Reactor reactor;
  Senders senders(reactor, 2, hours(1));
  Sender& sender = senders.add(connection(), Sender::Origin::accepted);
  CHECK(sender.deadline != kNever);
  const TimePoint first = sender.deadline;
  senders.begin_message(sender);
  CHECK(sender.deadline == first);
  senders.end_message(sender);
  CHECK(sender.deadline == kNever);
  senders.begin_message(sender);
  CHECK(sender.deadline > first);
}

TEST_CASE("a sender that was given has no deadline") {
  Reactor reactor;
  Senders senders(reactor, 2, kShort);
  Sender& sender = senders.add(connection(), Sender::Origin::given);
  CHECK(sender.deadline == kNever);
  senders.begin_message(sender);
  CHECK(sender.deadline == kNever);
}

TEST_CASE("when a place is wanted, the one that has been quiet for longest is dismissed, once") {
  Reactor reactor;
  Senders senders(reactor, 3, kShort);
  Sender& busy = senders.add(connection(), Sender::Origin::accepted);
  Sender& quiet = senders.add(connection(), Sender::Origin::accepted);
  Sender& later = senders.add(connection(), Sender::Origin::accepted);
  senders.begin_message(busy);
  senders.end_message(quiet);
  senders.end_message(later);
  later.quiet_since += kShort;
  bool woken = false;
  reactor.spawn([](Senders& all, Sender& waits, bool& was_woken) -> Task<void> {
    was_woken = !co_await waits.watcher.readable();
    all.remove(waits);
  }(senders, quiet, woken));
  reactor.run(senders.room());
  CHECK(woken);
  CHECK(!busy.dismissed);
  CHECK(!later.dismissed);
}

TEST_CASE("a sender that begins a message is not dismissed any more") {
  Reactor reactor;
  Senders senders(reactor, 1, kShort);
  Sender& sender = senders.add(connection(), Sender::Origin::accepted);
  sender.dismissed = true;
  senders.begin_message(sender);
  CHECK(!sender.dismissed);
}

}  // namespace
}  // namespace handoff
