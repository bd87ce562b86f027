// SPDX-License-Identifier: MIT
#include "os/listener.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

Listener listen_at(const std::string& address, ListenOptions options = {}) {
  return listen_on(Address::parse(address), options);
}

/// A client of the listener's address.
Fd connect_to_listener(const Listener& listener) {
  const SocketAddress address = Address::parse(listener.text()).resolve().front();
  Fd client = make_socket(address);
  CHECK((connect(client.get(), address.data(), address.size()) == 0 || errno == EINPROGRESS));
  return client;
}

/// Whether a client that connects can be accepted.
bool serves(const Listener& listener) {
  const Fd client = connect_to_listener(listener);
  return test::becomes_readable(listener.fd()) &&
         try_accept(listener.fd()).outcome == Accepted::Outcome::connection;
}

int option(int socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(getsockopt(socket, level, name, &value, &size) == 0);
  return value;
}

TEST_CASE(
    "a listener on port 0 tells the port that it got, and blocks neither itself nor a child") {
  const test::DescriptorCheck check;
  const Listener listener = listen_at("127.0.0.1:0");
  CHECK(listener.text() == local_address(listener.fd()).text());
  CHECK(!listener.text().ends_with(":0"));
  CHECK(test::is_nonblocking(listener.fd()));
  CHECK(test::closes_on_exec(listener.fd()));
  CHECK(listener.lock() == -1);
  CHECK(try_accept(listener.fd()).outcome == Accepted::Outcome::would_block);
  CHECK(serves(listener));
}

TEST_CASE("a listener that is made for another program blocks") {
  const Listener listener = listen_at("127.0.0.1:0", {.blocking = true});
  CHECK(!test::is_nonblocking(listener.fd()));
}

TEST_CASE("a connection that is accepted has TCP_NODELAY from its listener") {
  const Listener listener = listen_at("127.0.0.1:0");
  const Fd client = connect_to_listener(listener);
  REQUIRE(test::becomes_readable(listener.fd()));
  const Accepted accepted = try_accept(listener.fd());
  REQUIRE(accepted.outcome == Accepted::Outcome::connection);
  CHECK(option(accepted.fd.get(), IPPROTO_TCP, TCP_NODELAY) == 1);
}

TEST_CASE("an address that other hosts reach is refused until that is allowed") {
  const auto error = test::thrown_by<NotLoopback>([] { (void)listen_at("0.0.0.0:0"); });
  CHECK(std::string(error.what()) == "cannot listen on 0.0.0.0:0: other hosts could connect");
  CHECK(serves(listen_at("127.0.0.1:0", {.allow_public = true})));
  CHECK(listen_at("0.0.0.0:0", {.allow_public = true}).text().starts_with("0.0.0.0:"));
}

TEST_CASE("an address that another process has is in use, and nothing stays open") {
  const test::DescriptorCheck check;
  const Listener first = listen_at("127.0.0.1:0");
  const std::size_t before = test::open_descriptors();
  const auto error = test::thrown_by<SystemError>([&] { (void)listen_at(first.text()); });
  CHECK(error.error_number() == EADDRINUSE);
  CHECK(test::open_descriptors() == before);
}

TEST_CASE("an abstract name has no file, and says that anybody on this host can connect") {
  const std::string name = "@handoff-test-" + std::to_string(getpid());
  const Listener listener = listen_at(name);
  CHECK(listener.text() == name);
  CHECK(listener.is_abstract());
  CHECK(!listen_at("127.0.0.1:0").is_abstract());
  CHECK(serves(listener));
}

TEST_CASE("a command can't be listened on") {
  CHECK_THROWS_AS((void)listen_at("exec:cat"), InvalidArgument);
}

