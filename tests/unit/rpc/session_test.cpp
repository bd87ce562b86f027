// SPDX-License-Identifier: MIT
// The phases of a session: what each event does in each of them. The table is above Session::enter.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>

#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using test::kEcho;
using test::kEchoed;
using test::kSlow;
using test::Sessions;

enum class Event { ends_side, closes, drain, drain_and_return, make_way, deadline };

constexpr Event kEvents[] = {Event::ends_side,        Event::closes,   Event::drain,
                             Event::drain_and_return, Event::make_way, Event::deadline};

std::string_view name_of(Event event) {
  switch (event) {
    case Event::ends_side: return "the client ends its side";
    case Event::closes: return "the client closes its socket";
    case Event::drain: return "the server drains";
    case Event::drain_and_return: return "the server drains and gives back";
    case Event::make_way: return "another connection needs the place";
    case Event::deadline: return "a deadline passes";
  }
  return "";
}

/// Deadlines that never come, but for those of the event.
SessionLimits limits_for(Event event) {
  constexpr auto kSoon = std::chrono::milliseconds(1);
  constexpr auto kLate = std::chrono::hours(1);
  const Duration of_event = event == Event::deadline ? Duration(kSoon) : Duration(kLate);
  SessionLimits limits;
  limits.max_frame = 32 << 10;
  limits.idle_timeout = limits.linger_timeout = limits.call_timeout = of_event;
  limits.frame_timeout = kLate;
  limits.write_timeout = kLate;
  return limits;
}

Task<void> happen(Sessions& sessions, Event event, Fd& client) {
  switch (event) {
    case Event::ends_side: shutdown(client.get(), SHUT_WR); break;
    case Event::closes: client.reset(); break;
    case Event::drain: sessions.context.drain(WhenDrained::close); break;
    case Event::drain_and_return: sessions.context.drain(WhenDrained::give_back); break;
    case Event::make_way: sessions.context.close_idlest(); break;
    case Event::deadline: {
      const TimePoint later = Clock::now() + std::chrono::milliseconds(3);
      while (Clock::now() < later) { co_await sessions.reactor.yield(); }
      break;
    }
  }
  co_await sessions.settle();
}

/// Why the connection ended when this had happened to it in the phase that `enter` has led to. Its
/// calls go on after the event, and last of all the client closes its socket.
template <typename Enter>
CloseReason reason_after(Event event, SessionLimits limits, Enter enter) {
  const test::DescriptorCheck check;
  Sessions sessions(limits);
  Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, Fd& end, Event what, Enter& into) -> Task<void> {
    co_await into(self, end);
    CHECK(self.reasons.empty());
    co_await happen(self, what, end);
    self.set_go();
    co_await self.settle();
    if (self.reasons.empty()) { end.reset(); }
    co_await self.until_ended();
  }(sessions, client, event, enter));
  CHECK(sessions.reasons.size() == 1);
  CHECK(sessions.context.open_connections() == 0);
  CHECK(sessions.context.active_calls() == 0);
  CHECK(sessions.failures.empty());
  sessions.returned.clear();
  return sessions.reasons.front();
}

struct Expected {
  CloseReason ends_side;
  CloseReason closes;
  CloseReason drain;
  CloseReason drain_and_return;
  CloseReason make_way;
  CloseReason deadline;

  CloseReason after(Event event) const {
    switch (event) {
      case Event::ends_side: return ends_side;
      case Event::closes: return closes;
      case Event::drain: return drain;
      case Event::drain_and_return: return drain_and_return;
      case Event::make_way: return make_way;
      case Event::deadline: return deadline;
    }
    return CloseReason::none;
  }
};

template <typename Enter>
void check_all(const Expected& expected, Enter enter) {
  for (const Event event : kEvents) {
    CAPTURE(name_of(event));
    CHECK(reason_after(event, limits_for(event), enter) == expected.after(event));
  }
}

Task<void> be_open(Sessions& sessions, Fd& client) {
  test::write_text(client.get(), kEcho);
  CHECK(co_await sessions.line(client) == kEchoed);
}

Task<void> be_half_closed(Sessions& sessions, Fd& client) {
  test::write_text(client.get(), kSlow);
  shutdown(client.get(), SHUT_WR);
  co_await sessions.until_begun(1);
  co_await sessions.settle();
}

