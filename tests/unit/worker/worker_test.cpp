// SPDX-License-Identifier: MIT
// A worker's life with a master that the test plays, over a socket pair. The phases by themselves
// are worker_life_test's.
#include "worker/worker.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/condition.hpp"
#include "os/error.hpp"
#include "os/listener.hpp"
#include "os/socket.hpp"
#include "pass/fd_passing.hpp"
#include "pass/ring.hpp"
#include "unit/rpc/session_fixture.hpp"
#include "unit/support.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;
using Type = channel::Type;

constexpr std::string_view kSlow = "{\"in\":\"slow\"}\n";

/// A worker, and its master's end of the channel. The methods are "echo", which is instant, and
/// "slow", which waits for ever.
struct Bench {
  explicit Bench(int type = SOCK_SEQPACKET) {
    auto [ours, theirs] = make_socket_pair(type);
    master = std::move(ours);
    channel = std::move(theirs);
    options.credits = 10;
  }

  void make() {
    const auto make_methods = [this](Reactor&) -> MakeMethodTable {
      return [this]() -> std::shared_ptr<const MethodTable> {
        auto table = std::make_shared<MethodTable>();
        table->add_instant("echo", [](const Request& request) { return request.params; });
        table->add("slow", [this](const Call&) -> Task<Result> {
          ++begun;
          co_await never.wait();
          co_return Result::success("1");
        });
        return table;
      };
    };
    worker.emplace(reactor, signals, make_methods, options,
                   [this](Severity, std::string_view line) { lines.emplace_back(line); });
  }
  static Task<void> run_worker(Bench& bench, Task<void> life) {
    co_await std::move(life);
    bench.ended = true;
  }
  void begin(std::vector<Fd> listeners = {}) {
    make();
    reactor.spawn(
        run_worker(*this, worker->run_on_channel(std::move(channel), std::move(listeners))));
  }
  template <typename Steps>
  void run(Steps steps) {
    reactor.run([](Bench& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
    worker.reset();
  }

  /// The next message of the worker.
  Task<channel::Message> next() {
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      ReceiveResult result = recv_fds(master.get(), packet, channel::kMaxDescriptors);
      if (result.outcome == ReceiveOutcome::received) {
        auto message = channel::decode({packet.data(), result.size}, std::move(result.descriptors));
        REQUIRE(message.has_value());
        co_return *std::move(message);
      }
      REQUIRE(result.outcome == ReceiveOutcome::would_block);
      co_await reactor.yield();
    }
  }
  Task<Type> next_type() {
    const channel::Message message = co_await next();
    co_return message.type;
  }
  Task<void> greeted() {
    const channel::Message hello = co_await next();
    CHECK(hello.type == Type::hello);
    CHECK(hello.hello.credits == 10);
    const Type second = co_await next_type();
    CHECK(second == Type::ready);
  }
  void send(const std::string& message, const std::vector<int>& descriptors = {}) const {
    CHECK(send_fds(master.get(), message, descriptors).outcome == SendOutcome::sent);
  }
  /// The client of a connection that the worker is given.
  Fd pass(std::uint64_t id) const {
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.socket = std::move(server);
    connection.id = id;
    channel::PackedConnections packed(Type::connection);
    CHECK(packed.add(connection));
    send(packed.bytes(), {connection.socket.get()});
    return std::move(client);
  }
  Task<std::string> line(const Fd& client) { return test::read_line(reactor, client); }
  Task<void> until_ended() {
    while (!ended) co_await reactor.yield();
  }
  Task<void> until_begun() {
    while (begun == 0) co_await reactor.yield();
  }

  SignalMask signals{SIGTERM, SIGHUP, SIGCHLD};
  Reactor reactor;
  Condition never{reactor};
  WorkerOptions options;
  Fd master;
  Fd channel;
  std::vector<std::string> lines;
  int begun = 0;
  bool ended = false;
  std::optional<Worker> worker;
};

constexpr std::string_view kEcho = "{\"in\":\"echo\",\"params\":1}\n";
constexpr std::string_view kEchoed = "{\"out\":\"echo\",\"result\":1}\n";

TEST_CASE("a worker tells what becomes of a connection that its master passes") {
  const test::DescriptorCheck check;
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    Fd client = its.pass(5);
    const channel::Message started = co_await its.next();
    CHECK(started.type == Type::started);
    CHECK(started.ids == std::vector<std::uint64_t>{5});
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    client.reset();
    const channel::Message finished = co_await its.next();
    CHECK(finished.type == Type::finished);
    CHECK(finished.ids == std::vector<std::uint64_t>{5});
    its.send(channel::encode_requests(0));
    const channel::Message requests = co_await its.next();
    CHECK(requests.type == Type::requests);
    CHECK(requests.requests == 1);
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
    CHECK(its.worker->cut_off() == 0);
  });
}

