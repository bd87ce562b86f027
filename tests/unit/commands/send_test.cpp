// SPDX-License-Identifier: MIT
#include "commands/send.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>
#include <handoff/pass/handover.hpp>
#include <handoff/wire/errors.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::milliseconds;

/// fdsend with a receiver that the test plays.
struct Sending {
  Sending() {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    receiver = std::move(theirs);
    options.rendezvous.socket = parse_socket("fd:" + std::to_string(ours.release()), -1);
  }

  void add(int number) {
    options.sources.push_back({Source::Kind::inherited, std::to_string(number)});
  }
  ExitCode run() {
    StderrLog log("fdsend", errors.write_end.get());
    Reactor reactor;
    SendCommand command(reactor, options, log);
    return reactor.run_for_result([](SendCommand& send, const SignalMask& mask) -> Task<ExitCode> {
      co_await send.open_sources();
      const ExitCode code = co_await send.run(mask);
      co_return code;
    }(command, signals));
  }
  ReceiveResult received() const {
    std::string bytes(4096, '\0');
    ReceiveResult result = recv_fds(receiver.get(), bytes, kMaxDescriptorsPerMessage);
    REQUIRE(result.outcome == ReceiveOutcome::received);
    return result;
  }
  /// What a command that was not run says against its options or its words.
  std::string problem() {
    return test::thrown_by<InvalidArgument>([&] { run(); }).what();
  }
  std::string logged() {
    errors.write_end.reset();
    return test::read_until_end(errors.read_end.get());
  }

  SignalMask signals{SIGTERM};
  Pipe errors = make_pipe();
  SendOptions options;
  Fd receiver;
};

TEST_CASE("descriptors are sent in the order in which they were given, with one byte") {
  const test::DescriptorCheck check;
  const Pipe first = make_pipe();
  const Pipe second = make_pipe();
  Sending sending;
  sending.options.byte = 'x';
  sending.add(first.read_end.get());
  sending.add(second.read_end.get());
  CHECK(sending.run() == ExitCode::done);
  std::array<char, 8> bytes{};
  const ReceiveResult result = recv_fds(sending.receiver.get(), bytes, 5);
  REQUIRE(result.outcome == ReceiveOutcome::received);
  CHECK(std::string(bytes.data(), result.size) == "x");
  REQUIRE(result.descriptors.size() == 2);
  CHECK(test::same_file(result.descriptors[0].get(), first.read_end.get()));
  CHECK(test::same_file(result.descriptors[1].get(), second.read_end.get()));
}

TEST_CASE("without a source stdin is sent") {
  Sending sending;
  CHECK(sending.run() == ExitCode::done);
  const ReceiveResult result = sending.received();
  REQUIRE(result.descriptors.size() == 1);
  CHECK(test::same_file(result.descriptors[0].get(), STDIN_FILENO));
}

TEST_CASE("a file is opened as it was asked for, and sent") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("file");
  Sending sending;
  sending.options.sources = {{Source::Kind::file, path}};
  sending.options.open_mode = OpenMode::append;
  CHECK(sending.run() == ExitCode::done);
  const ReceiveResult result = sending.received();
  REQUIRE(result.descriptors.size() == 1);
  test::write_text(result.descriptors[0].get(), "text");
  CHECK(test::read_file(path) == "text");
}

TEST_CASE("names go in a header, one for each descriptor, and missing ones are empty") {
  const Pipe pipe = make_pipe();
  Sending sending;
  sending.add(pipe.read_end.get());
  sending.add(pipe.write_end.get());
  sending.options.names = {"web"};
  CHECK(sending.run() == ExitCode::done);
  std::array<char, 100> bytes{};
  const ReceiveResult result = recv_fds(sending.receiver.get(), bytes, 5);
  handover::Message message;
  CHECK(handover::decode({bytes.data(), result.size}, result.descriptors.size(), message) ==
        handover::Decoded::complete);
  CHECK(message.names == std::vector<std::string>{"web", ""});
  CHECK(!message.confirm);
}

TEST_CASE("a sender that wants to know is done when the receiver has confirmed") {
  Sending sending;
  sending.options.confirm = true;
  test::write_text(sending.receiver.get(), std::string(1, handover::kConfirmation));
  CHECK(sending.run() == ExitCode::done);
  CHECK(sending.received().descriptors.size() == 1);
}

TEST_CASE("a receiver that answers something else, or nothing in time, did not confirm") {
  Sending sending;
  sending.options.confirm = true;
  const std::string name = sending.options.rendezvous.socket.text;
  SUBCASE("something else") {
    test::write_text(sending.receiver.get(), "?");
    CHECK(std::string(test::thrown_by<ProtocolError>([&] { sending.run(); }).what()) ==
          "cannot send to " + name + ": the receiver did not confirm");
  }
  SUBCASE("nothing") {
    sending.options.rendezvous.timeout = milliseconds(5);
    CHECK(std::string(test::thrown_by<TimedOut>([&] { sending.run(); }).what()) ==
          "cannot send to " + name + ": the receiver did not confirm: timed out after 5ms");
  }
}

