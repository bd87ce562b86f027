// SPDX-License-Identifier: MIT
#include "master/master.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>

#include "os/signals.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A master whose workers would only join: it needs no process but this one.
struct Fixture {
  Fixture() {
    options.listen = {Address::parse(folder.path("listen"))};
    options.join = Address::parse(folder.path("join"));
    options.control = Address::parse(folder.path("control"));
    options.pidfile = folder.path("pid");
    options.workers = 0;
    options.successor.program = folder.path("no-such-program");
    options.successor.argv = {options.successor.program};
  }
  Master& start() {
    return master.emplace(reactor, signals, options,
                          [this](Severity, std::string_view line) { lines.emplace_back(line); });
  }
  bool has_said(std::string_view text) const {
    for (const std::string& line : lines) {
      if (line.find(text) != std::string::npos) { return true; }
    }
    return false;
  }
  Task<void> until_said(std::string_view text) {
    const TimePoint limit = Clock::now() + std::chrono::milliseconds(test::kPatienceMs);
    while (!has_said(text)) {
      REQUIRE(Clock::now() < limit);
      co_await reactor.sleep_until(Clock::now());
    }
  }
  /// Runs the master beside `body`, which ends it.
  template <typename Body>
  Supervisor::CutOff run(Body body) {
    Master& runs = start();
    reactor.spawn(body());
    const Supervisor::CutOff cut_off = reactor.run_for_result(runs.run());
    left = runs.leave();
    master.reset();
    return cut_off;
  }

  test::TemporaryDirectory folder;
  SignalMask signals{SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGCHLD};
  Reactor reactor;
  MasterOptions options;
  std::vector<std::string> lines;
  std::optional<Master> master;
  std::unique_ptr<OriginalProcess> left;
};

TEST_CASE_FIXTURE(Fixture, "a master serves until a signal stops it, and leaves no name behind") {
  const auto cut_off = run([this]() -> Task<void> {
    co_await until_said("ready, 0 workers, on " + folder.path("listen") + " (workers join at");
    CHECK(test::read_file(folder.path("pid")) == std::to_string(getpid()) + "\n");
    raise(SIGTERM);
  });
  CHECK(cut_off.workers == 0);
  CHECK(cut_off.connections == 0);
  CHECK(left == nullptr);
  CHECK(folder.entries() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a client whom no worker has served by the stop is cut off") {
  Fd client;
  const auto cut_off = run([&]() -> Task<void> {
    co_await until_said("ready, ");
    const SocketAddress to = options.listen.front().resolve().front();
    client = make_socket(to, SOCK_STREAM);
    CHECK(connect(client.get(), to.data(), to.size()) == 0);
    raise(SIGTERM);
  });
  CHECK(cut_off.connections == 1);
}

TEST_CASE_FIXTURE(Fixture, "a master whose pidfile cannot be written takes no name") {
  options.pidfile = folder.path("no-such-folder/pid");
  CHECK_THROWS_AS(start(), SystemError);
  CHECK(folder.entries() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a master whose upgrade fails serves on") {
  run([this]() -> Task<void> {
    co_await until_said("ready, ");
    for (int i = 0; i < 2; ++i) {
      lines.clear();
      raise(SIGUSR2);
      co_await until_said("cannot upgrade: cannot run " + folder.path("no-such-program") +
                          ": No such file or directory; this master serves on");
    }
    CHECK(test::read_file(folder.path("pid")) == std::to_string(getpid()) + "\n");
    raise(SIGTERM);
  });
  CHECK(left == nullptr);
  CHECK(folder.entries() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a master without a command says that it cannot start workers") {
  run([this]() -> Task<void> {
    co_await until_said("ready, ");
    raise(SIGTTIN);
    co_await until_said("cannot add a worker: there is no command to start");
    raise(SIGHUP);
    co_await until_said("cannot reload: there is no command to start; workers that joined stay");
    raise(SIGTERM);
  });
}

TEST_CASE("a master leaves no descriptor open") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.run([&]() -> Task<void> {
    co_await fixture.until_said("ready, ");
    raise(SIGTERM);
  });
}

}  // namespace
}  // namespace handoff
