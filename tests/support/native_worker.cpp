// SPDX-License-Identifier: MIT
// A worker whose methods are written in C++, well and badly, for the system tests:
//
//     later      waits so many seconds, and gives its params back
//     never      waits for what never happens
//     until      waits in a loop for what never happens, each time up to the call's deadline
//     held       waits until `release` is called, and then counts as finished
//     counts     how many calls wait now, were begun, and have finished, in all threads
//     blocks     keeps its thread until the process is killed
//     crashes    ends the process by SIGSEGV
//     raw        the text of its params is its result as it is, valid or not
//     raw_data   the same as the data of an error, and raw_now the same at once
//     throws     throws what is no exception, and throws_now at once what is one
//     copies     how many times methods were added, whether two threads ever did so at a time, and
//                how many calls this thread's copy and all threads together have had
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <handoff/async/condition.hpp>
#include <handoff/cli/worker_main.hpp>
#include <handoff/wire/json_text.hpp>

namespace {

using handoff::Call;
using handoff::Condition;
using handoff::Reactor;
using handoff::Result;
using handoff::Task;

/// What all threads share.
struct Shared {
  std::atomic<int> waiting = 0;
  std::atomic<int> begun = 0;
  std::atomic<int> finished = 0;
  std::atomic<int> tables = 0;
  std::atomic<int> adding = 0;
  std::atomic<bool> overlapped = false;
  std::atomic<int> calls = 0;
};

/// Counts the frame that it stands in.
class Waiting {
 public:
  explicit Waiting(Shared& shared) : shared_(shared) {
    ++shared_.waiting;
    ++shared_.begun;
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { --shared_.waiting; }

 private:
  Shared& shared_;
};

/// What one thread has.
struct Own {
  explicit Own(Reactor& reactor) : changed(reactor) {}

  Condition changed;
  bool released = false;
  int calls = 0;
};

Task<Result> later(Reactor& reactor, Shared& shared, Call call) {
  const Waiting waiting(shared);
  const std::chrono::duration<double> pause(std::atof(call.params.c_str()));
  co_await reactor.sleep_until(reactor.now() +
                               std::chrono::duration_cast<handoff::Duration>(pause));
  co_return Result::success(call.params);
}

Task<Result> never(Own& own, Shared& shared, Call) {
  const Waiting waiting(shared);
  co_await own.changed.wait_until([] { return false; });
  co_return Result::success("null");
}

Task<Result> until(Own& own, Shared& shared, Call call) {
  const Waiting waiting(shared);
  for (;;) { co_await own.changed.wait(call.deadline); }
}

Task<Result> held(Own& own, Shared& shared, Call) {
  const Waiting waiting(shared);
  co_await own.changed.wait_until([&own] { return own.released; });
  ++shared.finished;
  co_return Result::success("null");
}

Task<Result> release(Own& own) {
  own.released = true;
  own.changed.notify_all();
  co_return Result::success("null");
}

Task<Result> blocks() {
  for (;;) { std::this_thread::sleep_for(std::chrono::hours(1)); }
  co_return Result::success("null");
}

Task<Result> crashes() {
  std::raise(SIGABRT);  // a sanitizer would make another end of SIGSEGV
  co_return Result::success("null");
}

std::string text_of(std::string_view json) {
  return handoff::json_string(json).value_or(std::string(json));
}

Task<Result> raw(Call call) {
  co_return Result::success(text_of(call.params));
}

Task<Result> raw_data(Call call) {
  co_return Result::error(handoff::ErrorCode::handler_failed, "as asked", text_of(call.params));
}

Task<Result> throws(Call) {
  throw 7;
  co_return Result::success("null");
}

Task<Result> copies(Own& own, Shared& shared) {
  co_return Result::success("{\"tables\":" + std::to_string(shared.tables) +
                            ",\"overlapped\":" + (shared.overlapped ? "true" : "false") +
                            ",\"own\":" + std::to_string(++own.calls) +
                            ",\"shared\":" + std::to_string(++shared.calls) + "}");
}

void add_methods(Shared& shared, handoff::MethodTable& table, Reactor& reactor) {
  if (shared.adding.fetch_add(1) != 0) { shared.overlapped = true; }
  // Long enough to meet the other threads if they were let in.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto own = std::make_shared<Own>(reactor);
  table.add("later", [&](Call call) { return later(reactor, shared, std::move(call)); });
  table.add("never", [own, &shared](Call call) { return never(*own, shared, std::move(call)); });
  table.add("until", [own, &shared](Call call) { return until(*own, shared, std::move(call)); });
  table.add("held", [own, &shared](Call call) { return held(*own, shared, std::move(call)); });
  table.add("release", [own](const Call&) { return release(*own); });
  table.add("blocks", [](const Call&) { return blocks(); });
  table.add("crashes", [](const Call&) { return crashes(); });
  table.add("raw", raw);
  table.add("raw_data", raw_data);
  table.add("throws", throws);
  table.add_instant("raw_now", [text = std::string()](const handoff::Request& request) mutable {
    text = text_of(request.params);
    return std::string_view(text);
  });
  table.add_instant("throws_now", [](const handoff::Request&) -> std::string_view {
    throw std::runtime_error("as asked");
  });
  table.add_instant("counts", [&, text = std::string()](const handoff::Request&) mutable {
    text = "{\"waiting\":" + std::to_string(shared.waiting) +
           ",\"begun\":" + std::to_string(shared.begun) +
           ",\"finished\":" + std::to_string(shared.finished) + "}";
    return std::string_view(text);
  });
  table.add("copies", [own, &shared](const Call&) { return copies(*own, shared); });
  ++shared.tables;
  --shared.adding;
}

}  // namespace

int main(int argc, char** argv) {
  Shared shared;
  return handoff::worker_main("native_worker", argc, argv,
                              [&shared](handoff::MethodTable& table, Reactor& reactor) {
                                add_methods(shared, table, reactor);
                              });
}
