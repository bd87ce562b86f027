// SPDX-License-Identifier: MIT
// A reactor inside another event loop.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include <handoff/async/mailbox.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

bool is_readable(const Reactor& reactor) {
  pollfd ready{reactor.fd(), POLLIN, 0};
  return poll(&ready, 1, 0) == 1;
}

/// What a loop around the reactor does once.
void turn_around(Reactor& reactor) {
  pollfd ready{reactor.fd(), POLLIN, 0};
  const int timeout = reactor.timeout();
  const bool is_set = poll(&ready, 1, timeout < 0 ? test::kPatienceMs : timeout) == 1;
  REQUIRE((is_set || timeout >= 0));
  reactor.run_once();
}

Task<void> sleep_and_note(Reactor& reactor, Duration length, std::string& notes) {
  co_await reactor.sleep_until(Clock::now() + length);
  notes += "woken";
}

TEST_CASE("a reactor with nothing to do has no timeout, and one turn of it does not block") {
  const test::DescriptorCheck check;
  Reactor reactor;
  CHECK(reactor.timeout() == -1);
  CHECK(!is_readable(reactor));
  reactor.run_once();
  CHECK(reactor.timeout() == -1);
}

TEST_CASE("the timeout is zero while a task is posted, and the next turn runs it") {
  Reactor reactor;
  std::string notes;
  reactor.spawn([](Reactor& runs, std::string& out) -> Task<void> {
    out += "a";
    co_await runs.yield();
    out += "b";
  }(reactor, notes));
  CHECK(reactor.timeout() == 0);
  CHECK(notes.empty());
  for (int turns = 0; reactor.timeout() == 0; ++turns) {
    REQUIRE(turns < 10);
    reactor.run_once();
  }
  CHECK(notes == "ab");
  CHECK(reactor.timeout() == -1);
}

TEST_CASE("the timeout is that of the next timer, in milliseconds and rounded up") {
  Reactor reactor;
  std::string notes;
  reactor.spawn(sleep_and_note(reactor, hours(1), notes));
  reactor.run_once();
  CHECK(reactor.timeout() > 3'590'000);
  CHECK(reactor.timeout() <= 3'600'000);
  reactor.spawn(sleep_and_note(reactor, std::chrono::microseconds(1500), notes));
  reactor.run_once();
  // Less than what is rounded down would end the wait too early, and make the loop spin.
  CHECK(reactor.timeout() <= 2);
  for (int turns = 0; notes.empty(); ++turns) {
    REQUIRE(turns < 10);
    turn_around(reactor);
  }
  CHECK(notes == "woken");
  CHECK(reactor.timeout() > 3'500'000);
}

TEST_CASE("a timer that is later than any int of milliseconds has the longest timeout") {
  Reactor reactor;
  std::string notes;
  reactor.spawn(sleep_and_note(reactor, hours(24 * 365), notes));
  reactor.run_once();
  CHECK(reactor.timeout() == 2'147'483'647);
}

TEST_CASE("the descriptor becomes readable when a coroutine has something to read") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  std::string got;
  reactor.spawn([](Reactor& runs, Fd socket, std::string& out) -> Task<void> {
    Stream stream(runs, std::move(socket));
    std::array<char, 16> buffer{};
    for (;;) {
      const IoResult result = co_await stream.read_some(buffer);
      if (!result.done()) { break; }
      out.append(buffer.data(), result.size);
    }
    out += ".";
  }(reactor, std::move(ours), got));
  reactor.run_once();
  CHECK(!is_readable(reactor));
  test::write_text(theirs.get(), "hello");
  CHECK(is_readable(reactor));
  turn_around(reactor);
  while (reactor.timeout() == 0) { reactor.run_once(); }
  CHECK(got == "hello");
  CHECK(!is_readable(reactor));
  theirs.reset();
  turn_around(reactor);
  while (reactor.timeout() == 0) { reactor.run_once(); }
  CHECK(got == "hello.");
}

TEST_CASE("an exception of a task leaves the turn, and the other tasks go on in the next") {
  Reactor reactor;
  std::string notes;
  reactor.spawn([]() -> Task<void> {
    throw std::runtime_error("failed");
    co_return;
  }());
  reactor.spawn(sleep_and_note(reactor, milliseconds(1), notes));
  CHECK_THROWS_WITH_AS(reactor.run_once(), "failed", std::runtime_error);
  for (int turns = 0; notes.empty(); ++turns) {
    REQUIRE(turns < 10);
    turn_around(reactor);
  }
  CHECK(notes == "woken");
}

/// Has work once, which is put in at the last moment before the loop blocks.
class LateSource final : public PollSource {
 public:
  explicit LateSource(Reactor& reactor) : reactor_(reactor) { reactor.add(*this); }
  LateSource(const LateSource&) = delete;
  LateSource& operator=(const LateSource&) = delete;
  ~LateSource() { reactor_.remove(*this); }

  bool poll() override { return std::exchange(has_work, false); }
  void prepare_to_block() override {
    CHECK(!prepared);
    prepared = true;
    has_work = std::exchange(comes_late, false);
  }
  void stop_blocking() override {
    CHECK(prepared);
    prepared = false;
  }

  bool has_work = false;
  bool comes_late = false;
  bool prepared = false;

 private:
  Reactor& reactor_;
};

TEST_CASE("a source is prepared for the wait of the loop around, which is none if it has work") {
  Reactor reactor;
  LateSource source(reactor);
  CHECK(reactor.timeout() == 0);  // it is not prepared yet
  source.comes_late = true;
  reactor.run_once();
  CHECK(!source.prepared);
  CHECK(reactor.timeout() == 0);
  reactor.run_once();
  CHECK(source.prepared);
  CHECK(reactor.timeout() == -1);
  {
    LateSource another(reactor);
    CHECK(!source.prepared);
    CHECK(reactor.timeout() == 0);
    reactor.run_once();
    CHECK(another.prepared);
  }
  reactor.run([]() -> Task<void> { co_return; }());
  CHECK(!source.prepared);
}

TEST_CASE("a callback from elsewhere wakes the loop around, and runs in its turn") {
  const test::DescriptorCheck check;
  Reactor reactor;
  Mailbox mailbox(reactor);
  reactor.run_once();
  CHECK(reactor.timeout() == -1);
  std::string notes;
  mailbox.send([&notes] { notes += "called"; });
  CHECK(is_readable(reactor));
  for (int turns = 0; notes.empty(); ++turns) {
    REQUIRE(turns < 10);
    turn_around(reactor);
  }
  CHECK(notes == "called");
  reactor.run([]() -> Task<void> { co_return; }());  // destroys the mailbox's task before it
}

}  // namespace
}  // namespace handoff
