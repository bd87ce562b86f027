// SPDX-License-Identifier: MIT
#include "async/resolver.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <handoff/os/address.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// A name service that answers once it is told to. The lookups may outlive the test.
struct SlowService {
  std::promise<void> answer;
  std::shared_future<void> answered = answer.get_future().share();
  std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);

  Resolver::LookUp look_up() const {
    return [answered = answered, calls = calls](const std::string& host) {
      ++*calls;
      answered.wait();
      const Address address = Address::parse(host + ":0");
      return HostLookup{{*address.without_lookup()}, {}};
    };
  }
};

std::optional<HostLookup> look_up(Resolver& resolver, const std::string& host,
                                  TimePoint deadline = kNever) {
  Reactor reactor;
  return reactor.run_for_result(resolver.look_up(reactor, host, deadline));
}

TEST_CASE("a lookup gives addresses, or why there are none") {
  Resolver resolver([](const std::string& host) {
    if (host == "known") { return HostLookup{{*Address::parse(":7").without_lookup()}, {}}; }
    if (host == "broken") { throw std::runtime_error("out of order"); }
    return HostLookup{{}, ConnectFailure{0, "nobody knows it", Outlook::may_change}};
  });
  CHECK(look_up(resolver, "known")->addresses.front().text() == "127.0.0.1:7");
  CHECK(look_up(resolver, "unknown")->failure->reason == "nobody knows it");
  CHECK(look_up(resolver, "broken")->failure->reason == "out of order");
}

TEST_CASE("a lookup that has no answer ends at the deadline, and the reactor goes on meanwhile") {
  const test::DescriptorCheck check;
  SlowService service;
  Resolver resolver(service.look_up());
  Reactor reactor;
  int turns = 0;
  const auto count = [&]() -> Task<void> {
    for (;; ++turns) { co_await reactor.sleep_until(Clock::now() + milliseconds(1)); }
  };
  reactor.spawn(count());
  const TimePoint deadline = Clock::now() + milliseconds(30);
  CHECK(!reactor.run_for_result(resolver.look_up(reactor, "127.0.0.1", deadline)));
  CHECK(Clock::now() >= deadline);
  CHECK(turns > 1);
  service.answer.set_value();
}

TEST_CASE("lookups of the same name share one thread, whichever reactor asks") {
  SlowService service;
  Resolver resolver(service.look_up());
  CHECK(!look_up(resolver, "127.0.0.1", Clock::now() + milliseconds(1)));
  CHECK(!look_up(resolver, "127.0.0.1", Clock::now() + milliseconds(1)));
  CHECK(!look_up(resolver, "127.0.0.2", Clock::now() + milliseconds(1)));
  Reactor reactor;
  const auto answer_later = [&]() -> Task<void> {
    co_await reactor.sleep_until(Clock::now() + milliseconds(5));
    service.answer.set_value();
  };
  reactor.spawn(answer_later());
  const auto found = reactor.run_for_result(resolver.look_up(reactor, "127.0.0.1", kNever));
  CHECK(found->addresses.front().text() == "127.0.0.1:0");
  CHECK(*service.calls == 2);
}

TEST_CASE("a lookup under way may outlive its resolver, its reactor and those who asked") {
  SlowService service;
  {
    Resolver resolver(service.look_up());
    CHECK(!look_up(resolver, "127.0.0.1", Clock::now() + milliseconds(1)));
  }
  service.answer.set_value();
}

TEST_CASE("no signal arrives on the thread of a lookup") {
  bool blocks_all = false;
  Resolver resolver([&](const std::string&) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    blocks_all = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGINT) == 1;
    return HostLookup{};
  });
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  CHECK(look_up(resolver, "any"));
  CHECK(blocks_all);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  CHECK(sigismember(&after, SIGTERM) == sigismember(&before, SIGTERM));
}

}  // namespace
}  // namespace handoff
