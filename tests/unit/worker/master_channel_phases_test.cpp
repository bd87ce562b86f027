// SPDX-License-Identifier: MIT
// The table above MasterChannel::enter, and what an owner may do from its callbacks.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"
#include "worker/master_channel.hpp"

namespace handoff {
namespace {

/// From now on nothing can be sent on a socket by this thread, as under a security module.
void forbid_sending() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendmsg, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/// A worker's end of a channel, and the master's in the hands of the test.
class Fixture {
 public:
  using Origin = MasterChannel::Origin;

  explicit Fixture(Origin origin = Origin::started) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    master = std::move(ours);
    link = std::make_shared<MasterChannel>(reactor, life(), traffic(), std::move(theirs), origin);
  }

  Task<void> turns() {
    for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
  }

  void send(const std::string& message, const std::vector<int>& descriptors = {}) const {
    CHECK(send_fds(master.get(), message, descriptors).outcome == SendOutcome::sent);
  }
  void pass(std::size_t count) const {
    const Fd connection = std::move(make_socket_pair(SOCK_STREAM).first);
    channel::PackedConnections packed(channel::Type::connection);
    while (packed.count() < count) { packed.add(Connection()); }
    send(packed.bytes(), std::vector<int>(count, connection.get()));
  }

  Reactor reactor;
  Fd master;
  std::shared_ptr<MasterChannel> link;
  std::size_t drained = 0;
  std::size_t gone = 0;
  std::size_t failures = 0;
  std::vector<Connection> passed;
  std::function<void()> on_passed = [] {};
  std::function<void()> on_drain = [] {};

