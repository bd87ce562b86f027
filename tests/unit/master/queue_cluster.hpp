// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "async/reactor.hpp"
#include "master/request_queue.hpp"
#include "unit/master/scripted_queue_worker.hpp"
#include "unit/support.hpp"

namespace handoff {

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

inline const std::string kDied = fmt::format("{}", static_cast<int>(ErrorCode::worker_died));
inline const std::string kBusy = fmt::format("{}", static_cast<int>(ErrorCode::busy));

/// A queue, and workers of it in the hands of the test.
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

}  // namespace handoff
