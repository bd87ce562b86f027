// SPDX-License-Identifier: MIT
#include "methods/service.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>

#include "unit/methods/fake_child.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A service whose processes the test plays.
struct Fixture {
  explicit Fixture(Service::Limits limits) {
    limits.times.settle = std::chrono::milliseconds(1);
    service.emplace(reactor, options, test::start_fakes(started), limits);
  }

  Reactor reactor;
  ProcessOptions options;
  test::FakeProcesses started;
  std::optional<Service> service;
};

Call call_of(std::string params, TimePoint deadline = kNever) {
  Call call;
  call.method = "m";
  call.params = std::move(params);
  call.deadline = deadline;
  return call;
}

/// Begins a call whose result is stored when it is there.
void begin(Fixture& f, std::string params, std::optional<Result>& result) {
  f.reactor.spawn([](Fixture& of, std::string with, std::optional<Result>& to) -> Task<void> {
    Result got = co_await of.service->call(call_of(std::move(with)));
    to = std::move(got);
  }(f, std::move(params), result));
}

Task<void> until_asked(Fixture& f, std::size_t process) {
  while (f.started.size() <= process || !f.started[process]->has_input()) {
    co_await f.reactor.yield();
  }
}

Task<void> until_there(Fixture& f, std::optional<Result>& result) {
  while (!result) { co_await f.reactor.yield(); }
}

std::string reply(int result, int id) {
  return "{\"out\":\"m\",\"result\":" + std::to_string(result) + ",\"id\":" + std::to_string(id) +
         "}\n";
}

TEST_CASE("calls wait in turn until the first reply has its id, and then run side by side") {
  const test::DescriptorCheck check;
  Fixture fixture({.pool_size = 1, .max_calls = 3});
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    std::array<std::optional<Result>, 4> results;
    for (std::size_t n = 0; n < 4; ++n) { begin(f, std::to_string(n), results[n]); }
    co_await until_asked(f, 0);
    CHECK(f.started[0]->read_input() == "{\"in\":\"m\",\"params\":0,\"id\":1}\n");
    for (int turn = 0; turn < 10; ++turn) { co_await f.reactor.yield(); }
    CHECK(!f.started[0]->has_input());
    test::write_text(f.started[0]->out.get(), reply(10, 1));
    co_await until_there(f, results[0]);
    std::string asked;
    while (asked.find("\"id\":4") == std::string::npos) {
      co_await until_asked(f, 0);
      asked += f.started[0]->read_input();
    }
    test::write_text(f.started[0]->out.get(), reply(13, 4) + reply(12, 3) + reply(11, 2));
    for (std::size_t n = 0; n < 4; ++n) {
      co_await until_there(f, results[n]);
      CHECK(results[n]->json == std::to_string(10 + n));
    }
    CHECK(f.started.size() == 1);
  }(fixture));
}

TEST_CASE("a pool starts its processes as they are needed, and a call goes to the idlest") {
  Fixture fixture({.pool_size = 2, .max_calls = 2});
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    std::array<std::optional<Result>, 3> results;
    begin(f, "0", results[0]);
    co_await until_asked(f, 0);
    begin(f, "1", results[1]);
    co_await until_asked(f, 1);
    (void)f.started[0]->read_input();
    (void)f.started[1]->read_input();
    test::write_text(f.started[1]->out.get(), reply(1, 1));
    co_await until_there(f, results[1]);
    begin(f, "2", results[2]);
    co_await until_asked(f, 1);
    test::write_text(f.started[1]->out.get(), reply(2, 2));
    co_await until_there(f, results[2]);
    CHECK(f.started.size() == 2);
    f.service.reset();
    co_await until_there(f, results[0]);
    CHECK(results[0]->code == ErrorCode::worker_died);
  }(fixture));
}

TEST_CASE("a process of a service that has ended is replaced at the next call") {
  Fixture fixture({.pool_size = 1, .max_calls = 2});
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    for (std::size_t n = 0; n < 3; ++n) {
      std::optional<Result> result;
      begin(f, "0", result);
      co_await until_asked(f, n);
      (void)f.started[n]->read_input();
      test::write_text(f.started[n]->out.get(), reply(7, 1));
      co_await until_there(f, result);
      CHECK(result->json == "7");
      f.started[n]->exit_with({});  // which it has not noticed when the next call comes
    }
  }(fixture));
}

TEST_CASE("a call for which no process of a service is free in time gets an error") {
  Fixture fixture({.pool_size = 1, .max_calls = 2});
  fixture.reactor.run([](Fixture& f) -> Task<void> {
    std::optional<Result> first;
    begin(f, "0", first);
    co_await until_asked(f, 0);
    const TimePoint soon = f.reactor.now() + std::chrono::milliseconds(2);
    const Result late = co_await f.service->call(call_of("1", soon));
    CHECK(late.code == ErrorCode::timed_out);
    CHECK(late.message == "no coprocess was free in time");
    test::write_text(f.started[0]->out.get(), reply(7, 1));
    co_await until_there(f, first);
    CHECK(first->json == "7");
  }(fixture));
}

TEST_CASE("when a process of a service can't be started, the call fails and the next one tries") {
  Reactor reactor;
  ProcessOptions options;
  int attempts = 0;
  Service service(reactor, options,
                  [&attempts](int, int, int) -> std::unique_ptr<ChildRunner::Child> {
                    ++attempts;
                    throw SystemError(ENOENT, "execute", "sh");
                  },
                  {});
  for (int n = 1; n <= 2; ++n) {
    CHECK_THROWS_AS(reactor.run_for_result(service.call(call_of("1"))), SystemError);
    CHECK(attempts == n);
  }
}

}  // namespace
}  // namespace handoff