TEST_CASE("a descriptor that listens is taken as it is, and closed with its listener") {
  Listener given = listen_at("127.0.0.1:0", {.blocking = true});
  const std::string text = given.text();
  const int number = given.release().release();
  {
    const Listener listener = listen_at("fd:" + std::to_string(number));
    CHECK(listener.fd() == number);
    CHECK(listener.text() == text);
    CHECK(test::is_nonblocking(number));
    CHECK(serves(listener));
  }
  CHECK(!test::is_open(number));
}

TEST_CASE("a descriptor that does not listen is refused and left open") {
  const auto [one, other] = make_socket_pair(SOCK_STREAM);
  const std::string address = "fd:" + std::to_string(one.get());
  CHECK_THROWS((void)listen_at(address));
  CHECK(test::is_open(one.get()));
}

TEST_CASE("a listener that another process has shut down listens again on its own port") {
  Listener listener = listen_at("127.0.0.1:0");
  const std::string text = listener.text();
  CHECK(!listener.is_shut_down());
  shutdown(listener.fd(), SHUT_RD);
  CHECK(listener.is_shut_down());
  // The kernel frees a port that it chose itself: the listener may have to take it again.
  listener.heal();
  CHECK(!listener.is_shut_down());
  CHECK(listener.text() == text);
  CHECK(local_address(listener.fd()).text() == text);
  CHECK(test::is_nonblocking(listener.fd()));
  CHECK(serves(listener));
}

TEST_CASE(
    "a named socket that was shut down is replaced under its name, with its mode and its way") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("socket");
  for (const bool blocking : {false, true}) {
    Listener listener = listen_at(path, {.mode = 0640, .blocking = blocking});
    const FileIdentity before = listener.file();
    shutdown(listener.fd(), SHUT_RD);
    CHECK(listener.is_shut_down());
    CHECK(!listener.heal());
    CHECK(!listener.is_shut_down());
    CHECK(!(listener.file() == before));
    CHECK(identity_of_name(path) == listener.file());
    CHECK((std::filesystem::status(path).permissions() == std::filesystem::perms(0640)));
    CHECK(test::is_nonblocking(listener.fd()) == !blocking);
    CHECK(serves(listener));
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a named socket is not replaced when the name is another file's by then") {
  const test::TemporaryDirectory directory;
  Listener listener = listen_at(directory.path("socket"));
  std::filesystem::remove(directory.path("socket"));
  test::write_file(directory.path("socket"), "mine");
  shutdown(listener.fd(), SHUT_RD);
  const auto error = test::thrown_by<SystemError>([&] { listener.heal(); });
  CHECK(error.error_number() == EADDRINUSE);
  CHECK(test::read_file(directory.path("socket")) == "mine");
}

TEST_CASE("a listener that is adopted leaves the names to the process that has made them") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("socket");
  Listener maker = listen_at(path);
  {
    Listener adopted =
        Listener::adopt(Fd(dup(maker.fd())), path, Fd(dup(maker.lock())), maker.file());
    CHECK(adopted.text() == path);
    CHECK(adopted.file() == maker.file());
    shutdown(adopted.fd(), SHUT_RD);
    // It is for the owner to make another one.
    CHECK_THROWS_AS(adopted.heal(), SystemError);
  }
  CHECK(directory.entries() == 2);
}

TEST_CASE("the names go to a process that adopts a listener once it is made their owner") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("socket");
  Listener maker = listen_at(path);
  {
    Listener adopted =
        Listener::adopt(Fd(dup(maker.fd())), path, Fd(dup(maker.lock())), maker.file());
    adopted.set_owner(OwnedName::Owner::this_process);
    maker.set_owner(OwnedName::Owner::another_process);
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a named socket whose descriptor was given away has names that go with the listener") {
  const test::TemporaryDirectory directory;
  Fd socket;
  {
    Listener listener = listen_at(directory.path("socket"));
    socket = listener.release();
    CHECK(directory.entries() == 2);
  }
  CHECK(directory.entries() == 0);
  CHECK(is_listening(socket.get()));
}

}  // namespace
}  // namespace handoff
