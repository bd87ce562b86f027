// SPDX-License-Identifier: MIT
// A worker with a method of its own. Build it against the installed library, then run it:
//
//     g++ -std=c++20 -o native-worker native_worker.cpp $(pkg-config --cflags --libs handoff)
//     rpc-master -- ./native-worker
//     rpc-call :8080 later 0.5
#include <charconv>
#include <chrono>
#include <system_error>

#include <handoff/cli/worker_main.hpp>

/// Gives its params back after so many seconds. Other calls go on meanwhile. At the deadline of the
/// call (`--timeout`), or when its client has left, it ends where it waits.
static handoff::Task<handoff::Result> later(handoff::Reactor& reactor, handoff::Call call) {
  double seconds = 0;
  const char* const end = call.params.data() + call.params.size();
  const auto read = std::from_chars(call.params.data(), end, seconds);
  if (read.ec != std::errc() || read.ptr != end) {
    co_return handoff::Result::error(handoff::ErrorCode::invalid_params, "params: write a number");
  }
  const std::chrono::duration<double> pause(seconds);
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
