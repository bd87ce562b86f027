// SPDX-License-Identifier: MIT
#include "master/balancer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace handoff {
namespace {

/// How often recipients were asked something, given something or flushed.
struct Effort {
  std::size_t questions = 0;
  std::size_t given = 0;
  std::size_t flushes = 0;
};

/// Takes as many connections as it has room for, and notes in which order.
class Counted final : public Recipient {
 public:
  Counted(Effort& effort, int number, std::size_t credits)
      : effort_(effort), number_(number), credits_(credits) {}

  bool has_room() const override {
    ++effort_.questions;
    return open && ids.size() - finished < credits_;
  }
  std::size_t assigned() const override {
    ++effort_.questions;
    return ids.size() - finished;
  }
  std::uint64_t active_calls() const override {
    ++effort_.questions;
    return calls;
  }
  int number() const override { return number_; }
  void pass(HeldConnection held) override {
    ++effort_.given;
    ids.push_back(held.connection.id);
  }
  void flush() override {
    ++effort_.flushes;
    sent = ids.size();
  }
  std::deque<HeldConnection> take_unsent() override { return take_from(sent); }
  std::deque<HeldConnection> take_all(Reach reach) override {
    reached = reach;
    return take_from(started);
  }

  std::optional<Reach> reached;
  bool open = true;
  std::uint64_t calls = 0;
  std::size_t sent = 0;
  std::size_t started = 0;
  std::size_t finished = 0;
  std::vector<std::uint64_t> ids;

 private:
  std::deque<HeldConnection> take_from(std::size_t first) {
    std::deque<HeldConnection> taken;
    for (std::size_t i = first; i < ids.size(); ++i) {
      taken.emplace_back().connection.id = ids[i];
    }
    ids.resize(std::min(first, ids.size()));
    return taken;
  }

  Effort& effort_;
  int number_;
  std::size_t credits_;
};

struct Workers {
  Workers(Balance how, int count, std::size_t credits) : balancer(how) {
    for (int number = 1; number <= count; ++number) {
      balancer.add(workers.emplace_back(effort, number, credits));
    }
    effort = {};
  }

  void arrive(std::size_t count = 1) {
    for (std::size_t i = 0; i < count; ++i) {
      HeldConnection held;
      held.connection.id = ++last_id;
      balancer.pass(std::move(held));
    }
  }

