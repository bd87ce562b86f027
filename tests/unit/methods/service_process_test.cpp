// SPDX-License-Identifier: MIT
#include "methods/service_process.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/methods/fake_child.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Phase = ServicePhase;
using Event = ServiceEvent;

constexpr std::array kEvents = {Event::distrusted, Event::last_over, Event::failed};

TEST_CASE("each event brings a process of a service from each phase to the next") {
  struct Row {
    Phase from;
    std::array<Phase, kEvents.size()> to;
  };
  for (const Row& row : {Row{Phase::open, {Phase::retired, Phase::open, Phase::over}},
                         Row{Phase::retired, {Phase::retired, Phase::over, Phase::over}},
                         Row{Phase::over, {Phase::over, Phase::over, Phase::over}}}) {
    for (std::size_t event = 0; event < kEvents.size(); ++event) {
      CAPTURE(static_cast<int>(row.from));
      CAPTURE(event);
      CHECK(next_phase(row.from, kEvents[event]) == row.to[event]);
    }
  }
}

/// A process that the test plays, which has room for two calls at a time.
struct Fixture {
  Fixture() {
    process_options.max_output = 200;
    ServiceProcess::Options options;
    options.max_calls = 2;
    options.process = &process_options;
    options.times.settle = std::chrono::milliseconds(1);
    options.changed = [this] { ++changes; };
    process = ServiceProcess::start(reactor, test::start_fakes(started), options);
  }

  test::FakeProcess& fake() { return *started[0]; }
  void write(std::string_view text) { test::write_text(fake().out.get(), text); }

  Reactor reactor;
  ProcessOptions process_options;
  test::FakeProcesses started;
  std::shared_ptr<ServiceProcess> process;
  int changes = 0;
};

void run(Fixture& fixture, Task<void> (*story)(Fixture&)) {
  fixture.reactor.run(story(fixture));
}

/// What a call gets to whose request the process answers so.
Task<Result> call_answered(Fixture& f, std::string reply) {
  ServiceCall call(f.reactor);
  call.begin(f.process, "m", "1");
  f.write(reply);
  co_await call.over;
  Result result = call.take_result();
  co_return result;
}

/// The error of a call, and that its process is killed for it.
Task<void> check_fatal(Fixture& f, std::string reply, std::string message) {
  const Result result = co_await call_answered(f, reply);
  CHECK(result.code == ErrorCode::handler_failed);
  CHECK(result.message == message);
  CHECK(f.process->phase() == Phase::over);
  CHECK(f.fake().is_killed());
}

/// Has the process answer its first call, with an id, and checks that it is killed if it answers
/// the second one with this line.
Task<void> check_second_is_fatal(Fixture& f, std::string line, std::string message) {
  const Result good = co_await call_answered(f, "{\"out\":\"m\",\"result\":1,\"id\":1}\n");
  CHECK(good.json == "1");
  co_await check_fatal(f, line, message);
}

TEST_CASE("a process of a service gets the method, the params and an id of our own as a line") {
  const test::DescriptorCheck check;
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    ServiceCall call(f.reactor);
    call.begin(f.process, "a.b", "{\n \"x\": [1, 2]}");
    CHECK(f.fake().read_input() == "{\"in\":\"a.b\",\"params\":{\"x\":[1,2]},\"id\":1}\n");
    f.write("{\"out\":\"a.b\",\"result\":[3, 4],\"id\":1}\n");
    co_await call.over;
    CHECK(call.take_result().json == "[3, 4]");
  });
  CHECK(fixture.process->phase() == Phase::open);
  CHECK(!fixture.fake().is_killed());
}

TEST_CASE("an error that a process of a service replies is the call's, and the process goes on") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const Result error = co_await call_answered(
        f, R"({"out":"error","result":{"code":-32602,"message":"no","data":[1]},"id":1})"
           "\n");
    CHECK(error.code == ErrorCode::invalid_params);
    CHECK(error.message == "no");
    CHECK(error.json == "[1]");
    const Result bare = co_await call_answered(f, "{\"out\":\"error\",\"result\":7,\"id\":2}\n");
    CHECK(bare.code == ErrorCode::internal_error);
    CHECK(!bare.message.empty());
    CHECK(f.process->takes_calls());
  });
}

