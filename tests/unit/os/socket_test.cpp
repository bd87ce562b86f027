// SPDX-License-Identifier: MIT
#include "os/socket.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = Accepted::Outcome;

int flag(int socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(getsockopt(socket, level, name, &value, &size) == 0);
  return value;
}

/// A blocking connection to where `listener` listens.
Fd connect_to_listener(const Listener& listener, int type = SOCK_STREAM) {
  const SocketAddress target = local_address(listener.fd());
  Fd socket(::socket(target.family(), type | SOCK_CLOEXEC, 0));
  REQUIRE(connect(socket.get(), target.data(), target.size()) == 0);
  return socket;
}

std::string unique_abstract_name() {
  return "@handoff-test-" + std::to_string(getpid());
}

TEST_CASE("a listener on port 0 tells the port that it got") {
  const test::DescriptorCheck check;
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  const SocketAddress bound = local_address(listener.fd());
  CHECK(bound.port() != 0);
  CHECK(listener.text() == "127.0.0.1:" + std::to_string(bound.port()));
  CHECK(test::closes_on_exec(listener.fd()));
  CHECK(test::is_nonblocking(listener.fd()));
  CHECK(!listener.is_abstract());
}

TEST_CASE("a port that is in use can't be listened on") {
  const test::DescriptorCheck check;
  const Listener listener = listen_on(Address::parse(":0"));
  const auto error =
      test::thrown_by<SystemError>([&] { (void)listen_on(Address::parse(listener.text())); });
  CHECK(error.error_number() == EADDRINUSE);
  CHECK(error.what() == "cannot listen on " + listener.text() + ": Address already in use");
}

TEST_CASE("an address that other hosts can reach needs to be allowed") {
  const test::DescriptorCheck check;
  for (const std::string text : {"0.0.0.0:0", "[::]:0", "192.0.2.1:80"}) {
    const auto error =
        test::thrown_by<InvalidArgument>([&] { (void)listen_on(Address::parse(text)); });
    CHECK(error.what() == "cannot listen on " + text + ": other hosts could connect");
  }
  const Listener listener = listen_on(Address::parse("0.0.0.0:0"), {.allow_public = true});
  CHECK(listener.text().starts_with("0.0.0.0:"));
}

TEST_CASE("a command can't be listened on") {
  const auto error =
      test::thrown_by<InvalidArgument>([] { (void)listen_on(Address::parse("exec:cat")); });
  CHECK(std::string(error.what()) == "cannot listen on exec:cat: a command can't be listened on");
}

TEST_CASE("an abstract name is listened on, and told to be abstract") {
  const test::DescriptorCheck check;
  const Address address = Address::parse(unique_abstract_name());
  const Listener listener = listen_on(address);
  CHECK(listener.is_abstract());
  CHECK(listener.text() == address.text);
  CHECK(local_address(listener.fd()).text() == address.text);
  connect_to_listener(listener);
  CHECK(try_accept(listener.fd()).outcome == Outcome::connection);
  CHECK(test::thrown_by<SystemError>([&] { (void)listen_on(address); }).error_number() ==
        EADDRINUSE);
}

TEST_CASE("a sequenced-packet listener accepts its own kind") {
  const test::DescriptorCheck check;
  const Listener listener =
      listen_on(Address::parse(unique_abstract_name()), {.type = SOCK_SEQPACKET});
  const Fd client = connect_to_listener(listener, SOCK_SEQPACKET);
  const Accepted accepted = try_accept(listener.fd());
  REQUIRE(accepted.outcome == Outcome::connection);
  CHECK(socket_type(accepted.fd.get()) == SOCK_SEQPACKET);
}

TEST_CASE("an inherited listening descriptor is taken over") {
  const test::DescriptorCheck check;
  const SocketAddress any = Address::parse("127.0.0.1:0").resolve().front();
  const int number = socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(bind(number, any.data(), any.size()) == 0);
  REQUIRE(listen(number, 1) == 0);
  {
    const Listener listener = listen_on(Address::parse("fd:" + std::to_string(number)));
    CHECK(listener.fd() == number);
    CHECK(listener.text() == local_address(number).text());
    CHECK(test::is_nonblocking(number));
    CHECK(test::closes_on_exec(number));
  }
  CHECK(!test::is_open(number));
}

TEST_CASE("an inherited descriptor that does not listen is refused, and stays open") {
  const test::DescriptorCheck check;
  const auto [connected, peer] = make_socket_pair(SOCK_STREAM);
  const std::string text = "fd:" + std::to_string(connected.get());
  const auto error =
      test::thrown_by<InvalidArgument>([&] { (void)listen_on(Address::parse(text)); });
  CHECK(error.what() == "cannot listen on " + text + ": the descriptor is not a listening socket");
  CHECK(test::is_open(connected.get()));

  const auto [read_end, write_end] = make_pipe();
  const std::string pipe = "fd:" + std::to_string(read_end.get());
  CHECK(test::thrown_by<SystemError>([&] {
          (void)listen_on(Address::parse(pipe));
        }).error_number() == ENOTSOCK);
}

