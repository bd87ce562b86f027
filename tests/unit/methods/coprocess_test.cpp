// SPDX-License-Identifier: MIT
#include "methods/coprocess.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <handoff/os/error.hpp>

#include "unit/methods/fake_child.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A coprocess whose processes the test plays.
struct Fixture {
  explicit Fixture(CoprocessTimes times = {})
      : coprocess(
            reactor, options, [this](int in, int out, int err) { return start(in, out, err); }, 1,
            times) {
    options.max_output = 64;
  }

  std::unique_ptr<ChildRunner::Child> start(int in, int out, int err) {
    auto child = test::start_fakes(started)(in, out, err);
    test::write_text(started.back()->out.get(), first_output);
    test::write_text(started.back()->err.get(), first_errors);
    return child;
  }

  Reactor reactor;
  ProcessOptions options;
  test::FakeProcesses started;
  std::string first_output;  ///< what each process writes when it is started
  std::string first_errors;
  Coprocess coprocess;
};

Call call_with(std::string params, TimePoint deadline = kNever) {
  Call call;
  call.method = "m";
  call.params = std::move(params);
  call.deadline = deadline;
  return call;
}

/// Waits for the question to the process with this index, and writes the answer.
Task<void> answer(Fixture& fixture, std::size_t index, std::string text) {
  while (fixture.started.size() <= index || !fixture.started[index]->has_input()) {
    co_await fixture.reactor.yield();
  }
  (void)fixture.started[index]->read_input();
  test::write_text(fixture.started[index]->out.get(), text);
}

/// A call that the process with this index gives this answer to.
Task<Result> call_answered(Fixture& fixture, std::size_t index, std::string text) {
  fixture.reactor.spawn(answer(fixture, index, std::move(text)));
  const Result result = co_await fixture.coprocess.call(call_with("1"));
  co_return result;
}

void run(Fixture& fixture, Task<void> (*story)(Fixture&)) {
  fixture.reactor.run(story(fixture));
}

TEST_CASE("a process that answers with one line of JSON gets the next call too") {
  const test::DescriptorCheck check;
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const Result first = co_await call_answered(f, 0, "\"a\"\n");
    CHECK(first.json == "\"a\"");
    const Result second = co_await call_answered(f, 0, "{\"b\":2}\r\n");
    CHECK(second.json == "{\"b\":2}");
  });
  CHECK(fixture.started.size() == 1);
  CHECK(fixture.started[0]->times_ended == 0);
}

TEST_CASE("a process gets the params as one line") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    f.reactor.spawn([](Fixture& of) -> Task<void> {
      while (of.started.empty() || !of.started[0]->has_input()) { co_await of.reactor.yield(); }
      CHECK(of.started[0]->read_input() == "{\"a\":[1,2]}\n");
      test::write_text(of.started[0]->out.get(), "0\n");
    }(f));
    const Result result = co_await f.coprocess.call(call_with("{\"a\":\n [1, 2]}"));
    CHECK(result.json == "0");
  });
}

TEST_CASE("a process that writes anything but one line of JSON is killed, and another is started") {
  const test::DescriptorCheck check;
  struct Wrong {
    std::string text;
    std::string_view message;
  };
  for (const Wrong& wrong :
       {Wrong{"1\n2\n", "the coprocess wrote more than one line"},
        Wrong{"1\n2", "the coprocess wrote more than one line"},
        Wrong{"hello\n", "the coprocess's line is not JSON"},
        Wrong{std::string(65, '1') + "\n", "the coprocess's line exceeds the limit of 64 bytes"},
        Wrong{std::string(100, '1'), "the coprocess's line exceeds the limit of 64 bytes"}}) {
    CAPTURE(wrong.text);
    Fixture fixture;
    fixture.reactor.run([](Fixture& f, const Wrong& w) -> Task<void> {
      const Result failed = co_await call_answered(f, 0, w.text);
      CHECK(failed.code == ErrorCode::handler_failed);
      CHECK(failed.message.starts_with(w.message));
      CHECK(f.started[0]->is_killed());
      const Result next = co_await call_answered(f, 1, "3\n");
      CHECK(next.json == "3");
    }(fixture, wrong));
  }
}

TEST_CASE("a second line shortly after the first answer of a process is an error") {
  Fixture fixture({.settle = std::chrono::hours(1), .exit = std::chrono::hours(1)});
  run(fixture, [](Fixture& f) -> Task<void> {
    f.reactor.spawn([](Fixture& of) -> Task<void> {
      co_await answer(of, 0, "1\n");
      co_await of.reactor.yield();
      test::write_text(of.started[0]->out.get(), "2\n");
    }(f));
    const Result failed = co_await f.coprocess.call(call_with("1"));
    CHECK(failed.message == "the coprocess wrote more than one line");
    CHECK(f.started[0]->is_killed());
  });
}

