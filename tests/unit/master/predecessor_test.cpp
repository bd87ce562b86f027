// SPDX-License-Identifier: MIT
#include "master/predecessor.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Phase = Predecessor::Phase;

/// A master, and its predecessor in the hands of the test.
class Fixture : private Predecessor::Owner {
 public:
  Fixture() {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    channel = std::move(theirs);
    predecessor.emplace(reactor, static_cast<Predecessor::Owner&>(*this), std::move(ours),
                        [this](std::string_view line) { lines.emplace_back(line); });
  }
  /// What the master has said by the time that `done()` holds.
  template <typename Done>
  void run_until(Done done) {
    const auto main = [&]() -> Task<void> {
      if (!std::exchange(started, true)) { predecessor->start(1); }
      while (!done()) { co_await reactor.sleep_until(Clock::now()); }
    };
    reactor.run(main());
  }
  bool hears(channel::Type type) {
    std::vector<char> packet(channel::kMaxMessage);
    const auto received = recv_fds(channel.get(), packet, 0);
    if (received.outcome != ReceiveOutcome::received) { return false; }
    const auto message = channel::decode({packet.data(), received.size});
    return message && message->type == type;
  }
  void pass(std::size_t count) {
    const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections packed(channel::Type::connection);
    while (packed.count() < count) { packed.add(Connection()); }
    CHECK(send_fds(channel.get(), packed.bytes(), std::vector<int>(count, connection.get()))
              .outcome == SendOutcome::sent);
  }
  void answer() {
    CHECK(
        send_fds(channel.get(), channel::encode_passing(channel::Type::listener, 0), {}).outcome ==
        SendOutcome::sent);
  }
  void connection_passed(Connection) override { ++passed; }
  void all_passed() override { passed_together.push_back(passed); }
  void predecessor_drains() override { ++drains; }
  void predecessor_gone(Phase before) override { gone = before; }

  Reactor reactor;
  Fd channel;
  std::optional<Predecessor> predecessor;
  bool started = false;
  int passed = 0;
  std::vector<int> passed_together;  ///< `passed` after each message
  std::vector<std::string> lines;    ///< of what was lost
  int drains = 0;
  std::optional<Phase> gone;
};

TEST_CASE_FIXTURE(Fixture, "a predecessor that answers READY has handed over") {
  CHECK(predecessor->phase() == Phase::serves);
  CHECK(predecessor->owns_names());
  const auto body = [&]() -> Task<void> {
    predecessor->start(1);
    while (!hears(channel::Type::hello)) { co_await reactor.sleep_until(Clock::now()); }
    predecessor->say_ready();
    CHECK(predecessor->phase() == Phase::promised);
    CHECK(predecessor->owns_names());
    while (!hears(channel::Type::ready)) { co_await reactor.sleep_until(Clock::now()); }
    answer();
    while (drains == 0) { co_await reactor.sleep_until(Clock::now()); }
    CHECK(predecessor->phase() == Phase::drains);
    CHECK_FALSE(predecessor->owns_names());
    answer();  // once more changes nothing
    channel.reset();
    while (!gone) { co_await reactor.sleep_until(Clock::now()); }
  };
  reactor.run(body());
  CHECK(drains == 1);
  CHECK(gone == Phase::drains);
  CHECK(predecessor->phase() == Phase::gone);
}

TEST_CASE_FIXTURE(Fixture, "the end of a predecessor tells in which phase it was") {
  SUBCASE("this master was not ready") {
    channel.reset();
    run_until([&] { return gone.has_value(); });
    CHECK(gone == Phase::serves);
  }
  SUBCASE("it had not answered READY") {
    const auto body = [&]() -> Task<void> {
      predecessor->start(1);
      predecessor->say_ready();
      channel.reset();
      while (!gone) { co_await reactor.sleep_until(Clock::now()); }
    };
    reactor.run(body());
    CHECK(gone == Phase::promised);
  }
  CHECK_FALSE(predecessor->owns_names());
}

TEST_CASE_FIXTURE(Fixture, "a predecessor that is gone is told nothing more") {
  channel.reset();
  run_until([&] { return gone.has_value(); });
  predecessor->say_ready();
  predecessor->finished(1);
  CHECK(predecessor->phase() == Phase::gone);
}

TEST_CASE_FIXTURE(Fixture, "the connections of a message are passed, and then said to be all") {
  const auto body = [&]() -> Task<void> {
    predecessor->start(16);
    pass(3);
    pass(2);
    while (passed < 5) { co_await reactor.sleep_until(Clock::now()); }
  };
  reactor.run(body());
  CHECK(passed_together == std::vector<int>{3, 5});
  CHECK(lines.empty());
}

TEST_CASE_FIXTURE(Fixture, "connections that there is no descriptor for are said to be lost") {
  const auto body = [&]() -> Task<void> {
    predecessor->start(16);
    pass(3);
    const test::DescriptorLimit none(0);
    while (lines.empty()) { co_await reactor.sleep_until(Clock::now()); }
  };
  reactor.run(body());
  CHECK(passed == 0);
  CHECK(lines == std::vector<std::string>{fmt::format("receive 3 connections of the old master: {}",
                                                      error_text(EMFILE))});
}

TEST_CASE_FIXTURE(Fixture, "listeners, a queue and an order to leave mean nothing to a successor") {
  const auto body = [&]() -> Task<void> {
    predecessor->start(16);
    const Fd one = std::move(make_socket_pair(SOCK_STREAM).first);
    const std::vector<int> two{one.get(), one.get()};
    for (const auto type : {channel::Type::listener, channel::Type::queue}) {
      CHECK(send_fds(channel.get(), channel::encode_passing(type, 2), two).outcome ==
            SendOutcome::sent);
    }
    CHECK(send_fds(channel.get(), channel::encode_drain({}), {}).outcome == SendOutcome::sent);
    pass(1);
    while (passed == 0) { co_await reactor.sleep_until(Clock::now()); }
  };
  reactor.run(body());
  CHECK(predecessor->phase() == Phase::serves);
  CHECK(drains == 0);
  CHECK_FALSE(gone);
}

}  // namespace
}  // namespace handoff
