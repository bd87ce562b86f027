// SPDX-License-Identifier: MIT
// What a session makes its process hold, and what it does when that is too much.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/condition.hpp>

#include "os/socket.hpp"
#include "rpc/session.hpp"
#include "unit/rpc/session_fixture.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr std::size_t kBudget = 64 << 10;
constexpr std::uint32_t kMaxFrame = 32 << 10;
constexpr int kCalls = 40;

SessionLimits small_limits() {
  SessionLimits limits;
  limits.max_frame = kMaxFrame;
  limits.memory = std::make_shared<MemoryBudget>(kBudget);
  return limits;
}

/// Sessions of one process, whose methods are "slow", which waits until `go` is set, and "big",
/// which gives a result of half a frame at once.
struct Fixture {
  explicit Fixture(SessionLimits limits = small_limits())
      : changed(reactor),
        context(reactor, methods(), limits,
                {.closed = [this](std::uint64_t, CloseReason) { changed.notify_all(); }}) {}

  std::shared_ptr<const MethodTable> methods() {
    auto table = std::make_shared<MethodTable>();
    table->add("slow", [this](const Call&) -> Task<Result> {
      ++begun;
      changed.notify_all();
      co_await changed.wait_until([this] { return go; });
      co_return Result::success("7");
    });
    table->add("big", [this](const Call&) -> Task<Result> {
      ++begun;
      co_return Result::success('"' + std::string(kMaxFrame / 2, 'x') + '"');
    });
    table->add_instant("echo", [](const Request& request) { return request.params; });
    return table;
  }

  /// A new connection, of which these bytes were read elsewhere; its client's end.
  Fd open(std::string read = {}) {
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    Session::open(context, {.socket = std::move(server), .unread = std::move(read)});
    return std::move(client);
  }

  Task<std::string> line(const Fd& client) { return test::read_line(reactor, client); }
  /// Everything that can happen by itself has happened.
  Task<void> settle() {
    for (int i = 0; i < 50; ++i) { co_await reactor.yield(); }
  }
  Task<void> until_held(std::size_t least, std::size_t most) {
    while (held() < least || held() > most) { co_await reactor.yield(); }
  }
  std::size_t held() const { return context.limits().memory->held(); }
  void set_go() {
    go = true;
    changed.notify_all();
  }

  Reactor reactor;
  Condition changed;
  bool go = false;
  int begun = 0;
  ServerContext context;
};

std::string times(int count, std::string_view line) {
  std::string lines;
  for (int i = 0; i < count; ++i) { lines.append(line); }
  return lines;
}

/// The start of a frame, most of the budget long.
std::string long_start() {
  return R"({"in":"echo","params":")" + std::string(kMaxFrame - 100, 'x');
}

TEST_CASE("a connection starts no further call while the replies to come may be too many") {
  Fixture fixture;
  const Fd client = fixture.open();
  bool in_batch = false;
  SUBCASE("one by one") {
    test::write_text(client.get(), times(kCalls, "{\"in\":\"slow\"}\n"));
  }
  SUBCASE("in a batch") {
    in_batch = true;
    test::write_text(client.get(),
                     '[' + times(kCalls - 1, R"({"jsonrpc":"2.0","method":"slow","id":1},)") +
                         "{\"jsonrpc\":\"2.0\",\"method\":\"slow\",\"id\":1}]\n");
  }
  fixture.reactor.run([](Fixture& self, const Fd& end, bool batch) -> Task<void> {
    co_await self.settle();
    CHECK(self.begun > 1);
    CHECK(self.begun <= static_cast<int>(ReplyEstimate::kFirstCalls));
    self.set_go();
    for (int i = 0; i < (batch ? 1 : kCalls); ++i) {
      CHECK((co_await self.line(end)).find("\"result\":7") != std::string::npos);
    }
    co_await self.until_held(0, 0);
  }(fixture, client, in_batch));
  CHECK(fixture.begun == kCalls);
}

TEST_CASE("replies that wait for an earlier one count, and all come once it is there") {
  Fixture fixture;
  const Fd client = fixture.open();
  test::write_text(client.get(), "{\"in\":\"slow\"}\n" + times(kCalls, "{\"in\":\"big\"}\n"));
  fixture.reactor.run([](Fixture& self, const Fd& end) -> Task<void> {
    co_await self.settle();
    CHECK(self.begun < kCalls);
    CHECK(self.held() > kMaxFrame / 2);
    CHECK(self.held() < kBudget + ReplyEstimate::kFirstCalls * kMaxFrame / 2);
    self.set_go();
    CHECK((co_await self.line(end)).find("\"result\":7") != std::string::npos);
    for (int i = 0; i < kCalls; ++i) { CHECK((co_await self.line(end)).size() > kMaxFrame / 2); }
    co_await self.until_held(0, 0);
  }(fixture, client));
  CHECK(fixture.begun == kCalls + 1);
}

