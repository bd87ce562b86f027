// SPDX-License-Identifier: MIT
#include "async/exec_child.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <utility>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>

#include "async/connect.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A command that has a socket as its stdin and stdout.
DialedSocket start(Reactor& reactor, const std::string& command) {
  return reactor.run_for_result(
      connect_to(reactor, Address::parse("exec:" + command), TimeLimit(), {}));
}

TEST_CASE("a command that ends by itself is reaped, and its status is kept") {
  const test::DescriptorCheck check;
  Reactor reactor;
  DialedSocket command = start(reactor, "exit 3");
  ExecChild child(reactor, std::move(*command.child));
  CHECK(reactor.run_for_result(child.ended()));
  CHECK(child.status().code == 3);
}

TEST_CASE("a command ends at the end of its input, and ending it waits for that") {
  const test::DescriptorCheck check;
  Reactor reactor;
  DialedSocket command = start(reactor, "cat; exit 4");
  ExecChild child(reactor, std::move(*command.child));
  command.socket.reset();
  CHECK(reactor.run_for_result(child.ended()));
  CHECK(child.status().code == 4);
  reactor.run(ExecChild::end(std::move(child)));
}

TEST_CASE("a command is reaped at once though nobody asks for its end") {
  const test::DescriptorCheck check;
  Reactor reactor;
  DialedSocket command = start(reactor, "exit 5");
  const Fd pidfd(fcntl(command.child->pidfd(), F_DUPFD_CLOEXEC, 0));
  ExecChild child(reactor, std::move(*command.child));
  const auto main = [&]() -> Task<void> {
    FdWatcher ended(reactor, pidfd.get());
    co_await ended.readable();
    for (int i = 0; i < 3; ++i) { co_await reactor.yield(); }
    CHECK(child.status().code == 5);
  };
  reactor.run(main());
}

TEST_CASE("a task that is destroyed while it waits for a command's end leaves the command to it") {
  const test::DescriptorCheck check;
  Reactor reactor;
  DialedSocket command = start(reactor, "cat; exit 6");
  ExecChild child(reactor, std::move(*command.child));
  const auto waits = [](ExecChild& of) -> Task<void> { (void)co_await of.ended(); };
  reactor.spawn(waits(child));
  const auto nothing = [](Reactor& loop) -> Task<void> { co_await loop.yield(); };
  reactor.run(nothing(reactor));
  command.socket.reset();  // so that the destructor need not kill
}

}  // namespace
}  // namespace handoff
