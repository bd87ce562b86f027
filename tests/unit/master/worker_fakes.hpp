// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "master/alarm_clock.hpp"
#include "master/pass_mode.hpp"
#include "master/worker_channel.hpp"
#include "master/worker_spawner.hpp"
#include "pass/channel.hpp"

/// Stands in for the kernel in tests of what supervises workers: time, processes, and the
/// pass mode.
namespace handoff::test {

/// A clock that stands still until the test moves it.
class ManualClock final : public AlarmClock {
 public:
  TimePoint now() const override { return now_; }
  std::unique_ptr<Alarm> call_at(TimePoint when, std::function<void()> call) override {
    return std::make_unique<Entry>(*this, when, std::move(call));
  }
  /// Moves the time on, and makes every call that is due by then, in order.
  void advance(Duration duration) {
    const TimePoint end = now_ + duration;
    while (!calls_.empty() && calls_.begin()->first <= end) {
      const auto first = calls_.begin();
      now_ = std::max(now_, first->first);
      Entry* entry = first->second;
      calls_.erase(first);
      const auto call = std::move(entry->call);
      call();
    }
    now_ = end;
  }
  /// Moves the time on as for a process that was suspended: what is due is called late.
  void suspend(Duration duration) {
    now_ += duration;
    advance(Duration::zero());
  }
  std::size_t alarms() const { return calls_.size(); }
  /// How long it is until the next call; zero if there is none.
  Duration next() const { return calls_.empty() ? Duration::zero() : calls_.begin()->first - now_; }

 private:
  struct Entry final : Alarm {
    Entry(ManualClock& of, TimePoint when, std::function<void()> what)
        : clock(of), call(std::move(what)) {
      if (when != kNever) { clock.calls_.emplace(when, this); }
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() override {
      std::erase_if(clock.calls_, [this](const auto& other) { return other.second == this; });
    }

    ManualClock& clock;
    std::function<void()> call;
  };

  TimePoint now_ = TimePoint() + std::chrono::hours(1);
  std::multimap<TimePoint, Entry*> calls_;
};

/// A process tree that the test plays: the worker that was spawned with it holds only a reference.
struct PlayedProcess {
  /// What the worker is told of it.
  std::vector<std::string> told;
  pid_t pid = 0;
  int number = 0;
  Fd channel;  ///< the worker's end
  Fd exit{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  ExitStatus status;
  bool leader_lives = true;
  int others = 0;  ///< of its tree that live
  bool finished = false;

  /// The leader ends.
  void end(ExitStatus with = {}) {
    if (!leader_lives) { return; }
    leader_lives = false;
    status = with;
    const std::uint64_t one = 1;
    CHECK(write(exit.get(), &one, sizeof one) == sizeof one);
  }

  // What a worker says on its channel.
  void say(const std::string& message) const {
    CHECK(send_fds(channel.get(), message, {}).outcome == SendOutcome::sent);
  }
  void say_ready(bool answers = false) const {
    channel::Hello hello;
    hello.credits = 1000;
    hello.answers = answers;
    say(channel::encode_hello(hello));
    say(channel::encode_ready());
  }
};

/// Gives a PlayedProcess to what supervises it. A kill ends the tree at once.
class PlayedWorker final : public WorkerProcess {
 public:
  explicit PlayedWorker(std::shared_ptr<PlayedProcess> process) : process_(std::move(process)) {}

  pid_t pid() const override { return process_->pid; }
  int exit_fd() const override { return process_->exit.get(); }
  bool leader_has_ended() const override { return !process_->leader_lives; }
  bool is_empty() const override { return !process_->leader_lives && process_->others == 0; }
  void term() override { process_->told.emplace_back("TERM"); }
  void kill() override {
    process_->told.emplace_back("KILL");
    process_->others = 0;
    process_->end({0, SIGKILL});
  }
  ExitStatus finish() override {
    CHECK(!process_->finished);
    process_->others = 0;
    process_->end({0, SIGKILL});
    process_->finished = true;
    return process_->status;
  }

 private:
  std::shared_ptr<PlayedProcess> process_;
};

/// Spawns PlayedProcesses, and keeps all of them for the test.
class PlayedSpawner {
 public:
  SpawnWorker function() {
    return [this](int number, const Fd& channel, std::span<const int> inherits) {
      if (fails > 0 && fails-- > 0) { throw SystemError(ENOENT, "exec", "worker"); }
      auto process = std::make_shared<PlayedProcess>();
      process->number = number;
      process->pid = 1000 + static_cast<pid_t>(processes.size());
      process->channel = duplicate(channel.get());
      inherited.assign(inherits.begin(), inherits.end());
      processes.push_back(process);
      return std::make_unique<PlayedWorker>(process);
    };
  }
  PlayedProcess& last() { return *processes.back(); }

  std::vector<std::shared_ptr<PlayedProcess>> processes;
  std::vector<int> inherited;  ///< by the last
  int fails = 0;               ///< so many attempts to come
};

/// Remembers what it is told, by the numbers of the workers.
class RecordingMode final : public PassMode {
 public:
  void worker_joined(WorkerChannel& link) override {
    serving.push_back(&link);
    note("joined", link);
    if (on_joined) { on_joined(link); }
  }
  void worker_left(WorkerChannel& link) override {
    if (std::erase(serving, &link) > 0) { note("left", link); }
  }
  void worker_gone(WorkerChannel& link, const Departure& /*how*/) override {
    std::erase(serving, &link);
    note("gone", link);
  }

  std::vector<int> inheritance() const override { return inherited; }

  std::vector<std::string> told;
  std::vector<WorkerChannel*> serving;
  std::vector<int> inherited;
  std::function<void(WorkerChannel&)> on_joined;

 private:
  void note(const char* what, const WorkerChannel& link) {
    told.push_back(what + std::string(" ") + std::to_string(link.number()));
  }
};

}  // namespace handoff::test