TEST_CASE("a process whose first reply has its id gets several calls at a time, in any order") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    ServiceCall first(f.reactor);
    ServiceCall second(f.reactor);
    ServiceCall third(f.reactor);
    first.begin(f.process, "m", "1");
    CHECK(!f.process->takes_calls());
    f.write("{\"out\":\"m\",\"result\":\"a\",\"id\":1}\n");
    co_await first.over;
    CHECK(f.changes > 0);
    second.begin(f.process, "m", "2");
    CHECK(f.process->takes_calls());
    third.begin(f.process, "m", "3");
    CHECK(!f.process->takes_calls());
    f.write(
        "{\"out\":\"m\",\"result\":\"c\",\"id\":3}\n{\"out\":\"m\",\"result\":\"b\",\"id\":2}\n");
    co_await second.over;
    co_await third.over;
    CHECK(first.take_result().json == "\"a\"");
    CHECK(second.take_result().json == "\"b\"");
    CHECK(third.take_result().json == "\"c\"");
  });
}

TEST_CASE("a process whose first reply has no id gets one call at a time") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    for (int number = 0; number < 3; ++number) {
      const Result result = co_await call_answered(f, "{\"out\":\"m\",\"result\":5}\r\n");
      CHECK(result.json == "5");
      ServiceCall next(f.reactor);
      CHECK(f.process->takes_calls());
    }
    ServiceCall call(f.reactor);
    call.begin(f.process, "m", "1");
    CHECK(!f.process->takes_calls());
  });
}

TEST_CASE(
    "a process that writes what is no reply to any call is killed, and the call gets an error") {
  Fixture fixture;
  SUBCASE("text") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, "hello \x1b\n",
                           "the coprocess wrote 'hello \x1b': the reply is invalid JSON: "
                           "unknown word at column 1");
    });
  }
  SUBCASE("the request itself") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, "{\"in\":\"m\"}\n",
                           "the coprocess wrote '{\"in\":\"m\"}': the reply is not an "
                           "object with one 'out' and one 'result'");
    });
  }
  SUBCASE("an id of no call") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, "{\"out\":\"m\",\"result\":1,\"id\":7}\n",
                           "the coprocess wrote '{\"out\":\"m\",\"result\":1,\"id\":7}': "
                           "no call has this id");
    });
  }
  SUBCASE("an id that was answered already") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_second_is_fatal(f, "{\"out\":\"m\",\"result\":1,\"id\":1}\n",
                                     "the coprocess wrote '{\"out\":\"m\",\"result\":1,\"id\":1}': "
                                     "no call has this id");
    });
  }
  SUBCASE("no id after one with an id") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_second_is_fatal(
          f, "{\"out\":\"m\",\"result\":1}\n",
          "the coprocess wrote '{\"out\":\"m\",\"result\":1}': it has no id, "
          "and the first reply had");
    });
  }
  SUBCASE("two lines without ids") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, "{\"out\":\"m\",\"result\":1}\n{\"out\":\"m\",\"result\":1}\n",
                           "the coprocess wrote more than one line");
    });
  }
  SUBCASE("a line and a part of one") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, "{\"out\":\"m\",\"result\":1}\n{",
                           "the coprocess wrote more than one line");
    });
  }
  SUBCASE("too long a line") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, std::string(300, 'x') + "\n",
                           "the coprocess's line exceeds the limit of 200 bytes");
    });
  }
  SUBCASE("too long a line without an end") {
    run(fixture, [](Fixture& f) -> Task<void> {
      co_await check_fatal(f, std::string(300, 'x'),
                           "the coprocess's line exceeds the limit of 200 bytes");
    });
  }
}

