// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "master/custody.hpp"
#include "master/pass_mode.hpp"
#include "master/supervisor.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "pass/fd_passing.hpp"
#include "pass/sources.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// Remembers what it is told.
class Told final : public Dispatcher {
 public:
  void worker_joined(WorkerChannel& joining) override {
    ++joined;
    link = &joining;
  }
  void worker_left(WorkerChannel&) override {}
  void worker_gone(WorkerChannel&) override { ++gone; }
  void worker_has_room(WorkerChannel&) override {}
  void successor_joined(WorkerChannel&) override {}
  void work_arrived(HeldConnection) override { ++arrived; }
  bool can_take() const override { return false; }
  bool has_takers() const override { return true; }
  void flush() override {}
  void flush_all() override {}
  std::size_t waiting() const override { return 0; }
  std::size_t waiting_to_be_served() const override { return 0; }

  int joined = 0;
  int gone = 0;
  std::size_t arrived = 0;
  WorkerChannel* link = nullptr;
};

/// A supervisor of a program that never says anything; the test speaks for it.
class Workers {
 public:
  explicit Workers(std::vector<std::string> command = {"sleep", "1000"})
      : custody_(std::make_shared<Custody>(reactor, 1)),
        supervisor(
            reactor, told, custody_, options_for(std::move(command)),
            [this](Severity severity, std::string_view line) {
              if (severity == Severity::error && on_trouble) on_trouble(line);
              lines.emplace_back(line);
            },
            [] {}, [] {}) {}

  /// The worker's end of the channel of the process that runs now.
  Fd channel_of_child() const { return take_from_process(supervisor.status().front().pid, 3); }

  static void say_ready(const Fd& channel) {
    send_fds(channel.get(), channel::encode_hello({channel::kVersion, 1, 1000}), {});
    send_fds(channel.get(), channel::encode_ready(), {});
  }

  Task<void> until_gone(int count) {
    while (told.gone < count) co_await reactor.sleep_until(Clock::now() + milliseconds(1));
  }

  Reactor reactor;
  Told told;
  std::vector<std::string> lines;
  std::function<void(std::string_view)> on_trouble;

 private:
  static SupervisorOptions options_for(std::vector<std::string> command) {
    SupervisorOptions options;
    options.command = std::move(command);
    options.ready_timeout = milliseconds(50);
    options.drain_timeout = milliseconds(50);
    return options;
  }

  std::shared_ptr<Custody> custody_;

 public:
  Supervisor supervisor;
};

TEST_CASE("a worker that says READY when it is being killed for being late serves nobody") {
  Workers workers;
  Fd channel;
  // Said before the kill, so that it is read before the end of the process is seen.
  workers.on_trouble = [&](std::string_view line) {
    if (line.find("not ready within") != std::string_view::npos) Workers::say_ready(channel);
  };
  const auto main = [&]() -> Task<void> {
    workers.supervisor.add();
    co_await workers.reactor.yield();
    co_await workers.reactor.yield();
    channel = workers.channel_of_child();
    co_await workers.until_gone(1);
    workers.supervisor.kill_all();
    while (!workers.supervisor.is_empty()) {
      co_await workers.reactor.sleep_until(Clock::now() + milliseconds(1));
    }
  };
  workers.reactor.run(main());
  CHECK(workers.told.joined == 0);
}

TEST_CASE("a worker that has joined and is let go loses none of what it has returned") {
  constexpr std::size_t kMany = 200;  // more than are taken in one turn
  Workers workers(std::vector<std::string>{});
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const auto main = [&, &joins = ours, &worker = theirs]() -> Task<void> {
    workers.supervisor.adopt(std::move(joins));
    Workers::say_ready(worker);
    while (workers.told.link == nullptr) co_await workers.reactor.yield();
    std::vector<std::uint64_t> ids;
    for (std::size_t i = 1; i <= kMany; ++i) {
      workers.told.link->pass({{.socket = std::move(make_socket_pair(SOCK_STREAM).first)}});
      ids.push_back(i);
    }
    workers.told.link->flush();
    send_fds(worker.get(), channel::encode_ids(channel::Type::started, ids), {});
    while (workers.supervisor.status().front().passed < kMany) co_await workers.reactor.yield();
    [[maybe_unused]] const std::string problem = co_await workers.supervisor.replace(1);
    const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections returned(channel::Type::returned);
    returned.add(Connection());
    for (std::size_t i = 0; i < kMany; ++i) {
      CHECK(send_fds(worker.get(), returned.bytes(), std::vector{connection.get()}).outcome ==
            SendOutcome::sent);
    }
    // The master is suspended until the worker has had its time.
    for (const TimePoint late = Clock::now() + milliseconds(60); Clock::now() < late;) {
    }
    co_await workers.until_gone(1);
  };
  workers.reactor.run(main());
  CHECK(workers.told.arrived == kMany);
}

}  // namespace
}  // namespace handoff
