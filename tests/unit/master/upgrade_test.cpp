// SPDX-License-Identifier: MIT
#include "master/upgrade.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "master/balancer.hpp"
#include "master/custody.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Phase = UpgradePhase;
constexpr std::array kPhases{Phase::spawning,   Phase::waiting_for_ready, Phase::ready,
                             Phase::taken_over, Phase::stopping,          Phase::gone,
                             Phase::failed};
constexpr std::array kEvents{UpgradeEvent::spawned,     UpgradeEvent::not_spawned,
                             UpgradeEvent::ready,       UpgradeEvent::timed_out,
                             UpgradeEvent::closed,      UpgradeEvent::take_over,
                             UpgradeEvent::master_stops};

TEST_CASE("every event in every phase of an upgrade") {
  const std::map<std::pair<Phase, UpgradeEvent>, Phase> changes{
      {{Phase::spawning, UpgradeEvent::spawned}, Phase::waiting_for_ready},
      {{Phase::spawning, UpgradeEvent::not_spawned}, Phase::failed},
      {{Phase::spawning, UpgradeEvent::master_stops}, Phase::failed},
      {{Phase::waiting_for_ready, UpgradeEvent::ready}, Phase::ready},
      {{Phase::waiting_for_ready, UpgradeEvent::timed_out}, Phase::failed},
      {{Phase::waiting_for_ready, UpgradeEvent::closed}, Phase::failed},
      {{Phase::waiting_for_ready, UpgradeEvent::master_stops}, Phase::failed},
      {{Phase::ready, UpgradeEvent::take_over}, Phase::taken_over},
      {{Phase::ready, UpgradeEvent::closed}, Phase::failed},
      {{Phase::ready, UpgradeEvent::master_stops}, Phase::failed},
      {{Phase::taken_over, UpgradeEvent::master_stops}, Phase::stopping},
      {{Phase::taken_over, UpgradeEvent::closed}, Phase::gone},
      {{Phase::stopping, UpgradeEvent::closed}, Phase::gone},
  };
  for (const Phase phase : kPhases) {
    for (const UpgradeEvent event : kEvents) {
      CAPTURE(static_cast<int>(phase));
      CAPTURE(static_cast<int>(event));
      const auto expected = changes.find({phase, event});
      CHECK(next_phase(phase, event) == (expected == changes.end() ? phase : expected->second));
    }
  }
}

/// What is known of a process that only the test has.
struct Process {
  Fd alive;  ///< closed by its end
  bool was_killed = false;
  ExitStatus status{0, SIGKILL};
};

class FakeProcess final : public SuccessorProcess {
 public:
  FakeProcess(std::shared_ptr<Process> process, Fd ended)
      : process_(std::move(process)), ended_(std::move(ended)) {}

  pid_t pid() const override { return 4711; }
  int ended_fd() const override { return ended_.get(); }
  bool has_ended() const override { return !process_->alive.valid(); }
  ExitStatus kill_and_reap() override {
    if (process_->alive.valid()) { process_->was_killed = true; }
    process_->alive.reset();
    return process_->status;
  }

 private:
  std::shared_ptr<Process> process_;
  Fd ended_;
};

/// An upgrade to a successor that the test plays.
struct Fixture {
  SpawnSuccessor spawn() {
    return [this](Fd theirs) {
      channel = std::move(theirs);
      auto [ended, alive] = make_pipe();
      process->alive = std::move(alive);
      return std::make_unique<FakeProcess>(process, std::move(ended));
    };
  }
  void say(const std::string& message) const {
    CHECK(send_fds(channel.get(), message, {}).outcome == SendOutcome::sent);
  }
  void say_ready() const {
    channel::Hello hello;
    hello.credits = 1;
    say(channel::encode_hello(hello));
    say(channel::encode_ready());
  }
  /// The messages that came from the old master.
  std::vector<channel::Type> receive() const {
    std::vector<channel::Type> types;
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      const auto received = recv_fds(channel.get(), packet, channel::kMaxDescriptors);
      if (received.outcome != ReceiveOutcome::received) { return types; }
      const auto message = channel::decode({packet.data(), received.size});
      REQUIRE(message);
      types.push_back(message->type);
    }
  }
  /// Starts it, calls `when_started` once the successor runs, and returns what start() gave.
  template <typename Call>
  Status start(Call when_started, Duration ready_timeout = Duration::zero()) {
    return live(
        when_started, ready_timeout, [] {}, [] { return true; });
  }
  /// Has a successor that is ready take over, and calls `then`; until `done()` holds.
  template <typename Then, typename Done>
  void take_over(Then then, Done done) {
    const auto taking = [&] {
      upgrade.take_over();
      then();
    };
    const Status status = live([this] { say_ready(); }, Duration::zero(), taking, done);
    CHECK(status.is_ok());
  }
  template <typename Call, typename Then, typename Done>
  Status live(Call when_started, Duration ready_timeout, Then then, Done done) {
    std::optional<Status> result;
    const auto starting = [&]() -> Task<void> {
      SpawnSuccessor spawner = spawn();
      result = co_await upgrade.start(std::move(spawner), ready_timeout);
    };
    const auto main = [&]() -> Task<void> {
      reactor.spawn(starting());
      while (upgrade.phase() == Phase::spawning) { co_await reactor.yield(); }
      when_started();
      while (!result) { co_await reactor.sleep_until(Clock::now()); }
      then();
      while (!done()) { co_await reactor.sleep_until(Clock::now()); }
    };
    reactor.run(main());
    return *result;
  }
  Reactor reactor;
  std::vector<std::string> lines;
  Report report = [this](Severity, std::string_view line) { lines.emplace_back(line); };
  std::shared_ptr<Custody> custody = std::make_shared<Custody>(reactor, 1);
  Balancer balancer{Balance::round_robin};
  Fd channel;
  std::shared_ptr<Process> process = std::make_shared<Process>();
  Upgrade upgrade{reactor, balancer, custody, report};
};