  Effort effort;
  std::deque<Counted> workers;
  Balancer balancer;
  std::uint64_t last_id = 0;
};

constexpr Balance kAll[] = {Balance::round_robin, Balance::least, Balance::hash};

TEST_CASE("the work for connections that wait grows with their number, and not with its square") {
  for (const Balance how : kAll) {
    CAPTURE(static_cast<int>(how));
    for (const std::size_t count : {1'000U, 20'000U}) {
      Workers some(how, 6, 1);
      some.arrive(count);
      CHECK(some.balancer.waiting() == count - 6);
      while (some.balancer.waiting() > 0) {
        for (Counted& worker : some.workers) {
          worker.finished = worker.ids.size();
          some.balancer.room_changed(worker);
        }
      }
      CHECK(some.effort.given == count);
      CHECK(some.effort.questions < 10 * count);
      CHECK(some.effort.flushes <= count);
    }
  }
}

TEST_CASE("recipients that stay full cost nothing when one of them has room again") {
  Workers some(Balance::round_robin, 64, 1);
  some.arrive(1'000);
  some.balancer.flush();
  some.effort = {};
  Counted& worker = some.workers[40];
  for (int i = 0; i < 100; ++i) {
    ++worker.finished;
    some.balancer.room_changed(worker);
  }
  CHECK(worker.ids.size() == 101);
  CHECK(some.effort.questions < 600);
  CHECK(some.effort.flushes == 100);
}

TEST_CASE("a connection asks no more of 64 recipients than of one") {
  for (const Balance how : {Balance::round_robin, Balance::least}) {
    CAPTURE(static_cast<int>(how));
    std::vector<std::size_t> questions;
    for (const int count : {1, 64}) {
      Workers some(how, count, 1'000'000);
      for (int i = 0; i < 10'000; ++i) {
        some.arrive();
        some.balancer.flush();
        Counted& worker = some.workers[static_cast<std::size_t>(i % count)];
        worker.finished = worker.ids.size();
        some.balancer.room_changed(worker);
      }
      questions.push_back(some.effort.questions);
      CHECK(some.effort.flushes == 10'000);
    }
    CHECK(questions[1] <= questions[0] + 10'000);
  }
}

TEST_CASE("only recipients that were given something are flushed, each once") {
  Workers some(Balance::round_robin, 64, 100);
  some.arrive(3);
  some.balancer.flush();
  CHECK(some.effort.flushes == 3);
  some.arrive(640);
  some.balancer.flush();
  CHECK(some.effort.flushes == 3 + 64);
  some.balancer.flush();
  CHECK(some.effort.flushes == 3 + 64);
}

TEST_CASE(
    "a recipient that has lost its room by itself is left out until it says that it has some") {
  Workers some(Balance::round_robin, 2, 100);
  some.workers[0].open = false;
  some.arrive(3);
  CHECK(some.workers[0].ids.empty());
  CHECK(some.workers[1].ids == std::vector<std::uint64_t>{1, 2, 3});
  some.workers[0].open = true;
  some.balancer.room_changed(some.workers[0]);
  some.arrive(2);
  CHECK(some.workers[0].ids == std::vector<std::uint64_t>{4});
  CHECK(some.workers[1].ids == std::vector<std::uint64_t>{1, 2, 3, 5});
}

TEST_CASE("what waits goes before what arrives, and is not overtaken") {
  Workers some(Balance::least, 1, 2);
  some.arrive(4);
  some.workers[0].finished = 1;  // it has not said so yet
  some.arrive();
  CHECK(some.workers[0].ids.size() == 2);
  CHECK_FALSE(some.balancer.has_room());
  some.balancer.room_changed(some.workers[0]);
  CHECK(some.workers[0].ids == std::vector<std::uint64_t>{1, 2, 3});
  some.workers[0].finished = 3;
  some.balancer.room_changed(some.workers[0]);
  CHECK(some.workers[0].ids == std::vector<std::uint64_t>{1, 2, 3, 4, 5});
}

TEST_CASE("least follows what recipients have finished") {
  Workers some(Balance::least, 3, 100);
  some.arrive(9);
  some.workers[1].finished = 2;
  some.balancer.room_changed(some.workers[1]);
  some.arrive(2);
  CHECK(some.workers[1].ids.size() == 5);
  some.arrive(3);
  for (const Counted& worker : some.workers) { CHECK(worker.ids.size() - worker.finished == 4); }
}

using Ids = std::vector<std::uint64_t>;

TEST_CASE("among recipients that hold as few, least chooses the one with the fewest calls") {
  Workers some(Balance::least, 4, 100);
  some.arrive(4);
  some.workers[0].calls = 2;
  some.workers[1].calls = 3;
  some.workers[2].calls = 1;
  some.workers[3].calls = 1;
  some.arrive();
  CHECK(some.workers[2].ids == Ids{3, 5});
  some.workers[0].calls = 0;
  some.arrive();
  CHECK(some.workers[0].ids == Ids{1, 6});
}

TEST_CASE("a recipient that holds fewer is chosen by least however many calls it has") {
  Workers some(Balance::least, 2, 100);
  some.arrive();
  some.workers[1].calls = 9;
  some.arrive();
  CHECK(some.workers[1].ids == Ids{2});
}

TEST_CASE("calls under way are asked for only by least") {
  for (const Balance how : kAll) {
    CAPTURE(static_cast<int>(how));
    std::vector<std::size_t> questions;
    for (const std::uint64_t calls : {0U, 1U}) {
      Workers some(how, 8, 100);
      for (Counted& worker : some.workers) { worker.calls = calls; }
      some.arrive(1);
      questions.push_back(some.effort.questions);
    }
    CHECK((questions[1] > questions[0]) == (how == Balance::least));
  }
}

TEST_CASE(
    "a recipient that is removed gets nothing more, and what it was not sent goes to others") {
  Workers some(Balance::round_robin, 2, 100);
  some.arrive(2);
  some.balancer.flush();
  some.arrive(2);
  some.balancer.remove(some.workers[0]);
  CHECK(some.workers[0].ids == Ids{1});
  CHECK(some.workers[1].ids == Ids{2, 4, 3});
  CHECK(some.workers[1].sent == 3);
  some.balancer.remove(some.workers[0]);
  some.balancer.room_changed(some.workers[0]);
  some.arrive(3);
  CHECK(some.workers[0].ids == Ids{1});
  some.balancer.remove(some.workers[1]);
  CHECK(some.balancer.is_empty());
  CHECK_FALSE(some.balancer.has_room());
  CHECK(some.balancer.waiting() == 3);
}

TEST_CASE("what a recipient that is gone has not started goes to others, in its order") {
  for (const bool removed : {false, true}) {
    CAPTURE(removed);
    Workers some(Balance::round_robin, 1, 100);
    some.arrive(3);
    some.balancer.flush();
    some.workers[0].started = 1;
    if (removed) { some.balancer.remove(some.workers[0]); }
    some.balancer.take_back(some.workers[0]);
    CHECK(some.workers[0].ids == Ids{1});
    CHECK(some.balancer.is_empty());
    CHECK(some.balancer.waiting() == 2);
    Counted& next = some.workers.emplace_back(some.effort, 2, 100);
    some.balancer.add(next);
    CHECK(next.ids == Ids{2, 3});
    CHECK(next.sent == 2);
  }
}

TEST_CASE("connections that come back together are sent at once") {
  Workers some(Balance::round_robin, 1, 3);
  std::vector<HeldConnection> returned(4);
  some.balancer.pass_on(std::move(returned));
  CHECK(some.workers[0].sent == 3);
  CHECK(some.balancer.waiting() == 1);
  CHECK(some.effort.flushes == 1);
}

TEST_CASE("all that wait can be given in turn, room or not") {
  Workers some(Balance::round_robin, 2, 1);
  some.arrive(6);
  CHECK(some.balancer.waiting() == 4);
  some.balancer.pass_all();
  CHECK(some.balancer.waiting() == 0);
  CHECK(some.workers[0].ids.size() == 3);
  CHECK(some.workers[1].ids.size() == 3);
  CHECK(some.effort.flushes == 2);
}

/// The first worker dies with two connections that it was sent.
void die(Workers& some, const Departure& how) {
  some.arrive(4);
  some.balancer.take_back(some.workers[0], how);
}

TEST_CASE("by hashing the connections of a dead worker wait for the one that follows it") {
  Workers some(Balance::hash, 2, 100);
  some.arrive(4);  // clients without an address go to each in turn
  some.balancer.take_back(some.workers[0], {Reach::dead, Heir::same_number});
  const std::size_t inherited = some.balancer.waiting();
  CHECK(inherited > 0);
  CHECK(some.workers[1].ids.size() == 4 - inherited);
  Counted follower(some.effort, 1, 100);
  some.balancer.add(follower);
  CHECK(some.balancer.waiting() == 0);
  CHECK(follower.ids.size() + some.workers[1].ids.size() == 4);
  some.balancer.remove(follower);
}

TEST_CASE("the connections of a dead worker do not wait when one of its number is there") {
  Workers some(Balance::hash, 2, 100);
  Counted follower(some.effort, 1, 100);
  some.arrive(4);
  some.balancer.add(follower);
  some.balancer.take_back(some.workers[0], {Reach::dead, Heir::same_number});
  CHECK(some.balancer.waiting() == 0);
  some.balancer.remove(follower);
}

TEST_CASE("the connections of a dead worker wait for nobody who will not come") {
  for (const Balance how : kAll) {
    CAPTURE(static_cast<int>(how));
    const Heir heir = how == Balance::hash ? Heir::any : Heir::same_number;
    Workers some(how, 2, 100);
    die(some, {Reach::dead, heir});
    CHECK(some.balancer.waiting() == 0);
    CHECK(some.workers[1].ids.size() == 4);
  }
}

TEST_CASE("connections that wait for a worker go to any once its slot is retired") {
  Workers some(Balance::hash, 2, 100);
  die(some, {Reach::dead, Heir::same_number});
  CHECK(some.balancer.waiting() > 0);
  some.balancer.pass_what_waits_for(2);
  CHECK(some.balancer.waiting() > 0);
  some.balancer.pass_what_waits_for(1);
  CHECK(some.balancer.waiting() == 0);
  CHECK(some.workers[1].ids.size() == 4);
}

TEST_CASE("nothing waits for a worker when all are retired") {
  for (const Retirement how : {Retirement::handing_over, Retirement::closing}) {
    Workers some(Balance::hash, 3, 100);
    some.arrive(6);
    some.balancer.take_back(some.workers[0], {Reach::dead, Heir::same_number});
    some.balancer.retire(how);
    CHECK(some.balancer.waiting() == 0);
    some.balancer.take_back(some.workers[1], {Reach::dead, Heir::same_number});
    CHECK(some.balancer.waiting() == 0);
    const Reach reach = how == Retirement::closing ? Reach::untouched : Reach::dead;
    CHECK(some.workers[1].reached == reach);
  }
}

TEST_CASE("when all close, untouched connections of a dead worker go to another, room or not") {
  Workers some(Balance::round_robin, 2, 1);
  some.arrive(2);
  some.balancer.retire(Retirement::closing);
  some.balancer.take_back(some.workers[0], {});
  CHECK(some.balancer.waiting() == 0);
  CHECK(some.workers[1].ids.size() == 2);
}

TEST_CASE("a worker that lives on is asked for what is on its way alone, also when all close") {
  Workers some(Balance::round_robin, 2, 100);
  some.balancer.retire(Retirement::closing);
  some.balancer.take_back(some.workers[0], {Reach::on_its_way});
  CHECK(some.workers[0].reached == Reach::on_its_way);
}

}  // namespace
}  // namespace handoff
