// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "master/request_queue.hpp"
#include "unit/master/queue_cluster.hpp"

namespace handoff {
namespace {

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
