// SPDX-License-Identifier: MIT
#include "worker/join_master.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Before = JoinMaster::Before;

constexpr Duration kNoWait{};
constexpr Duration kLong = std::chrono::hours(1);

/// A worker, and masters that only listen.
struct Fixture {
  JoinMaster& worker(Duration wait) {
    return joining.emplace(reactor, Address::parse(path), wait, PeerJudge(),
                           [this](Severity, std::string_view line) { lines.emplace_back(line); });
  }
  void listen(int type = SOCK_SEQPACKET) {
    master.emplace(listen_on(Address::parse(path), {.type = type}));
  }
  Fd run(Task<Fd> task) { return reactor.run_for_result(std::move(task)); }
  bool has_said(std::string_view text) const {
    for (const std::string& line : lines) {
      if (line.find(text) != std::string::npos) { return true; }
    }
    return false;
  }

  test::TemporaryDirectory folder;
  std::string path = folder.path("join");
  Reactor reactor;
  std::vector<std::string> lines;
  std::optional<Listener> master;
  std::optional<JoinMaster> joining;
};

TEST_CASE_FIXTURE(Fixture, "a worker joins the master that is there, in its form") {
  int type = SOCK_SEQPACKET;
  SUBCASE("the full one") {}
  SUBCASE("the plain one") {
    type = SOCK_STREAM;
  }
  listen(type);
  const Fd channel = run(worker(kNoWait).join());
  REQUIRE(channel.valid());
  CHECK(socket_type(channel.get()) == type);
  CHECK(has_said("in the plain form no master confirms") == (type == SOCK_STREAM));
  CHECK_FALSE(has_said("joined, on"));
  joining->confirm();
  CHECK(has_said("joined, on " + path));
}

TEST_CASE_FIXTURE(Fixture, "a worker that does not wait fails when there is no master") {
  CHECK_THROWS_AS((void)run(worker(kNoWait).join()), Unreachable);
}

TEST_CASE_FIXTURE(Fixture, "a worker that waits joins the master that comes") {
  JoinMaster& joins = worker(kLong);
  const auto comes = [&]() -> Task<void> {
    while (!has_said("(waiting)")) { co_await reactor.sleep_until(Clock::now()); }
    listen();
  };
  reactor.spawn(comes());
  CHECK(run(joins.join()).valid());
}

TEST_CASE_FIXTURE(Fixture, "a signal ends the wait for a master") {
  JoinMaster& joins = worker(kLong);
  const auto ends = [&]() -> Task<void> {
    while (!has_said("(waiting)")) { co_await reactor.sleep_until(Clock::now()); }
    joins.cancel();
  };
  reactor.spawn(ends());
  CHECK_FALSE(run(joins.join()).valid());
}

TEST_CASE_FIXTURE(Fixture, "a worker joins the master that follows") {
  listen();
  JoinMaster& joins = worker(kNoWait);
  CHECK(run(joins.join()).valid());
  master.reset();
  listen();
  CHECK(run(joins.join_again(Before::served)).valid());
}

TEST_CASE_FIXTURE(Fixture, "a worker that does not wait fails when no master follows") {
  listen();
  JoinMaster& joins = worker(kNoWait);
  CHECK(run(joins.join()).valid());
  master.reset();
  const auto error =
      test::thrown_by<Unreachable>([&] { (void)run(joins.join_again(Before::served)); });
  CHECK(std::string(error.what()) ==
        "the master at " + path + " is gone (--wait would wait for another one)");
}

TEST_CASE_FIXTURE(Fixture, "the end of a plain channel without a master that follows is no error") {
  listen(SOCK_STREAM);
  JoinMaster& joins = worker(kNoWait);
  CHECK(run(joins.join()).valid());
  master.reset();
  CHECK_FALSE(run(joins.join_again(Before::served)).valid());
  CHECK(has_said("the master at " + path + " is gone"));
}

TEST_CASE_FIXTURE(Fixture, "a worker that waits says that its master has gone, and waits on") {
  listen();
  JoinMaster& joins = worker(kLong);
  CHECK(run(joins.join()).valid());
  master.reset();
  const auto comes = [&]() -> Task<void> {
    while (!has_said("waiting for another one")) { co_await reactor.sleep_until(Clock::now()); }
    listen();
  };
  reactor.spawn(comes());
  CHECK(run(joins.join_again(Before::served)).valid());
}

TEST_CASE_FIXTURE(Fixture, "a worker tries once more after a refusal, and not after a second") {
  listen();
  JoinMaster& joins = worker(kNoWait);
  CHECK(run(joins.join()).valid());
  CHECK(run(joins.join_again(Before::refused)).valid());
  SUBCASE("two in a row") {
    CHECK_THROWS_AS((void)run(joins.join_again(Before::refused)), Unreachable);
  }
  SUBCASE("a master has served between them") {
    CHECK(run(joins.join_again(Before::served)).valid());
    CHECK(run(joins.join_again(Before::refused)).valid());
  }
}

TEST_CASE_FIXTURE(Fixture, "a signal ends the pause after a refusal with no other master") {
  listen();
  JoinMaster& joins = worker(kLong);
  CHECK(run(joins.join()).valid());
  joins.cancel();
  CHECK_FALSE(run(joins.join_again(Before::refused)).valid());
}

}  // namespace
}  // namespace handoff