TEST_CASE("a process that ends in a call gives its call an error with its status and stderr") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    f.reactor.spawn([](Fixture& of) -> Task<void> {
      co_await answer(of, 0, "half");
      test::write_text(of.started[0]->err.get(), "why\n");
      of.started[0]->exit_with({7, 0});
    }(f));
    const Result failed = co_await f.coprocess.call(call_with("1"));
    CHECK(failed.code == ErrorCode::handler_failed);
    CHECK(failed.message == "the coprocess ended: exit status 7");
    CHECK(failed.json == R"({"status":7,"stderr":"why"})");
    CHECK(f.started[0]->is_killed());
    const Result next = co_await call_answered(f, 1, "3\n");
    CHECK(next.json == "3");
  });
}

TEST_CASE("a process that ends after its whole line has answered, and gets no other call") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    f.reactor.spawn([](Fixture& of) -> Task<void> {
      co_await answer(of, 0, "1\n");
      of.started[0]->exit_with({0, 0});
    }(f));
    const Result result = co_await f.coprocess.call(call_with("1"));
    CHECK(result.json == "1");
    const Result next = co_await call_answered(f, 1, "3\n");
    CHECK(next.json == "3");
    CHECK(f.started[0]->is_killed());
  });
}

TEST_CASE("a process that closes its output and lives on is killed") {
  Fixture fixture({.settle = std::chrono::hours(1), .exit = std::chrono::milliseconds(1)});
  run(fixture, [](Fixture& f) -> Task<void> {
    f.reactor.spawn([](Fixture& of) -> Task<void> {
      co_await answer(of, 0, "");
      of.started[0]->out.reset();
    }(f));
    const Result failed = co_await f.coprocess.call(call_with("1"));
    CHECK(failed.message == "the coprocess closed its output");
    CHECK(f.started[0]->is_killed());
  });
}

TEST_CASE("a process that does not answer by the deadline is killed, and its stderr is told") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    const auto soon = [&f] { return f.reactor.now() + std::chrono::milliseconds(1); };
    const Result silent = co_await f.coprocess.call(call_with("1", soon()));
    CHECK(silent.code == ErrorCode::timed_out);
    CHECK(silent.message.ends_with("run it by `stdbuf -oL`"));
    CHECK(f.started[0]->is_killed());
    f.first_output = "half";
    f.first_errors = "slow";
    const Result half = co_await f.coprocess.call(call_with("1", soon()));
    CHECK(half.message == "the coprocess wrote no whole line in time");
    CHECK(half.json == R"({"stderr":"slow"})");
    CHECK(f.started[1]->is_killed());
  });
}

TEST_CASE("an idle process that has ended or has written something gets no call") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    (void)co_await call_answered(f, 0, "1\n");
    f.started[0]->exit_with({1, 0});
    const Result second = co_await call_answered(f, 1, "2\n");
    CHECK(second.json == "2");
    CHECK(f.started[0]->is_killed());
    test::write_text(f.started[1]->out.get(), "\"not asked for\"\n");
    const Result third = co_await call_answered(f, 2, "3\n");
    CHECK(third.json == "3");
    CHECK(f.started[1]->is_killed());
  });
}

TEST_CASE("a call waits until one of the pool is free, or for its deadline") {
  Fixture fixture;
  run(fixture, [](Fixture& f) -> Task<void> {
    Result first;
    bool done = false;
    f.reactor.spawn([](Fixture& of, Result& result, bool& is_done) -> Task<void> {
      result = co_await of.coprocess.call(call_with("1"));
      is_done = true;
    }(f, first, done));
    while (f.started.empty() || !f.started[0]->has_input()) { co_await f.reactor.yield(); }
    const Result refused =
        co_await f.coprocess.call(call_with("2", f.reactor.now() + std::chrono::milliseconds(1)));
    CHECK(refused.message == "no coprocess was free in time");
    f.reactor.spawn(answer(f, 0, "1\n"));
    while (!done) { co_await f.reactor.yield(); }
    CHECK(first.json == "1");
  });
  CHECK(fixture.started.size() == 1);
}

TEST_CASE("a process that can't be started is its call's failure, and leaves its place free") {
  Reactor reactor;
  const ProcessOptions options;
  Coprocess coprocess(
      reactor, options,
      [](int, int, int) -> std::unique_ptr<ChildRunner::Child> {
        throw SystemError(ENOENT, "exec", "none");
      },
      1);
  reactor.run([](Coprocess& of) -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      bool thrown = false;
      try {
        (void)co_await of.call(call_with("1"));
      } catch (const SystemError& error) { thrown = error.error_number() == ENOENT; }
      CHECK(thrown);
    }
  }(coprocess));
}

}  // namespace
}  // namespace handoff
