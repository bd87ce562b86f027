// SPDX-License-Identifier: MIT
#pragma once

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
#include "worker/queue_consumer.hpp"

namespace handoff::test {

inline constexpr std::size_t kLongest = 4000;

/// A worker's end of a queue, and the master's in the hands of the test. The methods are "echo",
/// which is instant, "slow", which waits until its name is in `go`, "who", which tells what it was
/// called with, and "big", which gives more than the master takes.
struct ConsumedQueue {
  explicit ConsumedQueue(SessionLimits limits = {}, std::size_t max_calls = 100,
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
    reactor.run(
        [](ConsumedQueue& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
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

}  // namespace handoff::test