TEST_CASE("all calls of a process that ends get how it ended, and its stderr") {
  const test::DescriptorCheck check;
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const Result good = co_await call_answered(f, "{\"out\":\"m\",\"result\":1,\"id\":1}\n");
    CHECK(good.json == "1");
    ServiceCall first(f.reactor);
    ServiceCall second(f.reactor);
    first.begin(f.process, "m", "1");
    second.begin(f.process, "m", "2");
    test::write_text(f.fake().err.get(), "oh\n");
    f.fake().exit_with({3, 0});
    co_await first.over;
    co_await second.over;
    for (ServiceCall* call : {&first, &second}) {
      const Result result = call->take_result();
      CHECK(result.message == "the coprocess ended: exit status 3");
      CHECK(result.json == R"({"status":3,"stderr":"oh"})");
    }
    CHECK(f.process->phase() == Phase::over);
  });
}

TEST_CASE("a process without a call that ends, or writes, is over") {
  Fixture fixture;
  bool writes = false;
  SUBCASE("ends") {}
  SUBCASE("writes") {
    writes = true;
  }
  fixture.reactor.run([](Fixture& f, bool says) -> Task<void> {
    const Result good = co_await call_answered(f, "{\"out\":\"m\",\"result\":1,\"id\":1}\n");
    CHECK(good.json == "1");
    CHECK(f.process->check_usable());
    if (says) {
      f.write("?");
    } else {
      f.fake().exit_with({});
    }
    CHECK(!f.process->check_usable());
    CHECK(f.process->phase() == Phase::over);
    co_return;
  }(fixture, writes));
  CHECK(fixture.fake().is_killed());
}

TEST_CASE("a call without a reply in time costs a process without ids its life") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const Result good = co_await call_answered(f, "{\"out\":\"m\",\"result\":1}\n");
    CHECK(good.json == "1");
    ServiceCall call(f.reactor);
    call.begin(f.process, "m", "1");
    const Result late = call.take_result();
    CHECK(late.code == ErrorCode::timed_out);
    CHECK(f.process->phase() == Phase::over);
    CHECK(f.fake().is_killed());
  });
}

TEST_CASE(
    "the late reply to a call that was given up is dropped, if other replies came meanwhile") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const Result good = co_await call_answered(f, "{\"out\":\"m\",\"result\":1,\"id\":1}\n");
    CHECK(good.json == "1");
    ServiceCall slow(f.reactor);
    slow.begin(f.process, "slow", "1");
    const Result quick = co_await call_answered(f, "{\"out\":\"m\",\"result\":2,\"id\":3}\n");
    CHECK(quick.json == "2");
    CHECK(slow.take_result().code == ErrorCode::timed_out);
    CHECK(f.process->phase() == Phase::open);
    f.write("{\"out\":\"slow\",\"result\":0,\"id\":2}\n");
    const Result next = co_await call_answered(f, "{\"out\":\"m\",\"result\":3,\"id\":4}\n");
    CHECK(next.json == "3");
    CHECK(f.process->phase() == Phase::open);
  });
}

TEST_CASE("a process that is silent when a call's time is up is over with the last of its calls") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const Result good = co_await call_answered(f, "{\"out\":\"m\",\"result\":1,\"id\":1}\n");
    CHECK(good.json == "1");
    ServiceCall first(f.reactor);
    ServiceCall second(f.reactor);
    first.begin(f.process, "m", "1");
    second.begin(f.process, "m", "2");
    CHECK(first.take_result().message.starts_with("the coprocess wrote nothing in time"));
    CHECK(f.process->phase() == Phase::retired);
    CHECK(!f.process->takes_calls());
    CHECK(!f.fake().is_killed());
    f.write("{\"out\":\"m\",\"result\":9,\"id\":3}\n");
    co_await second.over;
    CHECK(second.take_result().json == "9");
    CHECK(f.process->phase() == Phase::over);
    CHECK(f.fake().is_killed());
  });
}

TEST_CASE("a process that its owner abandons is killed, and its call gets an error") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    ServiceCall call(f.reactor);
    call.begin(f.process, "m", "1");
    f.process->abandon();
    CHECK(call.over.is_set());
    CHECK(call.take_result().code == ErrorCode::worker_died);
    CHECK(f.fake().is_killed());
    CHECK(f.changes == 0);
    co_return;
  });
}

}  // namespace
}  // namespace handoff