TEST_CASE("a worker that is drained gives idle connections back, and ends after the others") {
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd idle = its.pass(1);
    Fd busy = its.pass(2);
    test::write_text(busy.get(), kSlow);
    co_await its.until_begun();
    its.send(channel::encode_drain({.give_back = true}));
    channel::Message returned;
    while (returned.type != Type::returned) returned = co_await its.next();
    REQUIRE(returned.connections.size() == 1);
    CHECK(returned.connections.front().id == 1);
    CHECK(!its.ended);
    busy.reset();
    co_await its.until_ended();
    const channel::Message finished = co_await its.next();
    CHECK(finished.ids == std::vector<std::uint64_t>{2});
    CHECK(its.worker->cut_off() == 0);
  });
}

TEST_CASE("what a draining worker has not finished when its time is over is cut off and counted") {
  Bench bench;
  bench.options.drain_timeout = milliseconds(1);
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd client = its.pass(1);
    test::write_text(client.get(), kSlow);
    co_await its.until_begun();
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
    CHECK(its.worker->cut_off() == 1);
  });
}

TEST_CASE("a worker whose master is gone finishes what it has begun, and ends") {
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd idle = its.pass(1);
    Fd busy = its.pass(2);
    test::write_text(busy.get(), kSlow);
    co_await its.until_begun();
    its.master.reset();
    const std::string end = co_await its.line(idle);
    CHECK(end.empty());
    CHECK(!its.ended);
    busy.reset();
    co_await its.until_ended();
  });
}

TEST_CASE("a worker that gets a signal asks its master to be drained, and serves until it is") {
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    kill(getpid(), SIGTERM);
    const Type asked = co_await its.next_type();
    CHECK(asked == Type::leave);
    const Fd client = its.pass(1);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
  });
}

TEST_CASE("a worker that gets a second signal ends at once, whatever it still does") {
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd client = its.pass(1);
    test::write_text(client.get(), kSlow);
    co_await its.until_begun();
    kill(getpid(), SIGTERM);
    Type type = Type::ready;
    while (type != Type::leave) type = co_await its.next_type();
    CHECK(!its.ended);
    kill(getpid(), SIGTERM);
    co_await its.until_ended();
    CHECK(its.worker->cut_off() == 1);
  });
}

TEST_CASE("a worker makes its methods again at HUP when it reloads, and else is told to end") {
  for (const bool reloads : {true, false}) {
    Bench bench;
    bench.options.reloads = reloads;
    bench.run([](Bench& its) -> Task<void> {
      its.begin();
      co_await its.greeted();
      kill(getpid(), SIGHUP);
      if (its.options.reloads) {
        while (its.lines.empty()) co_await its.reactor.yield();
        CHECK(its.lines == std::vector<std::string>{"reloaded, 2 methods"});
      } else {
        const Type asked = co_await its.next_type();
        CHECK(asked == Type::leave);
      }
    });
  }
}

TEST_CASE("a worker asks to be replaced after its last request, and after its time") {
  Bench bench;
  SUBCASE("requests") {
    bench.options.max_requests = 1;
  }
  SUBCASE("lifetime") {
    bench.options.max_lifetime = milliseconds(1);
  }
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    const Fd client = its.pass(1);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    Type type = Type::ready;
    while (type != Type::leave) type = co_await its.next_type();
    CHECK(!its.ended);
    its.send(channel::encode_drain({}));
    co_await its.until_ended();
  });
}

TEST_CASE("a worker that is to be replaced after a while needs a channel with messages") {
  Bench bench(SOCK_STREAM);
  bench.options.max_requests = 1;
  const auto error = test::thrown_by<InvalidArgument>([&] {
    bench.run([](Bench& its) -> Task<void> {
      its.begin();
      co_await its.until_ended();
    });
  });
  CHECK(std::string(error.what()).starts_with("--max-requests and --max-lifetime need"));
}