Task<void> be_draining(Sessions& sessions, Fd& client) {
  test::write_text(client.get(), kSlow);
  co_await sessions.until_begun(1);
  sessions.context.drain(WhenDrained::close);
  co_await sessions.settle();
}

/// The error waits for the reply to the call.
Task<void> be_refused(Sessions& sessions, Fd& client) {
  test::write_text(client.get(), kSlow);
  test::write_text(client.get(), std::string(sessions.context.limits().max_frame + 1, ' '));
  co_await sessions.until_begun(1);
  co_await sessions.settle();
}

Task<void> be_lingering(Sessions& sessions, Fd& client) {
  test::write_text(client.get(), "GET / HTTP/1.1\r\n\r\n");
  co_await sessions.line(client);
  co_await sessions.settle();
}

Task<void> be_in_last_turn(Sessions& sessions, Fd& client) {
  co_await be_open(sessions, client);
  sessions.context.be_lame_duck();
  co_await sessions.settle();
}

Task<void> be_ending(Sessions& sessions, Fd& client) {
  test::write_text(client.get(), test::kSlowWithId);
  co_await sessions.until_begun(1);
  sessions.context.be_lame_duck();
  co_await sessions.settle();
}

TEST_CASE("an open connection ends for the reason of the event") {
  check_all({CloseReason::client, CloseReason::client, CloseReason::drained, CloseReason::returned,
             CloseReason::idle, CloseReason::idle},
            be_open);
}

TEST_CASE("a client that has ended its side gets its replies, whatever the server does") {
  check_all({CloseReason::client, CloseReason::write_error, CloseReason::client,
             CloseReason::client, CloseReason::client, CloseReason::client},
            be_half_closed);
}

TEST_CASE("a connection that drains ends after its calls, or is given back") {
  check_all({CloseReason::client, CloseReason::write_error, CloseReason::drained,
             CloseReason::returned, CloseReason::drained, CloseReason::drained},
            be_draining);
}

TEST_CASE("a connection that is to end after its next reply ends before by what ends an open one") {
  check_all({CloseReason::client, CloseReason::client, CloseReason::drained, CloseReason::returned,
             CloseReason::idle, CloseReason::idle},
            be_in_last_turn);
}

TEST_CASE("a connection of a lame duck ends after the calls that run, whatever happens") {
  check_all({CloseReason::client, CloseReason::write_error, CloseReason::drained,
             CloseReason::drained, CloseReason::drained, CloseReason::drained},
            be_ending);
}

TEST_CASE("a refused client gets the replies to its calls and why it was refused") {
  check_all({CloseReason::protocol, CloseReason::write_error, CloseReason::protocol,
             CloseReason::protocol, CloseReason::protocol, CloseReason::protocol},
            be_refused);
}

TEST_CASE("a refused client that was told why may read that, whatever the server does") {
  check_all({CloseReason::protocol, CloseReason::protocol, CloseReason::protocol,
             CloseReason::protocol, CloseReason::protocol, CloseReason::protocol},
            be_lingering);
}

TEST_CASE("nothing leaves the phase of a closed connection, which goes after its calls") {
  for (const Event event : kEvents) {
    CAPTURE(name_of(event));
    SessionLimits limits = limits_for(event);
    limits.write_timeout = std::chrono::milliseconds(1);
    limits.max_calls = 512;
    limits.call_timeout = std::chrono::hours(1);
    const CloseReason reason =
        reason_after(event, limits, [](Sessions& self, Fd& client) -> Task<void> {
          std::string requests = "{\"in\":\"kept\",\"id\":0}\n";
          for (int i = 0; i < 100; ++i) { requests += "{\"in\":\"big\",\"id\":1}\n"; }
          test::write_text(client.get(), requests);
          co_await self.until_begun(1);
          const TimePoint later = Clock::now() + std::chrono::milliseconds(5);
          while (Clock::now() < later) { co_await self.reactor.yield(); }
        });
    CHECK(reason == CloseReason::write_error);
  }
}

