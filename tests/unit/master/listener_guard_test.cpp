// SPDX-License-Identifier: MIT
#include "master/listener_guard.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

struct Fixture {
  ListenerGuard& guard(const std::string& address) {
    return guarded.emplace(
        reactor, listen_on(Address::parse(address)),
        [this](Severity, std::string_view line) { lines.emplace_back(line); },
        [this](ListenerGuard::Healed how) { healed = how; });
  }

  Reactor reactor;
  std::vector<std::string> lines;
  std::optional<ListenerGuard::Healed> healed;
  std::optional<ListenerGuard> guarded;
};

/// An address with a port that was free a moment ago: the kernel keeps one that is asked for.
std::string free_address() {
  return listen_on(Address::parse("127.0.0.1:0")).text();
}

TEST_CASE_FIXTURE(Fixture, "a listener that a worker has shut down listens again") {
  const test::TemporaryDirectory folder;
  std::string address;
  auto expected = ListenerGuard::Healed::another_socket;
  SUBCASE("TCP") {
    address = free_address();
    expected = ListenerGuard::Healed::same_socket;
  }
  SUBCASE("a named socket") {
    address = folder.path("socket");
  }
  ListenerGuard& guard_of = guard(address);
  const Fd workers = duplicate(guard_of.listener().fd());
  const auto main = [&]() -> Task<void> {
    reactor.spawn(guard_of.run());
    co_await reactor.yield();
    shutdown(workers.get(), SHUT_RDWR);
    while (!healed) { co_await reactor.sleep_until(Clock::now()); }
    CHECK_FALSE(guard_of.listener().is_shut_down());
  };
  reactor.run(main());
  CHECK(healed == expected);
  CHECK(guard_of.listener().text() == address);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "listening again on " + address + ": a worker had shut the socket down");
}

TEST_CASE_FIXTURE(Fixture, "a guard that is closed gives its name up") {
  const test::TemporaryDirectory folder;
  ListenerGuard& guard_of = guard(folder.path("socket"));
  SUBCASE("it guards") {
    const auto main = [&]() -> Task<void> {
      reactor.spawn(guard_of.run());
      co_await reactor.yield();
      guard_of.close();
      while (folder.entries() > 0) { co_await reactor.sleep_until(Clock::now()); }
    };
    reactor.run(main());
  }
  SUBCASE("it does not guard yet") {
    guard_of.close();
  }
  CHECK(folder.entries() == 0);
}

}  // namespace
}  // namespace handoff
