// SPDX-License-Identifier: MIT
#include "master/control.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>

#include "async/connect.hpp"
#include "async/time_limit.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

class FakeMaster final : public ControlOwner {
 public:
  Task<void> refresh() override { co_return; }
  MasterStatus status() const override {
    MasterStatus status;
    status.state = MasterState::ready;
    status.pass = "connection";
    status.last_reload = reload_status;
    WorkerStatus ready;
    ready.number = 1;
    ready.state = WorkerState::ready;
    WorkerStatus draining = ready;
    draining.state = WorkerState::draining;
    status.workers = {ready, draining};
    return status;
  }
  Task<Status> reload() override { co_return reload_status; }
  Task<Status> upgrade() override { co_return upgrade_status; }
  Task<Status> drain(int worker) override {
    drained = worker;
    co_return drain_status;
  }
  Status scale(std::size_t workers) override {
    scaled = workers;
    return scale_status;
  }
  Task<Status> stop() override {
    co_await control->until_finishing();
    co_return done;
  }

  Control* control = nullptr;
  Status done = Status::ok();
  Status reload_status = Status::ok();
  Status upgrade_status = Status::ok();
  Status drain_status = Status::ok();
  Status scale_status = Status::ok();
  int drained = 0;
  std::size_t scaled = 0;
};

/// A control socket, and clients that write lines.
struct Fixture {
  Fixture() {
    control.emplace(
        reactor, listen_on(address), static_cast<ControlOwner&>(master),
        [](Severity, std::string_view) {}, PeerJudge());
    master.control = &*control;
  }
  Task<Fd> connect() {
    DialedSocket client = co_await connect_to(reactor, address, TimeLimit());
    co_return std::move(client.socket);
  }
  static void send_line(const Fd& client, std::string line) {
    line += '\n';
    CHECK(send(client.get(), line.data(), line.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(line.size()));
  }
  /// The next reply; nothing at the end of the connection.
  Task<std::string> receive_line(const Fd& client) {
    std::string text;
    std::array<char, 4096> buffer{};
    while (text.empty() || text.back() != '\n') {
      const ssize_t size = recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size == 0) { break; }
      if (size > 0) { text.append(buffer.data(), static_cast<std::size_t>(size)); }
      co_await reactor.sleep_until(Clock::now());
    }
    co_return text;
  }
  std::string ask(const std::string& line) {
    std::string reply;
    const auto main = [&]() -> Task<void> {
      control->open();
      const Fd client = co_await connect();
      send_line(client, line);
      reply = co_await receive_line(client);
    };
    reactor.run(main());
    return reply;
  }
  static std::string call(const std::string& method, const std::string& params = "") {
    return R"({"in":")" + method + '"' + (params.empty() ? "" : R"(,"params":)" + params) + "}";
  }

  test::TemporaryDirectory folder;
  Address address = Address::parse(folder.path("control"));
  Reactor reactor;
  FakeMaster master;
  std::optional<Control> control;
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE_FIXTURE(Fixture, "status says what the master does") {
  const std::string reply = ask(Fixture::call("status"));
  CHECK(has(reply, R"("state":"ready")"));
  CHECK(has(reply, R"("balance":null)"));
  CHECK(has(reply, R"("last_reload_problem":null)"));
}

TEST_CASE_FIXTURE(Fixture, "status says why the last reload was not done") {
  master.reload_status = Status::failure("worker 1: exit status 3");
  CHECK(has(ask(Fixture::call("status")), R"("last_reload_problem":"worker 1: exit status 3")"));
}

TEST_CASE_FIXTURE(Fixture, "a reload that is done says how many workers serve") {
  const std::string reply = ask(Fixture::call("reload"));
  CHECK(has(reply, R"("result":{"workers":1})"));
}

TEST_CASE_FIXTURE(Fixture, "what is not done is an error with its reason") {
  const Status failure = Status::failure("there is no command to start");
  master.reload_status = master.upgrade_status = failure;
  master.drain_status = master.scale_status = failure;
  const std::vector<std::string> calls{Fixture::call("reload"), Fixture::call("upgrade"),
                                       Fixture::call("drain", R"({"worker":1})"),
                                       Fixture::call("scale", R"({"workers":2})")};
  std::string line;
  SUBCASE("reload") {
    line = calls[0];
  }
  SUBCASE("upgrade") {
    line = calls[1];
  }
  SUBCASE("drain") {
    line = calls[2];
  }
  SUBCASE("scale") {
    line = calls[3];
  }
  const std::string reply = ask(line);
  CHECK(has(reply, "there is no command to start"));
  CHECK(has(reply, R"("out":"error")"));
}

TEST_CASE_FIXTURE(Fixture, "drain and scale take one number") {
  SUBCASE("drain") {
    CHECK(has(ask(Fixture::call("drain", R"({"worker":7})")), R"("result":{"workers":1})"));
    CHECK(master.drained == 7);
  }
  SUBCASE("scale") {
    CHECK(has(ask(Fixture::call("scale", R"({"workers":3})")), R"("result":{"workers":3})"));
    CHECK(master.scaled == 3);
  }
  SUBCASE("none") {
    CHECK(has(ask(Fixture::call("scale", "{}")), "params must be"));
    CHECK(master.scaled == 0);
  }
  SUBCASE("too many workers") {
    CHECK(has(ask(Fixture::call("scale", R"({"workers":4097})")),
              "the number of workers is 1 to 4096"));
    CHECK(master.scaled == 0);
  }
}

TEST_CASE_FIXTURE(Fixture, "a stop is answered last, and then the connection ends") {
  std::string reply;
  std::string end = "none";
  const auto main = [&]() -> Task<void> {
    control->open();
    const Fd client = co_await connect();
    Fixture::send_line(client, Fixture::call("stop"));
    for (int i = 0; i < 10; ++i) { co_await reactor.sleep_until(Clock::now()); }
    std::array<char, 1> byte{};
    CHECK(recv(client.get(), byte.data(), 1, MSG_DONTWAIT) < 0);
    co_await control->finish(std::chrono::seconds(10));
    reply = co_await receive_line(client);
    end = co_await receive_line(client);
  };
  reactor.run(main());
  CHECK(has(reply, R"("result":null)"));
  CHECK(end.empty());
  CHECK(folder.entries() == 0);
}

TEST_CASE_FIXTURE(Fixture, "silent clients keep nobody out") {
  std::string reply;
  const auto main = [&]() -> Task<void> {
    control->open();
    std::vector<Fd> silent;
    for (std::size_t i = 0; i < Control::kMaxConnections; ++i) {
      silent.push_back(co_await connect());
    }
    const Fd client = co_await connect();
    Fixture::send_line(client, Fixture::call("workers"));
    reply = co_await receive_line(client);
  };
  reactor.run(main());
  CHECK(has(reply, R"("state":"draining")"));
}

}  // namespace
}  // namespace handoff