TEST_CASE("on a channel without messages a worker takes connections until its end") {
  const test::DescriptorCheck check;
  Bench bench(SOCK_STREAM);
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    its.send("x", {server.get()});
    server.reset();
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    its.master.reset();
    co_await its.until_ended();
  });
}

TEST_CASE("a worker accepts from listeners that it is passed, and reports such connections") {
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
    its.begin();
    co_await its.greeted();
    its.send(channel::encode_passing(Type::listener, 1), {listener.fd()});
    const SocketAddress address = local_address(listener.fd());
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(client.get(), address.data(), address.size()) == 0);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    const channel::Message started = co_await its.next();
    CHECK(started.type == Type::started);
    CHECK(started.ids == std::vector<std::uint64_t>{channel::kOwnId | 1U});
    client.reset();
    const channel::Message finished = co_await its.next();
    CHECK(finished.type == Type::finished);
    CHECK(finished.ids == started.ids);
    // What waits at the listener when the worker drains is the master's.
    its.send(channel::encode_drain({.give_back = true}));
    co_await its.until_ended();
    const Fd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(late.get(), address.data(), address.size()) == 0);
    CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::connection);
  });
}

TEST_CASE("a master that passes a second queue breaks the protocol") {
  Bench bench;
  const auto error = test::thrown_by<ProtocolError>([&] {
    bench.run([](Bench& its) -> Task<void> {
      const std::size_t size = RingEnd::memory_size(1000);
      const SharedMemory masters = make_memory_to_write("requests", size);
      const SharedMemory workers = make_memory_to_read("replies", size);
      its.begin();
      co_await its.greeted();
      for (int i = 0; i < 2; ++i) {
        its.send(channel::encode_passing(Type::queue, 2), {masters.file.get(), workers.file.get()});
      }
      co_await its.until_ended();
    });
  });
  CHECK(std::string(error.what()) == "cannot read the channel: the master sent a second queue");
}

TEST_CASE("a connection whose spilled bytes can't be read costs that connection, and is said") {
  Bench bench;
  bench.run([](Bench& its) -> Task<void> {
    its.begin();
    co_await its.greeted();
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    Connection connection;
    connection.socket = std::move(server);
    connection.id = 3;
    connection.unread = std::string(channel::kMaxUnread + 1, 'x');
    connection.spill_to_memfd();
    REQUIRE(ftruncate(connection.spilled.get(), 0) < 0);  // it is sealed
    connection.spilled = Fd(dup(its.master.get()));       // something else instead
    channel::PackedConnections packed(Type::connection);
    REQUIRE(packed.add(connection));
    its.send(packed.bytes(), {connection.socket.get(), connection.spilled.get()});
    channel::Message message;
    while (message.type != Type::finished) message = co_await its.next();
    CHECK(message.ids == std::vector<std::uint64_t>{3});
    CHECK(its.lines.size() == 1);
  });
}

TEST_CASE("a worker without a master serves on its own listener until a signal") {
  const test::TemporaryDirectory directory;
  Bench bench;
  bench.run([&](Bench& its) -> Task<void> {
    const Address address = Address::parse(directory.path("socket"));
    its.make();
    its.reactor.spawn(Bench::run_worker(its, its.worker->run_alone({address})));
    while (its.lines.empty()) co_await its.reactor.yield();
    CHECK(its.lines == std::vector{"ready, on " + directory.path("socket")});
    const SocketAddress target = address.resolve().front();
    const Fd client = make_socket(target);
    REQUIRE(connect(client.get(), target.data(), target.size()) == 0);
    test::write_text(client.get(), kEcho);
    const std::string line = co_await its.line(client);
    CHECK(line == kEchoed);
    kill(getpid(), SIGTERM);
    co_await its.until_ended();
    const std::string end = co_await its.line(client);
    CHECK(end.empty());
  });
  CHECK(directory.entries() == 0);
}

TEST_CASE("a worker that joins is refused when there is no master, unless it is to wait") {
  const test::TemporaryDirectory directory;
  Bench bench;
  CHECK_THROWS_AS(bench.run([&](Bench& its) -> Task<void> {
    its.make();
    co_await its.worker->run_joined(Address::parse(directory.path("socket")), Duration());
  }),
                  Unreachable);
}

}  // namespace
}  // namespace handoff