TEST_CASE_FIXTURE(Fixture, "a successor that says READY is ready, and is left alive") {
  CHECK(start([this] { say_ready(); }).is_ok());
  CHECK(upgrade.phase() == Phase::ready);
  CHECK_FALSE(upgrade.has_taken_over());
  CHECK(upgrade.pid() == 4711);
  CHECK_FALSE(process->was_killed);
}

TEST_CASE_FIXTURE(Fixture, "a successor that is not ready in time is killed") {
  const Status status = start([] {}, std::chrono::milliseconds(1));
  REQUIRE_FALSE(status.is_ok());
  CHECK(status.why() == "the new master, pid 4711: not ready within 1ms, killed");
  CHECK(upgrade.phase() == Phase::failed);
  CHECK(process->was_killed);
}

TEST_CASE_FIXTURE(Fixture, "a successor that ends before it is ready fails with its status") {
  process->status = {3, 0};
  const Status status = start([this] {
    process->alive.reset();
    channel.reset();
  });
  REQUIRE_FALSE(status.is_ok());
  CHECK(status.why() == "the new master, pid 4711: exit status 3, before it was ready");
  CHECK_FALSE(process->was_killed);
}

TEST_CASE_FIXTURE(Fixture, "a successor that breaks the protocol is killed") {
  const Status status = start([this] { say("nonsense"); });
  REQUIRE_FALSE(status.is_ok());
  CHECK(process->was_killed);
  CHECK(upgrade.phase() == Phase::failed);
}

TEST_CASE_FIXTURE(Fixture, "a successor of a master that stops is killed") {
  const Status status = start([this] { upgrade.give_up(); });
  REQUIRE_FALSE(status.is_ok());
  CHECK(status.why() == "the new master, pid 4711: this master stops, killed");
  CHECK(process->was_killed);
}

TEST_CASE_FIXTURE(Fixture, "a successor that is ready as its master stops is killed") {
  const Status status = start([this] {
    say_ready();
    upgrade.give_up();
  });
  CHECK_FALSE(status.is_ok());
  CHECK(process->was_killed);
}

TEST_CASE_FIXTURE(Fixture, "an upgrade to a program that cannot be executed fails at once") {
  std::optional<Status> status;
  const auto main = [&]() -> Task<void> {
    SpawnSuccessor spawner = [](Fd) -> std::unique_ptr<SuccessorProcess> {
      throw SystemError(ENOEXEC, "exec", "x");
    };
    status = co_await upgrade.start(std::move(spawner), Duration::zero());
  };
  reactor.run(main());
  REQUIRE_FALSE(status->is_ok());
  CHECK(status->why() == SystemError(ENOEXEC, "exec", "x").what());
  CHECK(upgrade.phase() == Phase::failed);
  CHECK(upgrade.pid() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a successor that takes over is told that the names are its own") {
  take_over([] {}, [] { return true; });
  CHECK(upgrade.has_taken_over());
  CHECK(receive() == std::vector{channel::Type::listener});
}

TEST_CASE_FIXTURE(Fixture, "the end of a successor that has taken over is an error") {
  const auto is_gone = [this] { return upgrade.phase() == Phase::gone; };
  SUBCASE("it was not expected") {
    take_over([this] { channel.reset(); }, is_gone);
    CHECK(lines == std::vector<std::string>{"cannot upgrade: the new master is gone"});
  }
  SUBCASE("this master stops too") {
    const auto stop = [this] {
      upgrade.give_up();
      channel.reset();
    };
    take_over(stop, is_gone);
    CHECK(lines.empty());
  }
  CHECK(upgrade.has_taken_over());
}

TEST_CASE_FIXTURE(Fixture, "a successor gets what waits, and what it has not started comes back") {
  for (int i = 0; i < 3; ++i) {
    balancer.pass({{.socket = std::move(make_socket_pair(SOCK_STREAM).first)}});
  }
  const auto started = [this] {
    CHECK(balancer.waiting() == 2);  // it has room for one
    say(channel::encode_ids(channel::Type::started, std::vector<std::uint64_t>{1}));
    say(channel::encode_ids(channel::Type::finished, std::vector<std::uint64_t>{1}));
  };
  bool hung_up = false;
  take_over(started, [&] {
    if (balancer.waiting() == 1 && !std::exchange(hung_up, true)) { channel.reset(); }
    return upgrade.phase() == Phase::gone;
  });
  CHECK(balancer.waiting() == 2);
  CHECK(balancer.is_empty());
}

TEST_CASE("an upgrade leaves no descriptor open") {
  const test::DescriptorCheck check;
  Fixture fixture;
  CHECK(fixture.start([&] { fixture.say_ready(); }).is_ok());
}

}  // namespace
}  // namespace handoff