TEST_CASE("a receiver that has closed is gone") {
  const test::DescriptorCheck check;
  Sending sending;
  sending.receiver.reset();
  const std::string name = sending.options.rendezvous.socket.text;
  CHECK(std::string(test::thrown_by<ProtocolError>([&] { sending.run(); }).what()) ==
        "cannot send to " + name + ": the receiver is gone");
}

TEST_CASE("options that do not go together are refused before anything is opened") {
  Sending sending;
  SUBCASE("too many descriptors") {
    sending.options.sources.assign(254, {Source::Kind::inherited, "0"});
    CHECK(sending.problem() == "cannot send 254 descriptors: a message carries at most 253");
  }
  SUBCASE("more names than descriptors") {
    sending.options.names = {"a", "b"};
    CHECK(sending.problem() == "cannot give 2 names: there is 1 descriptor");
  }
  SUBCASE("a name that no list of names can have") {
    sending.options.names = {"a:b"};
    CHECK(sending.problem().starts_with("--name a:b: "));
  }
}

TEST_CASE("a word that names no source is refused with the option that it was given to") {
  Sending sending;
  const auto problem_of = [&](Source::Kind kind, const char* word) {
    sending.options.sources = {{kind, word}};
    return sending.problem();
  };
  CHECK(problem_of(Source::Kind::inherited, "x") == "x: write the number of a descriptor");
  CHECK(problem_of(Source::Kind::inherited, "-1") == "-1: write the number of a descriptor");
  CHECK(problem_of(Source::Kind::process, "1").starts_with("--pid 1: "));
  CHECK(problem_of(Source::Kind::tcp_listen, "./s") == "--tcp-listen ./s: write host:port");
  CHECK(problem_of(Source::Kind::tcp_connect, "./s") == "--tcp-connect ./s: write host:port");
}

TEST_CASE("a listener is made to be sent, blocks as programs expect it, and its address is told") {
  Sending sending;
  sending.options.sources = {{Source::Kind::tcp_listen, "127.0.0.1:0"}};
  CHECK(sending.run() == ExitCode::done);
  const ReceiveResult result = sending.received();
  REQUIRE(result.descriptors.size() == 1);
  const int listener = result.descriptors[0].get();
  CHECK(is_listening(listener));
  CHECK(!test::is_nonblocking(listener));
  CHECK(sending.logged() == "fdsend: listening, on " + local_address(listener).text() + "\n");
}

TEST_CASE("a connection is made to be sent, and blocks") {
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  Sending sending;
  sending.options.sources = {{Source::Kind::tcp_connect, listener.text()}};
  CHECK(sending.run() == ExitCode::done);
  const ReceiveResult result = sending.received();
  REQUIRE(result.descriptors.size() == 1);
  CHECK(peer_address(result.descriptors[0].get()).text() == listener.text());
  CHECK(!test::is_nonblocking(result.descriptors[0].get()));
}

TEST_CASE(
    "a sender that goes on serves each asker until a signal, and one that leaves costs nothing") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  Sending sending;
  close(sending.options.rendezvous.socket.number);
  sending.options.rendezvous.socket = parse_socket(directory.path("s"), -1);
  sending.options.rendezvous.listen = true;
  sending.options.keep = true;
  sending.options.confirm = true;
  StderrLog log("fdsend", sending.errors.write_end.get());
  Reactor reactor;
  SendCommand command(reactor, sending.options, log);
  reactor.run([](Reactor& runs, SendCommand& send, Sending& its, std::string path) -> Task<void> {
    co_await send.open_sources();
    runs.spawn([](SendCommand& sends, Sending& of) -> Task<void> {
      const ExitCode code = co_await sends.run(of.signals);
      CHECK(code == ExitCode::done);
      of.receiver.reset();
    }(send, its));
    co_await runs.yield();
    const SocketAddress address = SocketAddress::unix_path(path);
    for (int i = 0; i < 3; ++i) {
      Fd asker = make_socket(address);
      while (connect(asker.get(), address.data(), address.size()) < 0) { co_await runs.yield(); }
      std::array<char, 100> bytes{};
      ReceiveResult result = recv_fds(asker.get(), bytes, 5);
      while (result.outcome == ReceiveOutcome::would_block) {
        co_await runs.yield();
        result = recv_fds(asker.get(), bytes, 5);
      }
      CHECK(result.descriptors.size() == 1);
      if (i > 0) { test::write_text(asker.get(), std::string(1, handover::kConfirmation)); }
    }
    kill(getpid(), SIGTERM);
    while (its.receiver.valid()) { co_await runs.yield(); }
  }(reactor, command, sending, directory.path("s")));
  const std::string path = directory.path("s");
  CHECK(sending.logged() == "fdsend: ready, on " + path + "\nfdsend: cannot send to " + path +
                                ": the receiver did not confirm\n");
}

}  // namespace
}  // namespace handoff
