// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

#include "master/request_queue.hpp"
#include "unit/master/queue_cluster.hpp"

namespace handoff {
namespace {

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

}  // namespace
}  // namespace handoff
