// SPDX-License-Identifier: MIT
// What a session says of its connection in the ledger, in each situation that it can be in.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "pass/ledger_entry.hpp"
#include "rpc/session.hpp"
#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using ledger::Snapshot;
using ledger::State;
using test::kEcho;
using test::kEchoed;
using test::kSlow;
using test::Sessions;

/// Sessions, and one connection that has an entry.
struct Recorded : Sessions {
  explicit Recorded(SessionLimits limits = {}) : Sessions(limits) {
    auto table = std::make_shared<MethodTable>();
    table->add("slow", [this](const Call&) {
      seen = Snapshot(entry).state();
      return wait_for_go();
    });
    table->add("other", [this](const Call&) { return wait_for_other(); });
    table->add_instant("echo", [this](const Request& request) {
      seen = Snapshot(entry).state();
      return request.params;
    });
    context.replace_methods(std::move(table));
  }

  Task<Result> wait_for_other() {
    ++begun;
    co_await changed.wait_until([this] { return other_goes; });
    co_return Result::success("8");
  }

  /// As a worker that has received it.
  void begin(Connection connection = {}) {
    auto [server, end] = make_socket_pair(SOCK_STREAM);
    client = std::move(end);
    entry.begin(State::received, 7, connection.framing, connection.dialect);
    connection.socket = std::move(server);
    connection.entry = &entry;
    Session::open(context, std::move(connection));
  }
  void write(std::string_view text) { test::write_text(client.get(), text); }
  Task<State> after(std::string_view text) {
    write(text);
    co_await settle();
    co_return state();
  }
  State state() const { return Snapshot(entry).state(); }
  std::string id() const { return std::string(Snapshot(entry).id()); }

  ledger::Entry entry{};
  State seen = State::free;  ///< by the last method when it began
  bool other_goes = false;
  Fd client;
};

template <typename Steps>
void run(Recorded& recorded, Steps steps) {
  recorded.reactor.run([](Recorded& self, Steps& of) -> Task<void> {
    co_await of(self);
    self.go = self.other_goes = true;
    self.changed.notify_all();
    self.client.reset();
    while (self.context.open_connections() > 0) { co_await self.reactor.yield(); }
  }(recorded, steps));
}

const std::string kCall = R"({"jsonrpc":"2.0","method":"slow","id":"one"})"
                          "\n";

TEST_CASE("a connection that is new is read at once, and then idle") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    co_await self.settle();
    CHECK(self.state() == State::idle);
    CHECK(Snapshot(self.entry).generation() == 7);
  });
  CHECK(recorded.state() == State::closed);
}

TEST_CASE("an instant method runs while its connection is busy, which is idle afterwards") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.after(kEcho) == State::idle);
    CHECK(self.seen == State::busy);
    CHECK(Snapshot(self.entry).framing() == Framing::lines);
    CHECK(Snapshot(self.entry).dialect() == Dialect::article);
    CHECK(co_await self.after("{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n") ==
          State::idle);
    CHECK(Snapshot(self.entry).dialect() == Dialect::json_rpc);
  });
}

TEST_CASE("a request alone is running before its method begins, and its connection then idle") {
  Recorded recorded;
  std::string request = kCall;
  std::string id = "\"one\"";
  SUBCASE("with an id") {}
  SUBCASE("in the article's dialect, with one") {
    request = "{\"in\":\"slow\",\"id\":5}\n";
    id = "5";
  }
  SUBCASE("in the article's dialect, without one") {
    request = kSlow;
    id = "";
  }
  SUBCASE("with the longest id that an entry takes") {
    id = std::string(ledger::kMaxId, '1');
    request = "{\"in\":\"slow\",\"id\":" + id + "}\n";
  }
  recorded.begin();
  run(recorded, [&](Recorded& self) -> Task<void> {
    CHECK(co_await self.after(request) == State::running);
    CHECK(self.seen == State::running);
    CHECK(self.id() == id);
    self.set_go();
    co_await self.settle();
    CHECK(self.state() == State::idle);
    CHECK(!(co_await self.line(self.client)).empty());
  });
}

TEST_CASE("a request whose id is too long for an entry is busy") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    const std::string id(ledger::kMaxId + 1, '1');
    CHECK(co_await self.after("{\"in\":\"slow\",\"id\":" + id + "}\n") == State::busy);
    CHECK(self.seen == State::busy);
  });
}

