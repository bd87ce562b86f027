// SPDX-License-Identifier: MIT
#include "master/request_queue.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "pass/queue_record.hpp"
#include "unit/master/scripted_queue_worker.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A call that keeps what it was answered.
class KeptCall final : public PendingCall {
 public:
  explicit KeptCall(std::string method, std::string params = "1")
      : method_(std::move(method)), params_(std::move(params)) {
    set_view({method_, params_, "", "", kNever});
  }
  /// The result, the code of the error, or "waits".
  std::string text() const {
    if (!result) { return "waits"; }
    if (!result->is_error()) { return result->json; }
    return fmt::format("{}", static_cast<int>(result->code));
  }
  std::optional<Result> result;

 private:
  void finish(const ResultView& given) override {
    CHECK_FALSE(result);  // once
    result = Result{std::string(given.json), given.code, std::string(given.message)};
  }

  std::string method_;
  std::string params_;
};

const std::string kDied = fmt::format("{}", static_cast<int>(ErrorCode::worker_died));
const std::string kBusy = fmt::format("{}", static_cast<int>(ErrorCode::busy));

class Cluster {
 public:
  explicit Cluster(std::size_t limit = 1000, std::set<std::string, std::less<>> idempotent = {})
      : queue(reactor_, {limit, 1000, std::move(idempotent)}) {}

  ScriptedQueueWorker& join(std::uint32_t most = 1) {
    ScriptedQueueWorker& worker = workers.emplace_back(reactor_, life_events(), custody_,
                                                       static_cast<int>(workers.size()) + 1, most);
    turn();
    queue.add(*worker.link);
    worker.open_rings();
    return worker;
  }

