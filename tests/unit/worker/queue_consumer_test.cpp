// SPDX-License-Identifier: MIT
#include "worker/queue_consumer.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/condition.hpp>
#include <handoff/wire/errors.hpp>

#include "os/sealed_memory.hpp"
#include "pass/ledger.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"
#include "rpc/call_log.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr std::size_t kLongest = 4000;

/// A worker's end of a queue, and the master's in the hands of the test. The methods are "echo",
/// which is instant, "slow", which waits until its name is in `go`, "who", which tells what it was
/// called with, and "big", which gives more than the master takes.
struct Queue {
  explicit Queue(SessionLimits limits = {}, std::size_t max_calls = 100,
                 ServerContext::Shared shared = {})
      : changed(reactor), context(reactor, methods(), limits, {}, shared) {
    SharedMemory ours = make_memory_to_write("requests", RingEnd::memory_size(kLongest));
    SharedMemory theirs = make_memory_to_read("replies", RingEnd::memory_size(kLongest));
    requests = reinterpret_cast<RingState*>(ours.mapping.data());
    master.emplace(std::move(ours.mapping), std::move(theirs.mapping));
    QueueConsumer::Owner owner;
    owner.wake_master = [this] { ++woken; };
    owner.became_idle = [this] { ++became_idle; };
    owner.run_elsewhere = [this](Call& call, const std::function<void(Result)>& done) {
      if (!runs_elsewhere) { return false; }
      moved.push_back(std::move(call));
      finish.push_back(done);
      return true;
    };
    consumer = std::make_shared<QueueConsumer>(context, std::move(ours.file),
                                               std::move(theirs.file), max_calls, std::move(owner));
  }

  std::shared_ptr<const MethodTable> methods() {
    auto table = std::make_shared<MethodTable>();
    table->add_instant("echo", [](const Request& request) { return request.params; });
    table->add("slow", [this](Call call) -> Task<Result> {
      ++begun;
      co_await changed.wait_until(
          [this, &call] { return go.find(call.params) != std::string::npos; });
      co_return Result::success(std::move(call.params));
    });
    table->add("who", [](Call call) -> Task<Result> {
      co_return Result::success("[" + call.id + "," + call.peer + "]");
    });
    table->add("big", [](const Call&) -> Task<Result> {
      co_return Result::success('"' + std::string(2 * RingEnd::memory_size(kLongest), 'x') + '"');
    });
    return table;
  }

  void ask(std::uint64_t ticket, std::string_view method, std::string_view params = "1",
           std::int64_t deadline = std::numeric_limits<std::int64_t>::max()) {
    REQUIRE(write_request(*master, {ticket, deadline, method, params, "7", "8"}));
    master->publish();
  }
  void let_go(std::string_view params) {
    go += params;
    changed.notify_all();
  }
  Task<void> turns() {
    for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
  }
  /// The next reply: its ticket, and its result or its code.
  std::optional<std::pair<std::uint64_t, std::string>> reply() {
    const auto record = master->read(copy);
    if (!record) { return std::nullopt; }
    const auto reply = decode_reply(*record);
    REQUIRE(reply);
    message = reply->message;
    duration = reply->duration;
    std::pair<std::uint64_t, std::string> answer(reply->ticket, reply->is_not_begun() ? "not begun"
                                                                : reply->code == 0
                                                                    ? std::string(reply->json)
                                                                    : std::to_string(reply->code));
    master->release();
    return answer;
  }

  template <typename Steps>
  void run(Steps steps) {
    reactor.run([](Queue& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
  }

  Reactor reactor;
  Condition changed;
  std::string go;
  int begun = 0;
  ServerContext context;
  RingState* requests = nullptr;  ///< at the start of the master's memory
  std::optional<RingEnd> master;
  std::string copy;
  std::string message;         ///< of the last reply
  std::uint32_t duration = 0;  ///< of the last reply
  int woken = 0;
  int became_idle = 0;
  bool runs_elsewhere = false;
  std::vector<Call> moved;
  std::vector<std::function<void(Result)>> finish;
  std::shared_ptr<QueueConsumer> consumer;
};

using Answer = std::pair<std::uint64_t, std::string>;

TEST_CASE("a request of the queue is answered under its ticket, as soon as its method has ended") {
  const test::DescriptorCheck check;
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(5, "slow", "5");
    its.ask(6, "slow", "6");
    its.ask(7, "echo", "[7]");
    co_await its.turns();
    CHECK(its.begun == 2);
    CHECK(its.consumer->running() == 2);
    CHECK(!its.consumer->idle());
    CHECK(its.reply() == Answer(7, "[7]"));
    CHECK(!its.reply());
    its.let_go("6");
    co_await its.turns();
    CHECK(its.reply() == Answer(6, "6"));
    its.let_go("5");
    co_await its.turns();
    CHECK(its.reply() == Answer(5, "5"));
    CHECK(its.consumer->idle());
    CHECK(its.context.requests() == 3);
  });
}