TEST_CASE("replies that the client does not read count until it reads or is closed") {
  Fixture fixture;
  Fd client = fixture.open();
  test::write_text(client.get(), times(40, "{\"in\":\"big\"}\n"));
  bool reads = false;
  SUBCASE("it reads") {
    reads = true;
  }
  SUBCASE("it is closed") {}
  fixture.reactor.run([](Fixture& self, Fd& end, bool reading) -> Task<void> {
    co_await self.until_held(kBudget, kBudget + ReplyEstimate::kFirstCalls * kMaxFrame);
    co_await self.settle();
    CHECK(self.begun < 40);
    for (int i = 0; reading && i < 40; ++i) { co_await self.line(end); }
    if (!reading) { end.reset(); }
    co_await self.until_held(0, 0);
  }(fixture, client, reads));
  CHECK((fixture.begun == 40) == reads);
}

TEST_CASE("what was read of a connection that is passed counts as soon as it is there") {
  Fixture fixture;
  Fd client = fixture.open(long_start());
  fixture.reactor.run([](Fixture& self, Fd& end) -> Task<void> {
    co_await self.settle();
    CHECK(self.held() == long_start().size());
    end.reset();
    co_await self.until_held(0, 0);
  }(fixture, client));
}

TEST_CASE("while connections hold all that the process may, a further one waits") {
  Fixture fixture;
  Fd first = fixture.open();
  const Fd second = fixture.open();
  const Fd third = fixture.open();
  const Fd fourth = fixture.open();
  for (const Fd* end : std::initializer_list<const Fd*>{&first, &second, &third}) {
    test::write_text(end->get(), long_start());
  }
  fixture.reactor.run([](Fixture& self, Fd& holder, const Fd& exempt, const Fd& end) -> Task<void> {
    co_await self.until_held(kBudget, 3 * kMaxFrame);
    // The second becomes the one that goes on.
    test::write_text(exempt.get(), "x");
    co_await self.settle();
    test::write_text(end.get(), "{\"in\":\"echo\",\"params\":1}\n");
    co_await self.settle();
    CHECK(self.context.waiting_for_memory() == 1);
    std::array<char, 1> byte{};
    CHECK(recv(end.get(), byte.data(), byte.size(), MSG_DONTWAIT) < 0);
    holder.reset();
    CHECK(co_await self.line(end) == "{\"out\":\"echo\",\"result\":1}\n");
    CHECK(self.context.waiting_for_memory() == 0);
  }(fixture, first, second, fourth));
}

TEST_CASE("the one that goes on ends its frame, and then another may go on") {
  Fixture fixture;
  const Fd one = fixture.open();
  const Fd other = fixture.open();
  const Fd third = fixture.open();
  for (const Fd* end : {&one, &other, &third}) { test::write_text(end->get(), long_start()); }
  fixture.reactor.run([](Fixture& self, const Fd& first, const Fd& second) -> Task<void> {
    co_await self.until_held(kBudget, 3 * kMaxFrame);
    for (const Fd* end : std::array{&first, &second}) { test::write_text(end->get(), "\"}\n"); }
    for (const Fd* end : std::array{&first, &second}) {
      CHECK((co_await self.line(*end)).size() > kMaxFrame - 100);
    }
  }(fixture, one, other));
}

TEST_CASE("when too many wait for memory, a further one is told that the server is busy") {
  SessionLimits limits = small_limits();
  limits.max_waiting = 0;
  Fixture fixture(limits);
  const Fd one = fixture.open();
  const Fd other = fixture.open();
  const Fd third = fixture.open();
  const Fd client = fixture.open();
  for (const Fd* end : {&one, &other, &third}) { test::write_text(end->get(), long_start()); }
  std::string request;
  std::string reply;
  SUBCASE("in the dialect of its request") {
    request = "{\"in\":\"echo\",\"id\":5}\n";
    reply =
        "{\"out\":\"error\",\"result\":{\"code\":-32003,\"message\":\"busy: the server holds as "
        "much "
        "as it may (--max-memory)\"},\"id\":5}\n";
  }
  SUBCASE("and once for a batch") {
    request = "[{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":5}]\n";
    reply =
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32003,\"message\":\"busy: the server holds as "
        "much as it may (--max-memory)\"},\"id\":null}\n";
  }
  fixture.reactor.run([](Fixture& self, const Fd& exempt, const Fd& end, const std::string& asked,
                         const std::string& expected) -> Task<void> {
    co_await self.until_held(kBudget, 3 * kMaxFrame);
    test::write_text(exempt.get(), "x");
    co_await self.settle();
    test::write_text(end.get(), asked);
    CHECK(co_await self.line(end) == expected);
  }(fixture, one, client, request, reply));
}

TEST_CASE("the deadline of a frame counts while it waits for memory") {
  SessionLimits limits = small_limits();
  limits.frame_timeout = std::chrono::milliseconds(30);
  Fixture fixture(limits);
  const Fd one = fixture.open();
  const Fd other = fixture.open();
  const Fd third = fixture.open();
  for (const Fd* end : {&one, &other, &third}) { test::write_text(end->get(), long_start()); }
  fixture.reactor.run([](Fixture& self) -> Task<void> {
    co_await self.until_held(kBudget, 3 * kMaxFrame);
    co_await self.until_held(0, 0);
  }(fixture));
}

}  // namespace
}  // namespace handoff
