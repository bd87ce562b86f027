// SPDX-License-Identifier: MIT
#include "master/request_queue.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "unit/master/queue_cluster.hpp"

namespace handoff {
namespace {

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

}  // namespace
}  // namespace handoff