TEST_CASE("of more requests than run at a time each begins when another has ended, in order") {
  Queue queue({}, 2);
  queue.run([](Queue& its) -> Task<void> {
    CHECK(its.master->other_heeds_revocations());
    for (int i = 1; i <= 3; ++i) {
      its.ask(static_cast<std::uint64_t>(i), "slow", std::to_string(i));
    }
    its.ask(4, "echo", "4");
    co_await its.turns();
    CHECK(its.begun == 2);
    CHECK(its.consumer->running() == 2);
    CHECK(!its.consumer->idle());
    CHECK(!its.reply());
    its.let_go("2");
    co_await its.turns();
    CHECK(its.begun == 3);
    CHECK(its.reply() == Answer(2, "2"));
    CHECK(!its.reply());
    its.let_go("13");
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "1"));
    CHECK(its.reply() == Answer(3, "3"));
    CHECK(its.reply() == Answer(4, "4"));
    CHECK(its.consumer->idle());
  });
}

TEST_CASE("each call of a queue has a line in the log, with the client that the master names") {
  std::vector<std::string> lines;
  const CallLog log(CallLog::Calls::all, [&lines](std::string_view line) {
    lines.emplace_back(line.substr(0, line.rfind(',')));
  });
  Queue queue({}, 100, {.calls = &log});
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    its.ask(2, "none", "2");
    its.ask(3, "echo", "3");
    its.ask(4, "big", "4");
    its.ask(5, "echo", "5", 1);
    co_await its.turns();
    its.let_go("1");
    co_await its.turns();
  });
  const std::vector<std::string> wanted = {"call none from 8: error -32601", "call echo from 8: ok",
                                           "call echo from 8: error -32002",
                                           "call big from 8: error -32001", "call slow from 8: ok"};
  CHECK(lines == wanted);
}

TEST_CASE("what is taken back before another call has ended is given back and not begun") {
  Queue queue({}, 1);
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    its.ask(2, "slow", "2");
    its.ask(3, "echo", "3");
    co_await its.turns();
    const std::uint64_t begun_until = its.master->read_by_other();
    CHECK(its.master->revoke(begun_until) == begun_until);
    its.let_go("1");
    co_await its.turns();
    CHECK(its.begun == 1);
    CHECK(its.reply() == Answer(1, "1"));
    CHECK(its.reply() == Answer(2, "not begun"));
    CHECK(its.reply() == Answer(3, "not begun"));
    CHECK(its.consumer->idle());
    CHECK(its.context.requests() == 1);
    its.master->end_revocation();
    its.ask(4, "echo", "4");
    co_await its.turns();
    CHECK(its.reply() == Answer(4, "4"));
  });
}

TEST_CASE("a worker that may begin no more is not woken for it, and looks when a call has ended") {
  Queue queue({}, 1);
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    co_await its.turns();
    co_await its.reactor.sleep_until(its.reactor.now() + std::chrono::milliseconds(1));
    CHECK(!its.master->must_wake());
    its.ask(2, "echo", "2");
    its.let_go("1");
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "1"));
    CHECK(its.reply() == Answer(2, "2"));
  });
}

TEST_CASE("a request whose deadline has passed while others ran is not begun") {
  Queue queue({}, 1);
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    const auto soon = its.reactor.now() + std::chrono::milliseconds(1);
    its.ask(2, "slow", "2", soon.time_since_epoch() / std::chrono::nanoseconds(1));
    co_await its.turns();
    co_await its.reactor.sleep_until(soon);
    its.let_go("1");
    co_await its.turns();
    CHECK(its.begun == 1);
    CHECK(its.reply() == Answer(1, "1"));
    CHECK(its.reply() == Answer(2, "-32002"));
  });
}