TEST_CASE("a notification is silent while it runs") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.after("{\"jsonrpc\":\"2.0\",\"method\":\"slow\"}\n") == State::silent);
    CHECK(self.seen == State::silent);
    self.set_go();
    co_await self.settle();
    CHECK(self.state() == State::idle);
  });
}

TEST_CASE("a connection is busy while something is under way beside a request") {
  Recorded recorded;
  std::string text;
  SUBCASE("another request") {
    text = kCall + "{\"in\":\"slow\",\"id\":2}\n";
  }
  SUBCASE("a batch") {
    text = "[" + kCall.substr(0, kCall.size() - 1) + "]\n";
  }
  SUBCASE("a reply that must wait for its own") {
    text = std::string(kSlow) + std::string(kEcho);
  }
  SUBCASE("the start of another") {
    text = kCall + "{\"in\"";
  }
  recorded.begin();
  run(recorded, [&](Recorded& self) -> Task<void> {
    CHECK(co_await self.after(text) == State::busy);
    self.set_go();
    co_await self.settle();
    CHECK((self.state() == State::idle || text.ends_with("{\"in\"")));
  });
}

TEST_CASE("a request is running again when what was beside it is over") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.after(kCall) == State::running);
    SUBCASE("an instant method with an id, in another dialect") {
      CHECK(co_await self.after("{\"in\":\"echo\",\"id\":2}\n") == State::running);
      CHECK(self.seen == State::busy);
      CHECK(Snapshot(self.entry).dialect() == Dialect::json_rpc);
    }
    SUBCASE("another call") {
      CHECK(co_await self.after("{\"in\":\"other\",\"id\":2}\n") == State::busy);
      self.other_goes = true;
      self.changed.notify_all();
      co_await self.settle();
      CHECK(self.state() == State::running);
    }
    SUBCASE("the call that was first") {
      CHECK(co_await self.after("{\"in\":\"other\",\"id\":2}\n") == State::busy);
      self.set_go();
      co_await self.settle();
      CHECK(self.state() == State::running);
      CHECK(self.id() == "2");
      CHECK(Snapshot(self.entry).dialect() == Dialect::article);
      co_return;
    }
    CHECK(self.id() == "\"one\"");
  });
}

TEST_CASE("a connection with half a frame is busy, and a request before it is answered") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.after("{\"in\":\"echo\",") == State::busy);
    CHECK(co_await self.after("\"params\":1}\n") == State::idle);
    CHECK(co_await self.line(self.client) == kEchoed);
  });
}

TEST_CASE("a connection is busy until its client has taken the reply") {
  SessionLimits limits;
  limits.max_frame = 8 << 20;
  Recorded recorded(limits);
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    const std::string params(std::size_t{4} << 20, 'x');
    const std::string request = "{\"in\":\"echo\",\"params\":\"" + params + "\"}\n";
    std::string_view rest = request;
    while (!rest.empty()) {
      const ssize_t size = send(self.client.get(), rest.data(), rest.size(), MSG_DONTWAIT);
      if (size > 0) { rest.remove_prefix(static_cast<std::size_t>(size)); }
      co_await self.reactor.yield();
    }
    co_await self.settle();
    CHECK(self.state() == State::busy);
    CHECK((co_await self.line(self.client)).size() == request.size() + 1);
    co_await self.settle();
    CHECK(self.state() == State::idle);
  });
}

TEST_CASE("a request that is unread when its connection comes idle is found") {
  Recorded recorded;
  recorded.begin({.socket = {}, .framing = Framing::lines});
  recorded.write(kEcho);
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.line(self.client) == kEchoed);
    co_await self.settle();
    CHECK(self.state() == State::idle);
  });
}

TEST_CASE("bytes that came along are touched when they are answered") {
  SessionLimits limits;
  limits.memory = std::make_shared<MemoryBudget>(64 << 10);
  Recorded recorded(limits);
  MemoryBudget::Share others(*limits.memory);
  SUBCASE("at once") {
    recorded.begin({.socket = {}, .unread = kCall});
    run(recorded, [](Recorded& self) -> Task<void> {
      co_await self.settle();
      CHECK(self.state() == State::running);
      CHECK(self.seen == State::running);
    });
  }
  SUBCASE("not before the process has memory for a call") {
    others.set(64 << 10);
    MemoryBudget::Share exempt(*limits.memory);
    REQUIRE(exempt.may_start_call());
    exempt.set(1);
    recorded.begin({.socket = {}, .framing = Framing::lines, .unread = kCall});
    run(recorded, [](Recorded& self) -> Task<void> {
      co_await self.settle();
      CHECK(self.begun == 0);
      CHECK(self.state() == State::received);
      self.context.drain(WhenDrained::give_back);
      co_await self.until_ended();
      CHECK(self.state() == State::received);
      REQUIRE(self.returned.size() == 1);
      CHECK(self.returned.front().unread == kCall);
    });
  }
}

