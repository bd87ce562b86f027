// SPDX-License-Identifier: MIT
#include "commands/receive.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>
#include <handoff/pass/handover.hpp>
#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// fdrecv with senders that the test plays: one that it is given, or as many as connect.
struct Receiving {
  Receiving() {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    sender = std::move(theirs);
    given = std::move(ours);
    options.rendezvous.socket = parse_socket("fd:" + std::to_string(given.get()), -1);
  }

  void listen() {
    given.reset();
    sender.reset();
    options.rendezvous.socket = parse_socket(directory.path("s"), -1);
    options.rendezvous.listen = true;
  }
  void start() {
    log.emplace("fdrecv", errors.write_end.get());
    command.emplace(reactor, signals, options, *log);
    (void)given.release();  // it is the command's, from its first step on
  }
  Received run() {
    start();
    return reactor.run_for_result(command->run());
  }
  template <typename Error>
  std::string failure() {
    return test::thrown_by<Error>([&] { run(); }).what();
  }
  /// A sender that is connected, or waits in the backlog.
  Fd connect() const {
    const SocketAddress address = SocketAddress::unix_path(directory.path("s"));
    Fd socket = make_socket(address);
    REQUIRE(::connect(socket.get(), address.data(), address.size()) == 0);
    return socket;
  }
  std::string name() const { return options.rendezvous.socket.text; }
  bool has_logged() const {
    pollfd asked{errors.read_end.get(), POLLIN, 0};
    return poll(&asked, 1, 0) == 1;
  }
  std::string logged() {
    errors.write_end.reset();
    return test::read_until_end(errors.read_end.get());
  }

  test::TemporaryDirectory directory;
  SignalMask signals{SIGTERM};
  Pipe errors = make_pipe();
  Pipe pipe = make_pipe();  ///< something to send
  ReceiveOptions options;
  Fd sender;
  Fd given;
  Reactor reactor;
  std::optional<StderrLog> log;
  std::optional<ReceiveCommand> command;
};

void send(const Fd& socket, std::string_view bytes, const std::vector<int>& numbers) {
  REQUIRE(send_fds(socket.get(), bytes, numbers).outcome == SendOutcome::sent);
}

TEST_CASE("the descriptor of the only message is given, and nothing else stays open") {
  const test::DescriptorCheck check;
  Receiving receiving;
  send(receiving.sender, "x", {receiving.pipe.read_end.get()});
  const Received received = receiving.run();
  REQUIRE(received.descriptors.size() == 1);
  CHECK(test::same_file(received.descriptors.front().get(), receiving.pipe.read_end.get()));
}

TEST_CASE("a sender that wants to know is told once the descriptor is taken") {
  Receiving receiving;
  const std::string message = handover::encode({{"web"}, true});
  send(receiving.sender, message, {receiving.pipe.read_end.get()});
  const Received received = receiving.run();
  CHECK(received.names == std::vector<std::string>{"web"});
  std::array<char, 2> answer{};
  CHECK(recv(receiving.sender.get(), answer.data(), answer.size(), MSG_DONTWAIT) == 1);
  CHECK(answer[0] == handover::kConfirmation);
}

TEST_CASE("a message that is not what was expected is refused, and why is said") {
  const test::DescriptorCheck check;
  Receiving receiving;
  const int number = receiving.pipe.read_end.get();
  std::string problem;
  SUBCASE("bytes alone") {
    send(receiving.sender, "x", {});
    problem = "bytes came without a descriptor";
  }
  SUBCASE("too many descriptors") {
    send(receiving.sender, "x", {number, number});
    problem = "2 descriptors came where 1 was expected";
  }
  SUBCASE("too few descriptors") {
    receiving.options.placement = ReceiveOptions::Placement::numbers;
    receiving.options.numbers = {3, 4};
    send(receiving.sender, "x", {number});
    problem = "1 descriptors came where 2 was expected";
  }
  SUBCASE("nothing") {
    receiving.sender.reset();
    problem = "the sender closed and sent nothing";
  }
  CHECK(receiving.failure<ProtocolError>() ==
        "cannot receive on " + receiving.name() + ": " + problem);
}

