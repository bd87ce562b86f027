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
#include "unit/support.hpp"
#include "unit/worker/consumed_queue.hpp"

namespace handoff {
namespace {

using test::kLongest;
using Queue = test::ConsumedQueue;
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