TEST_CASE("a reply tells how long its method took") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    co_await its.turns();
    co_await its.reactor.sleep_until(its.reactor.now() + std::chrono::milliseconds(2));
    its.let_go("1");
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "1"));
    CHECK(its.duration >= 2'000'000);
    its.ask(2, "echo");
    co_await its.turns();
    its.ask(3, "echo");
    co_await its.turns();
    CHECK(its.reply() == Answer(2, "1"));
    CHECK(its.reply() == Answer(3, "1"));
    CHECK(its.duration > 0);
    CHECK(its.duration < 2'000'000);
  });
}

TEST_CASE("a method is told the id and the client that the master has written") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "who");
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "[7,8]"));
  });
}

TEST_CASE("a method that is not there, and one that is late, are errors") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "none");
    its.ask(2, "slow", "1", 1);
    co_await its.turns();
    std::vector<Answer> answers;
    while (auto answer = its.reply()) { answers.push_back(*answer); }
    CHECK(answers == std::vector<Answer>{{1, "-32601"}, {2, "-32002"}});
    CHECK(its.consumer->idle());
  });
}

TEST_CASE("calls of a queue are counted in the ledger, with their errors and durations") {
  Queue queue;
  auto [ledger, file] = ledger::Ledger::make({});
  const auto counted = std::make_shared<const ledger::Ledger>(std::move(ledger));
  queue.context.count_in(counted, 0);
  const auto errors = [&](ErrorCode code) {
    return counted->totals().errors[ledger::error_counter(code)];
  };
  queue.run([&](Queue& its) -> Task<void> {
    its.ask(1, "none");
    its.ask(2, "slow", "2");
    its.ask(3, "big");
    its.ask(4, "echo");
    co_await its.turns();
    CHECK(counted->totals().requests == 4);
    CHECK(counted->active_calls() == 1);
    CHECK(errors(ErrorCode::method_not_found) == 1);
    CHECK(errors(ErrorCode::handler_failed) == 1);
    its.let_go("2");
    co_await its.turns();
    while (its.reply()) {}
  });
  const ledger::Totals totals = counted->totals();
  CHECK(totals.active_calls == 0);
  CHECK(std::accumulate(totals.durations.begin(), totals.durations.end(), std::uint64_t{0}) == 2);
  CHECK(std::accumulate(totals.errors.begin(), totals.errors.end(), std::uint64_t{0}) == 2);
}

TEST_CASE("calls of a queue are counted by method") {
  Queue queue;
  auto [ledger, file] = ledger::Ledger::make({.methods = ledger::kMethodSlots});
  const auto counted = std::make_shared<const ledger::Ledger>(std::move(ledger));
  ledger::MethodSlot slot = 2;
  for (const char* name : {"echo", "slow", "big"}) { counted->method_name(slot++).store(name); }
  queue.context.count_in(counted, 0);
  const auto errors = [&](ledger::MethodSlot of, ErrorCode code) {
    return counted->totals_of(of).errors[ledger::error_counter(code)];
  };
  queue.run([&](Queue& its) -> Task<void> {
    its.ask(1, "none");
    its.ask(2, "slow", "2");
    its.ask(3, "big");
    its.ask(4, "echo");
    its.ask(5, "slow", "5", 1);
    co_await its.turns();
    CHECK(counted->totals_of(2).requests == 1);
    CHECK(counted->totals_of(3).requests == 2);
    CHECK(errors(3, ErrorCode::timed_out) == 1);
    CHECK(errors(4, ErrorCode::handler_failed) == 1);
    CHECK(errors(ledger::kUnknownMethods, ErrorCode::method_not_found) == 1);
    CHECK(counted->totals_of(3).calls() == 0);
    its.let_go("2");
    co_await its.turns();
    while (its.reply()) {}
    CHECK(counted->totals_of(3).calls() == 1);
    CHECK(counted->totals().requests == 5);
  });
}

TEST_CASE("a reply that the master has no room for is an error that says how much it takes") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "big");
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "-32001"));
    const std::size_t most = its.master->longest() - kQueueRecordSize;
    CHECK(its.message ==
          "the reply exceeds the " + std::to_string(most) + " bytes that the master takes");
  });
}

TEST_CASE("replies that there is no room for wait, in order, until the master has read others") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    const std::string params = '"' + std::string(kLongest / 2, 'x') + '"';
    std::uint64_t asked = 0;
    while (!its.master->other_is_starved()) {
      its.ask(++asked, "echo", params);
      co_await its.turns();
    }
    its.ask(++asked, "echo", params);
    co_await its.turns();
    CHECK(!its.consumer->idle());
    for (std::uint64_t ticket = 1; ticket <= asked; ++ticket) {
      CHECK(its.reply() == Answer(ticket, params));
      co_await its.turns();
    }
    CHECK(!its.reply());
    CHECK(!its.master->other_is_starved());
    CHECK(its.consumer->idle());
  });
}

