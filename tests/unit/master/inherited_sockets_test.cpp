// SPDX-License-Identifier: MIT
#include "master/inherited_sockets.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>

#include "os/environment.hpp"
#include "os/sealed_memory.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// No descriptor of the test has such a number.
constexpr int kFirst = 500;

/// Gives the descriptors the numbers that they have in a successor.
void place(const EncodedSockets& encoded) {
  for (const auto& [here, there] : encoded.descriptors) { REQUIRE(dup2(here, there) == there); }
}

struct Sockets {
  explicit Sockets(const test::TemporaryDirectory& folder)
      : join(listen_on(Address::parse(folder.path("join \xff")), {.type = SOCK_SEQPACKET})),
        control(listen_on(Address::parse(folder.path("control")))) {
    for (const std::string& address : {std::string("127.0.0.1:0"), folder.path("listen"),
                                       "@handoff-inherited-" + std::to_string(getpid())}) {
      listeners.push_back(listen_on(Address::parse(address)));
    }
    std::tie(channel, other_end) = make_socket_pair(SOCK_SEQPACKET);
  }
  SocketsToInherit required() const {
    SocketsToInherit sockets;
    sockets.channel = channel.get();
    for (const Listener& listener : listeners) { sockets.listeners.push_back(&listener); }
    return sockets;
  }
  SocketsToInherit all() const {
    SocketsToInherit sockets = required();
    sockets.join = &join;
    sockets.control = &control;
    sockets.pidfile = pidfile.get();
    sockets.original = other_end.get();
    return sockets;
  }

  std::vector<Listener> listeners;
  Listener join;
  Listener control;
  Fd pidfile = make_input_file("pidfile", "1\n");
  Fd channel;
  Fd other_end;
};

void check_same(const Listener& inherited, const Listener& original) {
  CHECK(test::same_file(inherited.fd(), original.fd()));
  CHECK(inherited.text() == original.text());
  CHECK((inherited.lock() >= 0) == (original.lock() >= 0));
  CHECK(inherited.file() == original.file());
  if (original.lock() >= 0) { CHECK(test::same_file(inherited.lock(), original.lock())); }
}

TEST_CASE("a successor has all sockets that its predecessor leaves to it") {
  const test::TemporaryDirectory folder;
  const Sockets sockets(folder);
  const EncodedSockets encoded = encode(sockets.all(), kFirst);
  place(encoded);
  const InheritedSockets inherited = decode_inherited(encoded.text);
  CHECK(test::same_file(inherited.channel.get(), sockets.channel.get()));
  REQUIRE(inherited.sockets.listeners.size() == sockets.listeners.size());
  for (std::size_t i = 0; i < sockets.listeners.size(); ++i) {
    check_same(inherited.sockets.listeners[i], sockets.listeners[i]);
  }
  REQUIRE(inherited.sockets.join);
  check_same(*inherited.sockets.join, sockets.join);
  REQUIRE(inherited.sockets.control);
  check_same(*inherited.sockets.control, sockets.control);
  CHECK(test::same_file(inherited.pidfile.get(), sockets.pidfile.get()));
  CHECK(test::same_file(inherited.original.get(), sockets.other_end.get()));
}

TEST_CASE("a successor does not have what its predecessor had not") {
  const test::TemporaryDirectory folder;
  const Sockets sockets(folder);
  const EncodedSockets encoded = encode(sockets.required(), kFirst);
  place(encoded);
  const InheritedSockets inherited = decode_inherited(encoded.text);
  CHECK_FALSE(inherited.sockets.join);
  CHECK_FALSE(inherited.sockets.control);
  CHECK_FALSE(inherited.pidfile.valid());
  CHECK_FALSE(inherited.original.valid());
}

TEST_CASE("inherited names stay when the successor fails") {
  const test::TemporaryDirectory folder;
  const Sockets sockets(folder);
  const std::size_t names = folder.entries();
  const EncodedSockets encoded = encode(sockets.all(), kFirst);
  place(encoded);
  (void)decode_inherited(encoded.text);
  CHECK(folder.entries() == names);
}

TEST_CASE("descriptors are numbered one after another") {
  const test::TemporaryDirectory folder;
  const Sockets sockets(folder);
  const EncodedSockets encoded = encode(sockets.all(), 3);
  int next = 3;
  for (const auto& descriptor : encoded.descriptors) { CHECK(descriptor.second == next++); }
}

TEST_CASE("a text that says nothing of the sockets is an error") {
  for (const char* text : {"", "{}", "[]", R"({"channel": "x", "listeners": []})",
                           R"({"channel": 501, "listeners": [{"fd": 502}]})"}) {
    CAPTURE(text);
    CHECK_THROWS_AS((void)decode_inherited(text), InvalidArgument);
  }
}

TEST_CASE("the environment names the file with the text, once") {
  CHECK_FALSE(take_inherited_sockets());
  const test::TemporaryDirectory folder;
  const Sockets sockets(folder);
  const EncodedSockets encoded = encode(sockets.all(), kFirst);
  place(encoded);
  Fd file = make_input_file("succession", encoded.text);
  setenv(variable::kSuccession, std::to_string(file.get()).c_str(), 1);
  const int number = file.release();
  const auto inherited = take_inherited_sockets();
  REQUIRE(inherited);
  CHECK(inherited->sockets.listeners.size() == sockets.listeners.size());
  CHECK_FALSE(test::is_open(number));
  CHECK_FALSE(take_inherited_sockets());
}

TEST_CASE("a variable that names no descriptor is an error") {
  for (const char* number : {"", "x", "-1", "2"}) {
    setenv(variable::kSuccession, number, 1);
    CHECK_THROWS_AS((void)take_inherited_sockets(), InvalidArgument);
  }
  unsetenv(variable::kSuccession);
}

}  // namespace
}  // namespace handoff
