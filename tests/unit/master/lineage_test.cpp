// SPDX-License-Identifier: MIT
#include "master/lineage.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/socket_address.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

void ignore_report(Severity, std::string_view) {}

/// NOTIFY_SOCKET for as long as it lives.
class Environment {
 public:
  explicit Environment(const std::string& socket) { setenv("NOTIFY_SOCKET", socket.c_str(), 1); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { unsetenv("NOTIFY_SOCKET"); }
};

Fd bind_datagram(const std::string& path) {
  const SocketAddress address = SocketAddress::unix_path(path);
  Fd socket = make_socket(address, SOCK_DGRAM);
  REQUIRE(bind(socket.get(), address.data(), address.size()) == 0);
  return socket;
}

struct Successor {
  explicit Successor(pid_t predecessor) {
    auto [original, link] = make_socket_pair(SOCK_SEQPACKET);
    end = std::move(original);
    lineage.emplace(reactor, ignore_report, ServiceManager(), std::move(link), predecessor);
  }
  Reactor reactor;
  Fd end;
  std::optional<Lineage> lineage;
};

TEST_CASE("who is started without a manager stays") {
  Reactor reactor;
  const Lineage lineage(reactor, ignore_report, ServiceManager(), Fd(), 0);
  CHECK(lineage.role() == Lineage::Role::original);
}

TEST_CASE("nobody stays where a service manager listens") {
  const test::TemporaryDirectory folder;
  const std::string path = folder.path("notify");
  const Environment environment(path);
  Reactor reactor;
  SUBCASE("it does") {
    const Fd manager = bind_datagram(path);
    Lineage lineage(reactor, ignore_report, ServiceManager(), Fd(), 0);
    CHECK(lineage.role() == Lineage::Role::managed);
    CHECK(lineage.end_for_successor() == -1);
  }
  SUBCASE("the variable is from a service that has ended") {
    const Lineage lineage(reactor, ignore_report, ServiceManager(), Fd(), 0);
    CHECK(lineage.role() == Lineage::Role::original);
  }
  SUBCASE("a successor goes on with what the process before it was") {
    const Fd manager = bind_datagram(path);
    CHECK(Successor(0).lineage->role() == Lineage::Role::successor);
  }
}

TEST_CASE("a successor sees the end of the original process") {
  Successor successor(0);
  CHECK(successor.lineage->original() == getpid());
  successor.end.reset();
  successor.reactor.run(successor.lineage->watch());
  CHECK(successor.lineage->original_ended());
}

TEST_CASE("a successor knows whether the original process is its predecessor") {
  CHECK(Successor(getpid()).lineage->predecessor_is_original());
  CHECK_FALSE(Successor(getppid()).lineage->predecessor_is_original());
}

TEST_CASE("a successor on its own is the original process of its successors") {
  Successor successor(getpid());
  successor.lineage->become_original();
  CHECK(successor.lineage->role() == Lineage::Role::original);
  CHECK_FALSE(successor.lineage->predecessor_is_original());
  CHECK(successor.lineage->end_for_successor() >= 0);
}

TEST_CASE("a signal to a group counts once, however many masters forward it") {
  constexpr pid_t kPredecessor = 2;
  const pid_t original = getpid();
  Successor successor(kPredecessor);
  Lineage& lineage = *successor.lineage;
  CHECK(lineage.stop_asked(0) == 1);
  CHECK(lineage.stop_asked(original) == 1);
  CHECK(lineage.stop_asked(kPredecessor) == 1);
  SUBCASE("a second one to the group") {
    CHECK(lineage.stop_asked(kPredecessor) == 2);
    CHECK(lineage.stop_asked(0) == 2);
  }
  SUBCASE("a second one that is forwarded") {
    CHECK(lineage.stop_asked(original) == 2);
  }
  SUBCASE("others are not told apart") {
    CHECK(lineage.stop_asked(4711) == 2);
  }
}

TEST_CASE("a successor tells the original process of its own successor") {
  Successor successor(0);
  const Child child(getpid(), make_pipe().read_end);
  CHECK(successor.lineage->end_for_successor() >= 0);
  successor.lineage->successor_started(child);
  successor.lineage->successor_failed();
  successor.lineage->tell_end(124);
  successor.lineage->successor_started(child);
  successor.lineage->successor_took_over();
  successor.lineage->tell_end(0);
  std::array<char, 8> bytes{};
  const auto receive = [&] {
    ReceiveResult result = recv_fds(successor.end.get(), bytes, 1);
    REQUIRE(result.outcome == ReceiveOutcome::received);
    return std::pair(std::string(bytes.data(), result.size), result.descriptors.size());
  };
  CHECK(receive() == std::pair(std::string("s"), std::size_t{1}));  // of itself
  CHECK(receive() == std::pair(std::string("s"), std::size_t{1}));
  CHECK(receive() == std::pair(std::string("e\x7c"), std::size_t{0}));
  CHECK(receive() == std::pair(std::string("s"), std::size_t{1}));
  CHECK(receive() == std::pair(std::string("t"), std::size_t{0}));
  CHECK(recv_fds(successor.end.get(), bytes, 1).outcome == ReceiveOutcome::would_block);
}

TEST_CASE("a successor names itself to an original process that is not its predecessor") {
  std::array<char, 8> bytes{};
  SUBCASE("it may not know of it yet") {
    Successor successor(getppid());
    ReceiveResult result = recv_fds(successor.end.get(), bytes, 1);
    REQUIRE(result.outcome == ReceiveOutcome::received);
    CHECK(std::string(bytes.data(), result.size) == "s");
    CHECK(result.descriptors.size() == 1);
  }
  SUBCASE("it has started it") {
    Successor successor(getpid());
    CHECK(recv_fds(successor.end.get(), bytes, 1).outcome == ReceiveOutcome::would_block);
  }
}

TEST_CASE("a process stays only if a successor has taken over") {
  Reactor reactor;
  Lineage lineage(reactor, ignore_report, ServiceManager(), Fd(), 0);
  const Child child(getpid(), make_pipe().read_end);
  CHECK(lineage.leave() == nullptr);
  for (const bool succeeds : {false, true}) {
    CHECK(lineage.end_for_successor() >= 0);
    lineage.successor_started(child);
    if (!succeeds) {
      lineage.successor_failed();
      CHECK(lineage.leave() == nullptr);
    }
  }
  lineage.successor_took_over();
  CHECK(lineage.leave() != nullptr);
}

}  // namespace
}  // namespace handoff