TEST_CASE("a reply that is owed is written before anything is read") {
  Recorded recorded;
  const std::string owed = "{\"error\":{\"code\":-32004}}\n";
  recorded.begin({.socket = {}, .framing = Framing::lines, .owed = owed});
  CHECK(recorded.state() == State::received);
  recorded.write(kEcho);
  run(recorded, [&](Recorded& self) -> Task<void> {
    CHECK(co_await self.line(self.client) == owed);
    CHECK(co_await self.line(self.client) == kEchoed);
    co_await self.settle();
    CHECK(self.state() == State::idle);
  });
}

/// Makes the kernel take nothing more for the client.
void fill(int socket) {
  const std::array<char, 4096> bytes{};
  while (send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) { continue; }
}

TEST_CASE("a reply that is owed to a client that does not read keeps its connection busy") {
  SessionLimits limits;
  limits.write_timeout = std::chrono::hours(1);
  Recorded recorded(limits);
  auto [server, client] = make_socket_pair(SOCK_STREAM);
  fill(server.get());
  recorded.client = std::move(client);
  recorded.entry.begin(State::received, 1, Framing::lines, Dialect::article);
  Session::open(recorded.context, {.socket = std::move(server),
                                   .framing = Framing::lines,
                                   .owed = "{}\n",
                                   .entry = &recorded.entry});
  run(recorded, [](Recorded& self) -> Task<void> {
    co_await self.settle();
    CHECK(self.state() == State::busy);
    self.context.drain(WhenDrained::give_back);
    co_await self.settle();
    CHECK(self.returned.empty());
    std::array<char, 65536> bytes{};
    while (recv(self.client.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) { continue; }
    co_await self.until_ended();
    CHECK(self.returned.size() == 1);
    CHECK(self.state() == State::idle);
    CHECK(recv(self.client.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) == 3);
  });
}

TEST_CASE("a connection that is given back is idle, or busy if bytes of a frame travel with it") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    State expected = State::idle;
    SUBCASE("between two frames") {
      CHECK(co_await self.after(kEcho) == State::idle);
    }
    SUBCASE("within a frame") {
      CHECK(co_await self.after("{\"in\"") == State::busy);
      expected = State::busy;
    }
    self.context.drain(WhenDrained::give_back);
    co_await self.until_ended();
    CHECK(self.returned.size() == 1);
    CHECK(self.state() == expected);
  });
}

TEST_CASE("a connection that ends is closed in the ledger before its client can see the end") {
  SessionLimits limits;
  limits.idle_timeout = limits.linger_timeout = std::chrono::hours(1);
  limits.max_frame = 100;
  Recorded recorded(limits);
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.after(kEcho) == State::idle);
    SUBCASE("by its client") {
      self.client.reset();
    }
    SUBCASE("when the server drains") {
      self.context.drain(WhenDrained::close);
    }
    SUBCASE("when it makes way for another") {
      self.context.close_idlest();
    }
    SUBCASE("on a broken protocol") {
      CHECK(co_await self.after(std::string(101, 'x') + "\n") == State::busy);
      self.client.reset();
    }
    co_await self.until_ended();
    CHECK(self.state() == State::closed);
  });
}

TEST_CASE("a connection whose client has left is busy until its calls have ended") {
  Recorded recorded;
  recorded.begin();
  run(recorded, [](Recorded& self) -> Task<void> {
    CHECK(co_await self.after("{\"jsonrpc\":\"2.0\",\"method\":\"slow\"}\n") == State::silent);
    self.client.reset();
    co_await self.settle();
    CHECK(self.state() != State::idle);
    CHECK(self.state() != State::closed);
    self.set_go();
    co_await self.until_ended();
    CHECK(self.state() == State::closed);
  });
}

}  // namespace
}  // namespace handoff