TEST_CASE("a master that sleeps is woken for a reply, once, and one that is awake is not") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "echo");
    co_await its.turns();
    CHECK(its.woken == 0);
    its.master->arm();
    its.ask(2, "echo");
    co_await its.turns();
    its.ask(3, "echo");
    co_await its.turns();
    CHECK(its.woken == 1);
    its.master->disarm();
    its.master->arm();
    its.ask(4, "echo");
    co_await its.turns();
    CHECK(its.woken == 2);
  });
}

TEST_CASE("a master that waits for room is woken when its request is taken") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    its.master->set_starved();
    its.master->arm();
    co_await its.turns();
    CHECK(its.begun == 1);
    CHECK(its.woken == 1);
    its.let_go("1");
  });
}

TEST_CASE("a call that another thread runs is answered when that has done so") {
  Queue queue;
  queue.runs_elsewhere = true;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    its.ask(2, "echo", "2");
    co_await its.turns();
    REQUIRE(its.moved.size() == 1);
    CHECK(its.moved.front().method == "slow");
    CHECK(its.begun == 0);
    CHECK(its.consumer->running() == 1);
    CHECK(its.reply() == Answer(2, "2"));
    its.finish.front()(Result::success("9"));
    co_await its.turns();
    CHECK(its.reply() == Answer(1, "9"));
    CHECK(its.consumer->running() == 0);
    its.finish.clear();
  });
}

TEST_CASE("while the process holds too much a queue has one request at a time") {
  SessionLimits limits;
  limits.memory = std::make_shared<MemoryBudget>(1);
  Queue queue(limits);
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    its.ask(2, "slow", "2");
    co_await its.turns();
    co_await its.turns();
    its.ask(3, "slow", "3");
    co_await its.turns();
    // Both requests that were there in one turn have been taken; the third one waits.
    CHECK(its.begun == 2);
    CHECK(its.context.limits().memory->held() > 1);
    its.let_go("12");
    co_await its.turns();
    CHECK(its.begun == 3);
    its.let_go("3");
    co_await its.turns();
    CHECK(its.context.limits().memory->held() == 0);
  });
}

TEST_CASE("a reload does not end the methods of a call that runs") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    co_await its.turns();
    its.context.replace_methods(std::make_shared<MethodTable>());
    its.ask(2, "echo");
    its.let_go("1");
    co_await its.turns();
    std::vector<Answer> answers;
    while (auto answer = its.reply()) { answers.push_back(*answer); }
    CHECK(answers == std::vector<Answer>{{2, "-32601"}, {1, "1"}});
  });
}

TEST_CASE("a queue that drains says when nothing is left to do, and not before") {
  Queue queue;
  queue.run([](Queue& its) -> Task<void> {
    its.ask(1, "slow", "1");
    co_await its.turns();
    its.context.drain(WhenDrained::close);
    co_await its.turns();
    CHECK(its.became_idle == 0);
    its.let_go("1");
    co_await its.turns();
    CHECK(its.became_idle > 0);
    CHECK(its.reply() == Answer(1, "1"));
  });
}

TEST_CASE("what a master may not write ends the worker") {
  Queue queue;
  std::string expected;
  SUBCASE("no request") {
    const std::string_view junk = "junk";
    REQUIRE(queue.master->write({&junk, 1}));
    queue.master->publish();
    expected = "cannot read the queue: the master wrote no valid request";
  }
  SUBCASE("more than the memory has room for") {
    queue.requests->written.store(std::uint64_t{1} << 40U);
    expected = "cannot read the queue: the master broke its memory";
  }
  const auto error = test::thrown_by<ProtocolError>(
      [&] { queue.run([](Queue& its) -> Task<void> { co_await its.turns(); }); });
  CHECK(std::string(error.what()) == expected);
}

TEST_CASE("a descriptor that is no memory of a queue is refused, and nothing stays") {
  const test::DescriptorCheck check;
  Reactor reactor;
  ServerContext context(reactor, std::make_shared<MethodTable>(), {});
  Pipe pipe = make_pipe();
  CHECK_THROWS(std::make_shared<QueueConsumer>(
      context, std::move(pipe.read_end), std::move(pipe.write_end), 1, QueueConsumer::Owner()));
}

}  // namespace
}  // namespace handoff