  KeptCall& submit(std::string method, std::string params = "1") {
    KeptCall& call = calls.emplace_back(std::move(method), std::move(params));
    queue.begin(call);
    return call;
  }
  /// A worker that has told, with a first request, that the method "quick" takes little time.
  ScriptedQueueWorker& join_quick(std::uint32_t most = 1) {
    ScriptedQueueWorker& worker = join(most);
    worker.rings->heed_revocations();
    submit("quick");
    turn();
    CHECK(worker.take() == "quick");
    worker.reply(worker.tickets.front(), "1", 20'000);
    turn();
    worker.tickets.clear();
    return worker;
  }
  /// Gives the queue its turns until something is taken back from this worker.
  void wait_until_revoked(const ScriptedQueueWorker& worker) {
    reactor_.run([](Reactor& reactor, const ScriptedQueueWorker& which) -> Task<void> {
      const auto end = reactor.now() + std::chrono::milliseconds(test::kPatienceMs);
      while (!which.has_revocation() && reactor.now() < end) {
        co_await reactor.sleep_until(reactor.now() + QueueWorker::kMostPrefetchedWork / 2);
      }
    }(reactor_, worker));
    REQUIRE(worker.has_revocation());
  }
  void turn() {
    reactor_.run([](Reactor& reactor) -> Task<void> {
      for (int i = 0; i < 3; ++i) { co_await reactor.yield(); }
    }(reactor_));
  }
  /// As the supervisor does it, for one that was killed.
  void kill(ScriptedQueueWorker& worker) {
    queue.remove(*worker.link);
    turn();
  }

  std::list<KeptCall> calls;
  std::list<ScriptedQueueWorker> workers;
  std::string problem;  ///< the latest of a worker

 private:
  LifeEvents life_events() {
    LifeEvents events;
    events.closed = [this](WorkerChannel& link, const Status& how) {
      problem = how.is_ok() ? "" : how.why();
      queue.retire(link);
    };
    return events;
  }

  Reactor reactor_;
  std::shared_ptr<Custody> custody_ = std::make_shared<Custody>(reactor_, 4);

 public:
  Queue queue;
};

TEST_CASE("a request goes to a worker, and its reply to the call") {
  const test::DescriptorCheck check;
  Cluster cluster;
  ScriptedQueueWorker& worker = cluster.join();
  KeptCall& call = cluster.submit("one");
  CHECK(cluster.queue.counts().waiting == 1);
  cluster.turn();
  CHECK(cluster.queue.counts().running == 1);
  CHECK(worker.take() == "one");
  CHECK(call.text() == "waits");
  worker.reply(worker.tickets[0], "[1]");
  cluster.turn();
  CHECK(call.text() == "[1]");
  CHECK(cluster.queue.counts().running == 0);
}

TEST_CASE("requests wait in their order for a worker, and go to whoever is free first") {
  Cluster cluster;
  for (const char* method : {"a", "b", "c", "d"}) { cluster.submit(method); }
  cluster.turn();
  CHECK(cluster.queue.counts().waiting == 4);
  ScriptedQueueWorker& one = cluster.join();
  ScriptedQueueWorker& two = cluster.join();
  cluster.turn();
  CHECK(one.take() == "a");
  CHECK(two.take() == "b");
  two.reply(two.tickets[0], "1");
  cluster.turn();
  CHECK(two.take() == "c");
  CHECK(one.take() == "nothing");
  two.reply(two.tickets[1], "1");
  cluster.turn();
  CHECK(two.take() == "d");
}

TEST_CASE("the worker that has the fewest requests gets the next, and never more than it said") {
  Cluster cluster;
  ScriptedQueueWorker& one = cluster.join(3);
  ScriptedQueueWorker& two = cluster.join(2);
  for (int i = 0; i < 9; ++i) { cluster.submit(fmt::format("{}", i)); }
  cluster.turn();
  CHECK(cluster.queue.counts().running == 5);
  CHECK(cluster.queue.counts().waiting == 4);
  std::string given;
  for (int i = 0; i < 4; ++i) { given += one.take() + " " + two.take() + " "; }
  CHECK(given == "0 1 2 3 4 nothing nothing nothing ");
}

TEST_CASE("a worker that takes no call at all gets none") {
  Cluster cluster;
  ScriptedQueueWorker& none = cluster.join(0);
  cluster.submit("one");
  cluster.turn();
  CHECK(none.take() == "nothing");
  CHECK(cluster.queue.counts().waiting == 1);
}

TEST_CASE("beyond the limit a call is busy, until another was answered or cancelled") {
  Cluster cluster(2);
  ScriptedQueueWorker& worker = cluster.join();
  cluster.submit("one");
  KeptCall& two = cluster.submit("two");
  CHECK(cluster.submit("three").text() == kBusy);
  cluster.turn();
  CHECK(worker.take() == "one");
  worker.reply(worker.tickets[0], "1");
  cluster.turn();
  CHECK(cluster.submit("four").text() == "waits");
  CHECK(cluster.submit("five").text() == kBusy);
  cluster.queue.cancel(two);
  CHECK(cluster.submit("six").text() == "waits");
}

TEST_CASE("the reply to a call that was cancelled is late, and answers no other") {
  Cluster cluster(1);
  ScriptedQueueWorker& worker = cluster.join(2);
  KeptCall& first = cluster.submit("first");
  cluster.turn();
  CHECK(worker.take() == "first");
  cluster.queue.cancel(first);
  KeptCall& second = cluster.submit("second");  // in the same place
  cluster.turn();
  CHECK(worker.take() == "second");
  CHECK(worker.tickets[0] != worker.tickets[1]);
  worker.reply(worker.tickets[0], "\"late\"");
  cluster.turn();
  CHECK(first.text() == "waits");
  CHECK(second.text() == "waits");
  CHECK(cluster.queue.counts().late == 1);
  worker.reply(worker.tickets[1], "2");
  cluster.turn();
  CHECK(second.text() == "2");
  CHECK(cluster.problem.empty());
}

TEST_CASE("a call that waits can be cancelled, and is given to nobody") {
  Cluster cluster;
  KeptCall& first = cluster.submit("first");
  cluster.submit("second");
  cluster.queue.cancel(first);
  cluster.queue.cancel(first);  // it has left the queue
  CHECK(cluster.queue.counts().waiting == 1);
  ScriptedQueueWorker& worker = cluster.join(5);
  cluster.turn();
  CHECK(worker.take() == "second");
  CHECK(worker.take() == "nothing");
}

TEST_CASE("what a worker that died had begun is lost, and what it had not goes first to others") {
  Cluster cluster;
  ScriptedQueueWorker& victim = cluster.join(3);
  KeptCall& begun = cluster.submit("begun");
  KeptCall& copied = cluster.submit("copied");
  KeptCall& unread = cluster.submit("unread");
  KeptCall& behind = cluster.submit("behind");
  cluster.turn();
  CHECK(victim.take() == "begun");
  CHECK(victim.take(false) == "copied");
  ScriptedQueueWorker& other = cluster.join(1);
  cluster.kill(victim);
  CHECK(begun.text() == kDied);
  CHECK(cluster.queue.counts().died == 1);
  CHECK(cluster.queue.counts().redispatched == 2);
  for (const char* method : {"copied", "unread", "behind"}) {
    CHECK(other.take() == method);
    other.reply(other.tickets.back(), fmt::format("\"{}\"", method));
    cluster.turn();
  }
  CHECK(copied.text() == "\"copied\"");
  CHECK(unread.text() == "\"unread\"");
  CHECK(behind.text() == "\"behind\"");
}

TEST_CASE("what may be executed twice goes to another though it was begun") {
  Cluster cluster(100, {"get"});
  ScriptedQueueWorker& victim = cluster.join(3);
  KeptCall& set = cluster.submit("set");
  KeptCall& get = cluster.submit("get");
  cluster.turn();
  CHECK(victim.take() == "set");
  CHECK(victim.take() == "get");
  cluster.kill(victim);
  CHECK(set.text() == kDied);
  CHECK(get.text() == "waits");
  ScriptedQueueWorker& other = cluster.join(3);
  cluster.turn();
  CHECK(other.take() == "get");
  CHECK(other.tickets[0] != victim.tickets[1]);
  other.reply(other.tickets[0], "1");
  cluster.turn();
  CHECK(get.text() == "1");
}

TEST_CASE(
    "what was answered before the worker died is answered, and what was not published is lost") {
  Cluster cluster;
  ScriptedQueueWorker& victim = cluster.join(3);
  KeptCall& published = cluster.submit("published");
  KeptCall& written = cluster.submit("written");
  cluster.turn();
  CHECK(victim.take() == "published");
  CHECK(victim.take() == "written");
  victim.reply(victim.tickets[0], "1");
  REQUIRE(write_reply(*victim.rings, {victim.tickets[1], 0, "2", ""}));
  cluster.kill(victim);
  CHECK(published.text() == "1");
  CHECK(written.text() == kDied);
}

TEST_CASE("a worker that is retired gets no more, and answers what it has") {
  Cluster cluster;
  ScriptedQueueWorker& leaving = cluster.join(5);
  KeptCall& first = cluster.submit("first");
  cluster.turn();
  cluster.queue.retire(*leaving.link);
  KeptCall& second = cluster.submit("second");
  cluster.turn();
  CHECK(leaving.take() == "first");
  CHECK(leaving.take() == "nothing");
  leaving.reply(leaving.tickets[0], "1");
  cluster.turn();
  CHECK(first.text() == "1");
  CHECK(second.text() == "waits");
}

TEST_CASE("after any number of deaths no place is lost") {
  Cluster cluster(7, {"get"});
  for (int round = 0; round < 200; ++round) {
    ScriptedQueueWorker& victim = cluster.join(4);
    for (int i = 0; i < 7; ++i) { cluster.submit(i % 2 == 0 ? "get" : "set"); }
    cluster.turn();
    for (int i = 0; i < round % 5; ++i) { victim.take(i % 2 == 0); }
    if (round % 3 == 0 && !victim.tickets.empty()) { victim.reply(victim.tickets[0], "1"); }
    cluster.kill(victim);
    for (KeptCall& call : cluster.calls) {
      if (!call.result) { cluster.queue.cancel(call); }
    }
    cluster.calls.clear();
    cluster.workers.clear();
    CHECK(cluster.queue.counts().waiting == 0);
    CHECK(cluster.queue.counts().running == 0);
  }
}

/// What a worker with one request is told to have done wrong.
std::string problem_after(void (*wrong)(ScriptedQueueWorker& worker)) {
  Cluster cluster;
  ScriptedQueueWorker& liar = cluster.join(2);
  KeptCall& its = cluster.submit("its");
  cluster.turn();
  ScriptedQueueWorker& honest = cluster.join(2);
  KeptCall& others = cluster.submit("others");
  cluster.turn();
  CHECK(liar.take() == "its");
  CHECK(honest.take() == "others");
  wrong(liar);
  cluster.turn();
  const std::string problem = cluster.problem;
  CHECK(others.text() == "waits");
  // Nothing that it says counts any more.
  if (its.text() == "waits") {
    const bool written = write_reply(*liar.rings, {liar.tickets[0], 0, "\"after\"", ""});
    if (written) { liar.rings->publish(); }
    cluster.turn();
    CHECK(its.text() == "waits");
  }
  honest.reply(honest.tickets[0], "1");
  cluster.turn();
  CHECK(others.text() == "1");
  cluster.kill(liar);
  CHECK(its.text() != "waits");
  CHECK(its.text() != "\"after\"");
  return problem;
}

TEST_CASE("a worker that lies is blamed, and another's call is not answered by it") {
  CHECK(problem_after([](ScriptedQueueWorker& worker) {
          worker.reply(worker.tickets[0] + 1, "\"a lie\"");
        }) == "it answered a request that it was not given");
  CHECK(problem_after([](ScriptedQueueWorker& worker) {
          worker.reply(worker.tickets[0], "1");
          worker.reply(worker.tickets[0], "1");
        }) == "it answered more requests than it was given");
  CHECK(problem_after([](ScriptedQueueWorker& worker) { worker.give_back(worker.tickets[0]); }) ==
        "it gave back a request that was not taken back");
  CHECK(problem_after([](ScriptedQueueWorker& worker) {
          worker.reply(std::uint64_t{12} << 32U, "1");
          worker.reply(99, "1");
        }) == "it answered more requests than it was given");
  for (const char* text : {"", "{", "1 2", "\"\xFF\"", "[1]]"}) {
    static const char* json;
    json = text;
    CHECK(problem_after([](ScriptedQueueWorker& worker) {
            worker.reply(worker.tickets[0], json);
          }) == "it sent a reply that is no JSON");
  }
  CHECK(problem_after([](ScriptedQueueWorker& worker) {
          REQUIRE(write_reply(*worker.rings, {worker.tickets[0], -5, "{", "why"}));
          worker.rings->publish();
        }) == "it sent a reply that is no JSON");
  CHECK(problem_after([](ScriptedQueueWorker& worker) {
          REQUIRE(worker.rings->write(std::array<std::string_view, 1>{"short"}));
          worker.rings->publish();
        }) == "it sent no valid reply");
  CHECK(problem_after([](ScriptedQueueWorker& worker) {
          reinterpret_cast<RingState*>(worker.replies.data())->written = 3;
        }) == "it broke the queue's memory");
}

TEST_CASE("a worker without room for a request holds up nobody") {
  Cluster cluster;
  ScriptedQueueWorker& hanging = cluster.join(1000);
  const std::string params(900, '1');
  // It reads none of them.
  std::size_t given = 0;
  for (; cluster.queue.counts().waiting == 0 && given < 100; ++given) {
    cluster.submit("fill", params);
    cluster.turn();
  }
  CHECK(hanging.link->max_calls() == 1000);
  ScriptedQueueWorker& other = cluster.join(1000);
  cluster.turn();
  for (std::size_t i = 0; i < 2 * given; ++i) {
    cluster.submit("more", params);
    cluster.turn();
    other.take();  // it has more of them than the other then, and reads on
  }
  CHECK(cluster.queue.counts().waiting == 0);
}

TEST_CASE("a call times out later than its worker's deadline, and has left the queue then") {
  CHECK(Queue::times_out(kNever) == kNever);
  CHECK(Queue::times_out(TimePoint::max() - Duration(1)) == kNever);
  const TimePoint deadline = Clock::now();
  CHECK(Queue::times_out(deadline) > deadline);
  Cluster cluster;
  KeptCall& waiting = cluster.submit("waiting");
  cluster.queue.time_out(waiting);
  CHECK(waiting.text() == fmt::format("{}", static_cast<int>(ErrorCode::timed_out)));
  CHECK(cluster.queue.counts().waiting == 0);
}

TEST_CASE(
    "while no worker is free one that is quick gets more than it runs, up to 200 us of work") {
  Cluster cluster;
  ScriptedQueueWorker& quick = cluster.join_quick();
  for (int i = 0; i < 20; ++i) { cluster.submit("quick"); }
  cluster.turn();
  // 20 us each: one that runs, and nine more.
  CHECK(cluster.queue.counts().running == 1);
  CHECK(cluster.queue.counts().waiting == 19);
  for (int i = 0; i < 10; ++i) { CHECK(quick.take() == "quick"); }
  CHECK(quick.take() == "nothing");
  for (int i = 0; i < 3; ++i) {
    quick.reply(quick.tickets[static_cast<std::size_t>(i)], "1", 20'000);
  }
  cluster.turn();
  for (int i = 0; i < 3; ++i) { CHECK(quick.take() == "quick"); }
  CHECK(quick.take() == "nothing");
}

TEST_CASE("a worker that runs several gets so much more for each of them") {
  Cluster cluster;
  ScriptedQueueWorker& quick = cluster.join_quick(3);
  for (int i = 0; i < 50; ++i) { cluster.submit("quick"); }
  cluster.turn();
  CHECK(cluster.queue.counts().running == 3);
  for (int i = 0; i < 30; ++i) { CHECK(quick.take() == "quick"); }
  CHECK(quick.take() == "nothing");
}

TEST_CASE("a free worker gets a request before another gets more than it runs") {
  Cluster cluster;
  ScriptedQueueWorker& quick = cluster.join_quick();
  ScriptedQueueWorker& other = cluster.join();
  for (int i = 0; i < 3; ++i) { cluster.submit("quick"); }
  cluster.turn();
  CHECK(other.take() == "quick");
  CHECK(other.take() == "nothing");
  CHECK(quick.take() == "quick");
  CHECK(quick.take() == "quick");
}

TEST_CASE("nothing is prefetched that is slow, unknown, or for a worker that does not heed") {
  Cluster cluster;
  ScriptedQueueWorker* worker = nullptr;
  std::string first = "quick";
  std::string second = "quick";
  SUBCASE("a method of 10 ms") {
    worker = &cluster.join_quick();
    cluster.submit("slow");
    cluster.turn();
    worker->take();
    worker->reply(worker->tickets.back(), "1", 10'000'000);
    second = "slow";
  }
  SUBCASE("what comes after a method of 10 ms") {
    worker = &cluster.join_quick();
    cluster.submit("slow");
    cluster.turn();
    worker->take();
    worker->reply(worker->tickets.back(), "1", 10'000'000);
    first = "slow";
  }
  SUBCASE("a method that has not told") {
    worker = &cluster.join_quick();
    second = "new";
  }
  SUBCASE("what comes after a method that has not told") {
    worker = &cluster.join_quick();
    first = "new";
  }
  SUBCASE("a worker of an earlier version") {
    worker = &cluster.join();
    cluster.submit("quick");
    cluster.turn();
    worker->take();
    worker->reply(worker->tickets.back(), "1", 20'000);
  }
  cluster.turn();
  cluster.submit(first);
  cluster.submit(second);
  cluster.turn();
  CHECK(worker->take() == first);
  CHECK(worker->take() == "nothing");
  CHECK(cluster.queue.counts().waiting == 1);
}

TEST_CASE(
    "what a stalled worker has not begun goes to one that is free, and is begun by no other") {
  Cluster cluster;
  ScriptedQueueWorker& slow = cluster.join_quick();
  for (int i = 0; i < 4; ++i) { cluster.submit("quick", std::to_string(i)); }
  cluster.turn();
  CHECK(slow.take() == "quick");
  CHECK(slow.take(false) == "quick");
  ScriptedQueueWorker& free = cluster.join();
  cluster.turn();
  CHECK(free.take() == "nothing");
  cluster.wait_until_revoked(slow);
  CHECK(free.take() == "quick");
  CHECK(cluster.queue.counts().waiting == 2);
  // The record that it has copied is the first of those that were taken back.
  CHECK_FALSE(slow.rings->release_to_begin());
  CHECK(slow.take() == "taken back");
  CHECK(slow.take() == "taken back");
  for (std::size_t i = 1; i < 4; ++i) { slow.give_back(slow.tickets[i]); }
  slow.reply(slow.tickets[0], "0");
  cluster.turn();
  CHECK(cluster.queue.counts().late == 0);
  CHECK(cluster.calls.back().text() == "waits");
  // It is free again, and no revocation counts any more.
  CHECK(slow.take() == "quick");
  CHECK(cluster.problem.empty());
}

TEST_CASE(
    "what a stalled worker has not begun goes to the next that is free, before what is later") {
  Cluster cluster;
  ScriptedQueueWorker& stalled = cluster.join_quick();
  ScriptedQueueWorker& other = cluster.join();
  for (int i = 0; i < 4; ++i) { cluster.submit("quick"); }
  cluster.turn();
  CHECK(stalled.take() == "quick");
  CHECK(other.take() == "quick");
  cluster.submit("later");
  cluster.wait_until_revoked(stalled);
  CHECK(stalled.take() == "taken back");
  for (const char* next : {"quick", "quick", "later"}) {
    other.reply(other.tickets.back(), "1");
    cluster.turn();
    CHECK(other.take() == next);
  }
}

TEST_CASE("a worker gets no more until it has answered the last request that was taken back") {
  Cluster cluster;
  ScriptedQueueWorker& slow = cluster.join_quick();
  for (int i = 0; i < 3; ++i) { cluster.submit("quick"); }
  cluster.turn();
  for (int i = 0; i < 3; ++i) { slow.take(false); }
  cluster.join().link->drain({});
  ScriptedQueueWorker& free = cluster.join(2);
  cluster.wait_until_revoked(slow);
  CHECK(free.take() == "quick");
  CHECK(free.take() == "quick");
  cluster.submit("more");
  slow.reply(slow.tickets[0], "1");
  slow.give_back(slow.tickets[1]);
  cluster.turn();
  CHECK(slow.take() == "nothing");
  slow.give_back(slow.tickets[2]);
  cluster.turn();
  CHECK(slow.take() == "more");
}

TEST_CASE("what a worker had said to begin and gives back waits in its old place") {
  Cluster cluster;
  ScriptedQueueWorker& slow = cluster.join_quick();
  KeptCall& first = cluster.submit("quick", "1");
  KeptCall& second = cluster.submit("quick", "2");
  cluster.submit("quick", "3");
  cluster.turn();
  slow.take();
  slow.take();  // begun, as far as the master can tell
  slow.take(false);
  KeptCall& last = cluster.submit("unknown", "4");
  cluster.queue.retire(*slow.link);
  CHECK(cluster.queue.counts().waiting == 2);
  slow.give_back(slow.tickets[1]);
  slow.give_back(slow.tickets[2]);
  slow.reply(slow.tickets[0], "1");
  cluster.turn();
  CHECK(first.text() == "1");
  ScriptedQueueWorker& other = cluster.join(1);
  cluster.turn();
  CHECK(other.take() == "quick");
  other.reply(other.tickets.back(), "2");
  cluster.turn();
  CHECK(second.text() == "2");
  CHECK(other.take() == "quick");
  other.reply(other.tickets.back(), "3");
  cluster.turn();
  CHECK(other.take() == "unknown");
  CHECK(last.text() == "waits");
  CHECK(cluster.problem.empty());
}

TEST_CASE("what a worker that is retired has prefetched goes to others") {
  Cluster cluster;
  ScriptedQueueWorker& leaving = cluster.join_quick();
  for (int i = 0; i < 3; ++i) { cluster.submit("quick"); }
  cluster.turn();
  CHECK(leaving.take() == "quick");
  cluster.queue.retire(*leaving.link);
  CHECK(cluster.queue.counts().waiting == 2);
  CHECK(leaving.take() == "taken back");
  ScriptedQueueWorker& other = cluster.join(5);
  cluster.turn();
  CHECK(other.take() == "quick");
  CHECK(other.take() == "quick");
}

TEST_CASE("a call that is cancelled before a worker has begun it is not begun") {
  Cluster cluster;
  ScriptedQueueWorker& worker = cluster.join_quick();
  cluster.submit("quick");
  KeptCall& cancelled = cluster.submit("quick");
  KeptCall& other = cluster.submit("quick");
  cluster.turn();
  CHECK(worker.take() == "quick");
  cluster.queue.cancel(cancelled);
  CHECK(worker.take() == "taken back");
  CHECK(worker.take() == "taken back");
  for (const std::size_t i : {1U, 2U}) { worker.give_back(worker.tickets[i]); }
  worker.reply(worker.tickets[0], "1");
  cluster.turn();
  CHECK(worker.take() == "quick");
  worker.reply(worker.tickets[3], "3");
  cluster.turn();
  CHECK(other.text() == "3");
  CHECK(cluster.queue.counts().waiting + cluster.queue.counts().running == 0);
}

TEST_CASE(
    "what a worker that died had prefetched goes to others, also if it was being taken back") {
  for (const bool revoked : {false, true}) {
    CAPTURE(revoked);
    Cluster cluster;
    ScriptedQueueWorker& victim = cluster.join_quick();
    for (int i = 0; i < 3; ++i) { cluster.submit("quick", std::to_string(i)); }
    cluster.turn();
    CHECK(victim.take() == "quick");
    ScriptedQueueWorker& other = cluster.join(5);
    if (revoked) { cluster.queue.retire(*victim.link); }
    cluster.kill(victim);
    CHECK(cluster.queue.counts().died == 1);
    CHECK(other.take() == "quick");
    CHECK(other.take() == "quick");
    CHECK(other.take() == "nothing");
    other.reply(other.tickets[0], "5");
    other.reply(other.tickets[1], "6");
    cluster.turn();
    CHECK(cluster.calls.back().text() == "6");
  }
}

}  // namespace
}  // namespace handoff