TEST_CASE("a request that has arrived by the idle deadline is answered") {
  SessionLimits limits;
  limits.idle_timeout = std::chrono::milliseconds(1);
  Sessions sessions(limits);
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    co_await self.settle();
    test::write_text(end.get(), kEcho);
    // As a process that was stopped: the deadline has passed when it looks again.
    const TimePoint later = Clock::now() + std::chrono::milliseconds(2);
    while (Clock::now() < later) {}
    CHECK(co_await self.line(end) == kEchoed);
    co_await self.until_ended();
  }(sessions, client));
  CHECK(sessions.reasons.front() == CloseReason::idle);
}

TEST_CASE("requests that have arrived when the server drains are answered") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    co_await self.settle();
    test::write_text(end.get(), kEcho);
    self.context.drain(WhenDrained::close);
    CHECK(co_await self.line(end) == test::kEchoedLast);
    co_await self.until_ended();
  }(sessions, client));
  CHECK(sessions.reasons.front() == CloseReason::drained);
}

TEST_CASE("a connection that is given back has what was read of it and not used") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"slow\",\"id\":1}\n{\"jsonrpc\":");
    co_await self.until_begun(1);
    self.context.drain(WhenDrained::give_back);
    co_await self.settle();
    CHECK(self.returned.empty());
    self.set_go();
    co_await self.until_ended();
  }(sessions, client));
  REQUIRE(sessions.returned.size() == 1);
  CHECK(sessions.returned.front().unread == "{\"jsonrpc\":");
  CHECK(sessions.returned.front().framing == Framing::lines);
  CHECK(sessions.returned.front().dialect == Dialect::json_rpc);
}

TEST_CASE("the bytes that come with a connection are its first") {
  Sessions sessions;
  const Fd client = sessions.open(R"({"in":"echo",)");
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), "\"params\":1}\n");
    CHECK(co_await self.line(end) == kEchoed);
  }(sessions, client));
}

TEST_CASE("the end of an abandoned connection is told as that") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    co_await self.settle();
    self.context.drain(WhenDrained::give_back);
    self.context.abandon();
    co_await self.until_ended();
    CHECK(co_await self.line(end) == "");
  }(sessions, client));
  CHECK(sessions.reasons.front() == CloseReason::abandoned);
  CHECK(sessions.returned.empty());
}

TEST_CASE("a connection that is abandoned before it has begun ends as one that had") {
  Sessions sessions;
  Fd client = sessions.open();
  sessions.context.abandon();
  const Fd later = sessions.open();
  sessions.reactor.run([](Sessions& self, Fd& end) -> Task<void> {
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoed);
    end.reset();
    co_await self.until_ended();
    CHECK(self.reasons == std::vector{CloseReason::abandoned});
    self.context.drain(WhenDrained::close);
    co_await self.until_ended(2);
    CHECK(self.reasons.back() == CloseReason::drained);
  }(sessions, client));
}

TEST_CASE("an abandoned connection is not given back by a later drain, and its end is told once") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), kSlow);
    co_await self.until_begun(1);
    self.context.drain(WhenDrained::give_back);
    self.context.abandon();
    self.context.resume();
    self.context.drain(WhenDrained::give_back);
    self.set_go();
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7}\n");
    co_await self.until_ended();
    co_await self.settle();
    CHECK(self.reasons == std::vector{CloseReason::abandoned});
    REQUIRE(self.returned.empty());
    CHECK(co_await self.line(end) == "");
  }(sessions, client));
}

TEST_CASE("a connection that the end of its reactor cuts off is abandoned") {
  Sessions sessions;
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self) -> Task<void> { co_await self.settle(); }(sessions));
  CHECK(sessions.reasons == std::vector<CloseReason>{CloseReason::abandoned});
}

TEST_CASE("a call on this system that fails costs one connection, and is said") {
  Sessions sessions;
  Fd pipe_end;
  {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    pipe_end = Fd(ends[0]);
    const Fd other(ends[1]);
  }
  Session::open(sessions.context, {.socket = std::move(pipe_end)});  // which is no socket
  const Fd client = sessions.open();
  sessions.reactor.run([](Sessions& self, const Fd& end) -> Task<void> {
    co_await self.until_ended();
    test::write_text(end.get(), kEcho);
    CHECK(co_await self.line(end) == kEchoed);
  }(sessions, client));
  CHECK(sessions.reasons.front() == CloseReason::failed);
  REQUIRE(sessions.failures.size() == 1);
  CHECK(sessions.failures.front().starts_with("a connection is closed: "));
}

}  // namespace
}  // namespace handoff
