// SPDX-License-Identifier: MIT
// A worker, with all the options of rpc-worker, whose methods take a known time. Each takes a
// number of seconds as its params, and gives it back:
//
//     wait      waits so long, as for a backend; other calls go on meanwhile
//     compute   burns so much CPU time, and nothing else goes on
//     vary      waits that long, or 100 times as long one time in 20, as chance has it; which is
//               another one for each worker of a master, and the same in each run
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <utility>

#include <handoff/cli/worker_main.hpp>

#include "os/parse_number.hpp"

namespace {

using handoff::Call;
using handoff::Result;
using handoff::Task;

handoff::Duration seconds_of(const Call& call) {
  const std::chrono::duration<double> seconds(
      handoff::parse_number<double>(call.params).value_or(0));
  return std::chrono::duration_cast<handoff::Duration>(seconds);
}

/// What this thread has used so far.
handoff::Duration cpu_time() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

Task<Result> wait(handoff::Reactor& reactor, Call call) {
  // Not Reactor::now(): a turn that took long must not shorten the wait.
  co_await reactor.sleep_until(handoff::Clock::now() + seconds_of(call));
  co_return Result::success(call.params);
}

/// Chance begins anew with the number of the worker.
unsigned seed() {
  const char* number = std::getenv("HANDOFF_WORKER");
  return number == nullptr ? 0 : handoff::parse_number<unsigned>(number).value_or(0);
}

Task<Result> vary(handoff::Reactor& reactor, bool long_one, Call call) {
  co_await reactor.sleep_until(handoff::Clock::now() + (long_one ? 100 : 1) * seconds_of(call));
  co_return Result::success(call.params);
}

Task<Result> compute(Call call) {
  const handoff::Duration end = cpu_time() + seconds_of(call);
  while (cpu_time() < end) {}
  co_return Result::success(call.params);
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::worker_main(
      "bench_worker", argc, argv, [](handoff::MethodTable& table, handoff::Reactor& reactor) {
        table.add("wait", [&reactor](Call call) { return wait(reactor, std::move(call)); });
        table.add("compute", compute);
        const auto chance = std::make_shared<std::mt19937>(seed());
        table.add("vary", [&reactor, chance](Call call) {
          return vary(reactor, (*chance)() % 20 == 0, std::move(call));
        });
      });
}