TEST_CASE("an accepted connection blocks, is close-on-exec, and does not delay") {
  const test::DescriptorCheck check;
  const Listener listener = listen_on(Address::parse(":0"));
  CHECK(try_accept(listener.fd()).outcome == Outcome::would_block);
  const Fd client = connect_to_listener(listener);
  REQUIRE(test::becomes_readable(listener.fd()));
  const Accepted accepted = try_accept(listener.fd());
  REQUIRE(accepted.outcome == Outcome::connection);
  const int number = accepted.fd.get();
  CHECK(!test::is_nonblocking(number));
  CHECK(test::closes_on_exec(number));
  CHECK(flag(number, IPPROTO_TCP, TCP_NODELAY) != 0);
  CHECK(accepted.peer.text() == local_address(client.get()).text());
  CHECK(peer_address(number).text() == accepted.peer.text());
  CHECK(try_accept(listener.fd()).outcome == Outcome::would_block);
}

TEST_CASE("without a free descriptor accepting is exhausted, and then goes on") {
  const test::DescriptorCheck check;
  const Listener listener = listen_on(Address::parse(unique_abstract_name()));
  const Fd client = connect_to_listener(listener);
  const Accepted accepted = [&] {
    const test::DescriptorLimit none(0);
    return try_accept(listener.fd());
  }();
  CHECK(accepted.outcome == Outcome::exhausted);
  CHECK(accepted.error_number == EMFILE);
  CHECK(!accepted.fd.valid());
  CHECK(try_accept(listener.fd()).outcome == Outcome::connection);
}

TEST_CASE("accepting from a file is an error, and from what was shut down tells so") {
  const Fd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto error = test::thrown_by<SystemError>([&] { (void)try_accept(file.get()); });
  CHECK(error.error_number() == ENOTSOCK);
  CHECK(error.attempt() == "accept a connection");
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  REQUIRE(shutdown(listener.fd(), SHUT_RDWR) == 0);
  CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::shut_down);
}

TEST_CASE("a listener that was shut down is healed on the same address") {
  const test::TemporaryDirectory directory;
  for (const std::string& text : {std::string("127.0.0.1:0"), directory.path("socket")}) {
    CAPTURE(text);
    Listener listener = listen_on(Address::parse(text));
    const std::string address = listener.text();
    CHECK(!listener.is_shut_down());
    REQUIRE(shutdown(listener.fd(), SHUT_RDWR) == 0);
    CHECK(listener.is_shut_down());
    CHECK(!listener.heal());  // another socket, for the kernel has freed the port or keeps the path
    CHECK(!listener.is_shut_down());
    CHECK(listener.text() == address);
    CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::would_block);
    const SocketAddress target = Address::parse(address).resolve().front();
    const Fd client = make_socket(target);
    set_blocking(client.get());
    CHECK(connect(client.get(), target.data(), target.size()) == 0);
    CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::connection);
  }
}

TEST_CASE("a port that was asked for is healed for all who have the socket") {
  const std::string address = listen_on(Address::parse("127.0.0.1:0")).text();
  Listener listener = listen_on(Address::parse(address));
  const Fd shared = duplicate(listener.fd());
  REQUIRE(shutdown(shared.get(), SHUT_RDWR) == 0);
  CHECK(listener.heal());
  CHECK(try_accept(shared.get()).outcome == Accepted::Outcome::would_block);
}

TEST_CASE("a socket pair is connected, close-on-exec and blocking") {
  const test::DescriptorCheck check;
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const auto [left, right] = make_socket_pair(type);
    CHECK(socket_type(left.get()) == type);
    CHECK(test::closes_on_exec(left.get()));
    CHECK(test::closes_on_exec(right.get()));
    CHECK(!test::is_nonblocking(left.get()));
    test::write_text(left.get(), "x");
    char byte = 0;
    CHECK(read(right.get(), &byte, 1) == 1);
  }
}

TEST_CASE("a new socket neither blocks nor delays nor is inherited") {
  const test::DescriptorCheck check;
  const Fd tcp = make_socket(Address::parse("127.0.0.1:1").resolve().front());
  CHECK(test::is_nonblocking(tcp.get()));
  CHECK(test::closes_on_exec(tcp.get()));
  CHECK(flag(tcp.get(), IPPROTO_TCP, TCP_NODELAY) != 0);
  const Fd local = make_socket(SocketAddress::unix_path("/x"), SOCK_SEQPACKET);
  CHECK(socket_type(local.get()) == SOCK_SEQPACKET);
}

TEST_CASE("what is no socket has no type, and what has no peer no address") {
  const auto [read_end, write_end] = make_pipe();
  CHECK(socket_type(read_end.get()) == std::nullopt);
  CHECK(socket_type(-1) == std::nullopt);
  const Fd unconnected = make_socket(Address::parse("127.0.0.1:1").resolve().front());
  CHECK(peer_address(unconnected.get()).family() == 0);
  CHECK(peer_address(unconnected.get()).size() == 0);
}

}  // namespace
}  // namespace handoff
