// SPDX-License-Identifier: MIT
// A worker with a method of its own. Build it against the installed library, then run it:
//
//     g++ -std=c++20 -o native-worker native_worker.cpp $(pkg-config --cflags --libs handoff)
//     rpc-master -- ./native-worker
//     rpc-call :8080 later 0.5
#include <chrono>

#include "cli/worker_main.hpp"
#include "os/parse_number.hpp"

/// Gives its params back after so many seconds. Other calls go on meanwhile. At the deadline of the
/// call (`--timeout`), or when its client has left, it ends where it waits.
static handoff::Task<handoff::Result> later(handoff::Reactor& reactor, handoff::Call call) {
  const auto seconds = handoff::parse_number<double>(call.params);
  if (!seconds) {
    co_return handoff::Result::error(handoff::ErrorCode::invalid_params, "params: write a number");
  }
  const std::chrono::duration<double> pause(*seconds);
  co_await reactor.sleep_until(reactor.now() +
                               std::chrono::duration_cast<handoff::Duration>(pause));
  co_return handoff::Result::success(call.params);
}

// What adds the methods is called once for each thread of `--threads`, with its reactor.
int main(int argc, char** argv) {
  return handoff::worker_main(
      "native-worker", argc, argv, [](handoff::MethodTable& table, handoff::Reactor& reactor) {
        table.add("later", [&reactor](handoff::Call call) { return later(reactor, call); });
      });
}
