// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <string>
#include <vector>

#include <handoff/async/event.hpp>
#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/os/fd.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// What is done while this process is suspended, and the end of that.
struct Suspension {
  int write_to = -1;
  bool* arrived = nullptr;
  TimePoint until;
};
Suspension suspension;

/// To the loop a handler that takes its time is what SIGSTOP and SIGCONT are: the wait ends with
/// EINTR and no events, much later.
void stay_suspended(int) {
  if (suspension.write_to >= 0) {
    [[maybe_unused]] const ssize_t written = write(suspension.write_to, "x", 1);
  }
  if (suspension.arrived != nullptr) { *suspension.arrived = true; }
  while (Clock::now() < suspension.until) {}
}

/// Suspends this process soon, while it waits.
class SuspendedSoon {
 public:
  explicit SuspendedSoon(Suspension what) {
    suspension = what;
    struct sigaction action {};
    action.sa_handler = stay_suspended;
    sigaction(SIGALRM, &action, &before_);
    const itimerval soon{{0, 0}, {0, 10'000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
  }
  SuspendedSoon(const SuspendedSoon&) = delete;
  SuspendedSoon& operator=(const SuspendedSoon&) = delete;
  ~SuspendedSoon() { sigaction(SIGALRM, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

TEST_CASE("what arrives while the process is suspended is read before its deadline") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const Pipe pipe = make_pipe();
  const auto main = [&]() -> Task<bool> {
    const TimePoint due = Clock::now() + milliseconds(100);
    const SuspendedSoon soon({pipe.write_end.get(), nullptr, due + milliseconds(20)});
    FdWatcher watcher(reactor, pipe.read_end.get());
    WaitTimeout deadline(watcher, due);
    co_return co_await watcher.readable();
  };
  CHECK(reactor.run_for_result(main()));
}

TEST_CASE("a deadline passes when nothing has arrived while the process was suspended") {
  Reactor reactor;
  const Pipe pipe = make_pipe();
  const auto main = [&]() -> Task<bool> {
    const TimePoint due = Clock::now() + milliseconds(30);
    const SuspendedSoon soon({-1, nullptr, due + milliseconds(20)});
    FdWatcher watcher(reactor, pipe.read_end.get());
    WaitTimeout deadline(watcher, due);
    co_return co_await watcher.readable();
  };
  CHECK(!reactor.run_for_result(main()));
}

TEST_CASE("what a coroutine is told of before its deadline, it hears of first") {
  Reactor reactor;
  const Pipe pipe = make_pipe();
  Event told(reactor);
  Event late(reactor);
  std::string order;
  const auto tell = [&]() -> Task<void> {
    FdWatcher watcher(reactor, pipe.read_end.get());
    co_await watcher.readable();
    told.set();
  };
  const auto hear = [&]() -> Task<void> {
    co_await told;
    order += "told,";
  };
  const auto be_late = [&]() -> Task<void> {
    co_await late;
    order += "late";
  };
  const auto main = [&]() -> Task<void> {
    const TimePoint due = Clock::now() + milliseconds(100);
    const SuspendedSoon soon({pipe.write_end.get(), nullptr, due + milliseconds(20)});
    reactor.spawn(tell());
    reactor.spawn(hear());
    const EventTimeout alarm(reactor, late, due);
    co_await be_late();
  };
  reactor.run(main());
  CHECK(order == "told,late");
}

/// Memory that another process writes to.
class Memory final : public PollSource {
 public:
  explicit Memory(Reactor& reactor) : reactor_(reactor), taken(reactor) { reactor_.add(*this); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { reactor_.remove(*this); }

  bool poll() override {
    if (!arrived) { return false; }
    arrived = false;
    taken.set();
    was_taken = true;
    return true;
  }

 private:
  Reactor& reactor_;

 public:
  bool arrived = false;
  bool was_taken = false;
  Event taken;
};

TEST_CASE("what is put into shared memory meanwhile is taken before a deadline too") {
  Reactor reactor;
  Memory memory(reactor);
  const auto main = [&]() -> Task<bool> {
    const TimePoint due = Clock::now() + milliseconds(100);
    const SuspendedSoon soon({-1, &memory.arrived, due + milliseconds(20)});
    const EventTimeout alarm(reactor, memory.taken, due);
    co_await memory.taken;
    co_return memory.was_taken;
  };
  CHECK(reactor.run_for_result(main()));
}

TEST_CASE("a deadline waits for all that has arrived, more than one wait reports too") {
  const test::DescriptorCheck check;
  constexpr int kMany = 600;
  Reactor reactor;
  std::deque<Pipe> pipes;
  int read = 0;
  int left = kMany;
  Event all(reactor);
  const auto reader = [&](int fd, TimePoint due) -> Task<void> {
    FdWatcher watcher(reactor, fd);
    WaitTimeout deadline(watcher, due);
    const bool ready = co_await watcher.readable();
    read += ready ? 1 : 0;
    if (--left == 0) { all.set(); }
  };
  const auto main = [&]() -> Task<void> {
    const TimePoint due = Clock::now() + milliseconds(200);
    for (int i = 0; i < kMany; ++i) {
      reactor.spawn(reader(pipes.emplace_back(make_pipe()).read_end.get(), due));
    }
    co_await reactor.yield();
    co_await reactor.yield();
    for (const Pipe& pipe : pipes) { test::write_text(pipe.write_end.get(), "x"); }
    while (Clock::now() < due + milliseconds(5)) {}
    co_await all;
  };
  const rlimit many{2 * kMany + 100, 2 * kMany + 100};
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  if (before.rlim_max < many.rlim_cur) { return; }
  const rlimit raised{std::max(before.rlim_cur, many.rlim_cur), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &raised);
  reactor.run(main());
  pipes.clear();
  setrlimit(RLIMIT_NOFILE, &before);
  CHECK(read == kMany);
}

}  // namespace
}  // namespace handoff