 private:
  MasterChannel::LifeEvents life() {
    MasterChannel::LifeEvents events;
    events.failed = [this](int error) {
      CHECK(error == EPERM);
      ++failures;
    };
    events.drain_asked = [this](channel::Drain) {
      ++drained;
      on_drain();
    };
    events.master_gone = [this] { ++gone; };
    return events;
  }
  MasterChannel::TrafficEvents traffic() {
    MasterChannel::TrafficEvents events;
    events.connection_passed = [this](Connection connection) {
      passed.push_back(std::move(connection));
      on_passed();
    };
    return events;
  }
};

using P = MasterChannelPhase;
using Step = void (*)(Fixture&);

void do_nothing(Fixture&) {}
void say_drain(Fixture& its) {
  its.send(channel::encode_drain({}));
}
void hang_up(Fixture& its) {
  its.master.reset();
}
void fail_to_send(Fixture& its) {
  forbid_sending();
  its.link->send_ready();
}
void close_channel(Fixture& its) {
  its.link->close();
}

struct Row {
  const char* name;
  Step reached;
  bool settles;  ///< before the event there are turns of the loop
  P before;
  Step event;
  P at_once;
  P after;
  std::size_t gone;
  std::size_t failures;
};

constexpr Row kTable[] = {
    {"open, a message", do_nothing, true, P::open, say_drain, P::open, P::open, 0, 0},
    {"open, the end", do_nothing, true, P::open, hang_up, P::open, P::gone, 1, 0},
    {"open, a failure", do_nothing, true, P::open, fail_to_send, P::failed, P::failed_gone, 1, 1},
    {"open, close", do_nothing, true, P::open, close_channel, P::closed, P::closed, 0, 0},
    {"failed, the end", fail_to_send, false, P::failed, hang_up, P::failed, P::failed_gone, 1, 1},
    {"failed, a failure", fail_to_send, false, P::failed, fail_to_send, P::failed, P::failed_gone,
     1, 1},
    {"failed, close", fail_to_send, false, P::failed, close_channel, P::closed, P::closed, 0, 1},
    {"gone, a failure", hang_up, true, P::gone, fail_to_send, P::failed_gone, P::failed_gone, 1, 1},
    {"gone, close", hang_up, true, P::gone, close_channel, P::closed, P::closed, 1, 0},
    {"both, a failure", fail_to_send, true, P::failed_gone, fail_to_send, P::failed_gone,
     P::failed_gone, 1, 1},
    {"both, close", fail_to_send, true, P::failed_gone, close_channel, P::closed, P::closed, 1, 1},
    {"closed, a message", close_channel, true, P::closed, say_drain, P::closed, P::closed, 0, 0},
    {"closed, the end", close_channel, true, P::closed, hang_up, P::closed, P::closed, 0, 0},
    {"closed, a failure", close_channel, true, P::closed, fail_to_send, P::closed, P::closed, 0, 0},
    {"closed, close", close_channel, true, P::closed, close_channel, P::closed, P::closed, 0, 0},
};

Task<void> walk(Fixture& its, const Row& row) {
  its.link->start(1000);
  co_await its.turns();
  row.reached(its);
  if (row.settles) { co_await its.turns(); }
  CHECK(its.link->phase() == row.before);
  row.event(its);
  CHECK(its.link->phase() == row.at_once);
  co_await its.turns();
  CHECK(its.link->phase() == row.after);
  CHECK(its.gone == row.gone);
  CHECK(its.failures == row.failures);
  its.link->close();
}

TEST_CASE("a worker's channel goes from each phase by each event as its table says") {
  const test::DescriptorCheck check;
  for (const Row& row : kTable) {
    CAPTURE(row.name);
    // What is forbidden is so for this thread alone.
    std::thread([&row] {
      Fixture fixture;
      fixture.reactor.run(walk(fixture, row));
    }).join();
  }
}

TEST_CASE("connections whose STARTED can't be sent are the master's, and are not begun") {
  const test::DescriptorCheck check;
  std::thread([] {
    Fixture fixture;
    fixture.reactor.run([](Fixture& its) -> Task<void> {
      its.link->start(1000);
      co_await its.turns();
      its.pass(3);
      forbid_sending();
      co_await its.turns();
      CHECK(its.passed.empty());
      CHECK(its.failures == 1);
      CHECK(its.gone == 1);
      its.link->close();
    }(fixture));
  }).join();
}

TEST_CASE("a worker that has joined does not begin what a master that is gone has passed") {
  const test::DescriptorCheck check;
  for (const bool joined : {false, true}) {
    CAPTURE(joined);
    Fixture fixture(joined ? Fixture::Origin::joined : Fixture::Origin::started);
    fixture.reactor.run([](Fixture& its) -> Task<void> {
      its.link->start(1000);
      co_await its.turns();
      its.pass(2);
      its.master.reset();
      co_await its.turns();
      its.link->close();
    }(fixture));
    CHECK(fixture.passed.size() == (joined ? 0 : 2));
    CHECK(fixture.gone == 1);
  }
}

TEST_CASE("an owner that closes the channel when a connection is passed gets no more of them") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.on_passed = [&] { fixture.link->close(); };
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    its.link->start(1000);
    co_await its.turns();
    its.pass(3);
    its.send(channel::encode_drain({}));
    co_await its.turns();
  }(fixture));
  CHECK(fixture.passed.size() == 1);
  CHECK(fixture.drained == 0);
  CHECK(fixture.link->phase() == P::closed);
}

TEST_CASE("an owner may give a connection back, and finish one, as soon as they are passed") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.on_passed = [&] {
    fixture.link->finished(fixture.passed.back().id);
    fixture.link->give_back(std::move(fixture.passed.front()));
  };
  fixture.reactor.run([](Fixture& its) -> Task<void> {
    its.link->start(1000);
    co_await its.turns();
    its.pass(1);
    co_await its.turns();
    std::vector<channel::Type> types;
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      const ReceiveResult result = recv_fds(its.master.get(), packet, channel::kMaxDescriptors);
      if (result.outcome != ReceiveOutcome::received) { break; }
      types.push_back(channel::decode({packet.data(), result.size})->type);
    }
    using T = channel::Type;
    CHECK(types == std::vector{T::hello, T::ready, T::started, T::returned, T::finished});
    CHECK(its.link->idle());
    its.link->close();
  }(fixture));
}

TEST_CASE("what an owner throws from a callback ends the reactor's run") {
  Fixture fixture;
  fixture.on_drain = [] { throw std::runtime_error("enough"); };
  const auto error = test::thrown_by<std::runtime_error>([&] {
    fixture.reactor.run([](Fixture& its) -> Task<void> {
      its.link->start(1000);
      its.send(channel::encode_drain({}));
      co_await its.turns();
    }(fixture));
  });
  CHECK(std::string(error.what()) == "enough");
}

}  // namespace
}  // namespace handoff