TEST_CASE("any number of descriptors is taken for a list of listeners") {
  Receiving receiving;
  const int number = receiving.pipe.read_end.get();
  receiving.options.placement = ReceiveOptions::Placement::listen_fds;
  send(receiving.sender, "x", {number, number, number});
  CHECK(receiving.run().descriptors.size() == 3);
}

TEST_CASE("a sender that sends nothing in time is told with the limit") {
  Receiving receiving;
  receiving.options.rendezvous.timeout = milliseconds(5);
  CHECK(receiving.failure<TimedOut>() ==
        "cannot receive on " + receiving.name() + ": timed out after 5ms");
}

TEST_CASE("a sender that is silent does not hold up another one") {
  const test::DescriptorCheck check;
  Receiving receiving;
  receiving.listen();
  receiving.start();
  const Fd silent = receiving.connect();
  const Fd other = receiving.connect();
  send(other, "x", {receiving.pipe.read_end.get()});
  const Received received = receiving.reactor.run_for_result(receiving.command->run());
  CHECK(received.descriptors.size() == 1);
  receiving.command.reset();
}

TEST_CASE("in JSON what was received is printed, confirmed and closed") {
  Receiving receiving;
  receiving.options.json = true;
  send(receiving.sender, handover::encode({{"a", "b"}, true}),
       {receiving.pipe.read_end.get(), receiving.pipe.write_end.get()});
  const std::string printed = test::written_to(STDOUT_FILENO, [&] { receiving.run(); });
  CHECK(printed == "{\"name\":\"a\",\"type\":\"pipe\"}\n{\"name\":\"b\",\"type\":\"pipe\"}\n");
  CHECK(test::becomes_readable(receiving.sender.get()));
}

TEST_CASE("a receiver that goes on ends after so many messages, of one sender or of several") {
  Receiving receiving;
  receiving.listen();
  receiving.options.json = true;
  receiving.options.keep = true;
  receiving.options.count = 3;
  const std::string printed = test::written_to(STDOUT_FILENO, [&] {
    receiving.start();
    const Fd first = receiving.connect();
    const Fd second = receiving.connect();
    send(first, handover::encode({{"a"}, false}), {receiving.pipe.read_end.get()});
    send(first, handover::encode({{"a"}, false}), {receiving.pipe.read_end.get()});
    send(second, handover::encode({{"a"}, false}), {receiving.pipe.read_end.get()});
    receiving.reactor.run_for_result(receiving.command->run());
  });
  const std::string line = "{\"name\":\"a\",\"type\":\"pipe\"}\n";
  CHECK(printed == line + line + line);
}

TEST_CASE("a sender of many that breaks the protocol is told, and the others are received") {
  Receiving receiving;
  receiving.listen();
  receiving.options.json = true;
  receiving.options.keep = true;
  receiving.options.count = 1;
  test::written_to(STDOUT_FILENO, [&] {
    receiving.start();
    const Fd bad = receiving.connect();
    send(bad, "x", {});
    const Fd good = receiving.connect();
    receiving.reactor.run([](Receiving& its, const Fd& sender) -> Task<void> {
      its.reactor.spawn([](Receiving& of, const Fd& later) -> Task<void> {
        while (!of.has_logged()) { co_await of.reactor.yield(); }
        send(later, "x", {of.pipe.read_end.get()});
      }(its, sender));
      co_await its.command->run();
    }(receiving, good));
  });
  CHECK(receiving.logged() ==
        "fdrecv: cannot receive on " + receiving.name() + ": bytes came without a descriptor\n");
}

TEST_CASE("a receiver that goes on ends at a signal, and gives its socket up") {
  const test::DescriptorCheck check;
  Receiving receiving;
  receiving.listen();
  receiving.options.json = true;
  receiving.options.keep = true;
  receiving.start();
  CHECK(receiving.directory.entries() == 2);
  kill(getpid(), SIGTERM);
  CHECK(receiving.reactor.run_for_result(receiving.command->run()).descriptors.empty());
  receiving.command.reset();
  CHECK(receiving.directory.entries() == 0);
}

TEST_CASE("a command that can't be executed is refused before anything is received") {
  Receiving receiving;
  receiving.options.command = {"handoff-test-no-program"};
  const auto error = test::thrown_by<SystemError>([&] { receiving.start(); });
  CHECK(error.error_number() == ENOENT);
  CHECK(test::is_open(receiving.given.get()));
}

}  // namespace
}  // namespace handoff
