// SPDX-License-Identifier: MIT
#include "os/listen_on_all.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::thrown_by;

SocketAddress address(const std::string& text) {
  return Address::parse(text).resolve().front();
}

/// An address of documentation, which no host has.
constexpr const char* kElsewhere = "192.0.2.1:0";

TEST_CASE("with port 0 the addresses of a name share the port that the first one gets") {
  const test::DescriptorCheck check;
  const auto listeners = listen_on_each({address("127.0.0.1:0"), address("127.0.0.2:0")});
  REQUIRE(listeners.size() == 2);
  const std::string port = std::to_string(local_address(listeners[0].fd()).port());
  CHECK(listeners[0].text() == "127.0.0.1:" + port);
  CHECK(listeners[1].text() == "127.0.0.2:" + port);
  CHECK(port != "0");
}

TEST_CASE("an address that is in use is an error, and nothing listens then") {
  const test::DescriptorCheck check;
  const Listener other = listen_on(Address::parse("127.0.0.2:0"));
  const auto port = local_address(other.fd()).port();
  SocketAddress first = address("127.0.0.1:0");
  first.set_port(port);
  SocketAddress second = address("127.0.0.2:0");
  second.set_port(port);
  const auto error = thrown_by<SystemError>([&] { (void)listen_on_each({first, second}); });
  CHECK(error.error_number() == EADDRINUSE);
  CHECK_NOTHROW(listen_on(Address::parse(first.text())));
}

TEST_CASE("an address that this host does not have is left out, unless there is no other") {
  ListenOptions options;
  options.allow_public = true;
  const auto listeners = listen_on_each({address(kElsewhere), address("127.0.0.1:0")}, options);
  REQUIRE(listeners.size() == 1);
  CHECK(listeners[0].text().starts_with("127.0.0.1:"));
  const auto error =
      thrown_by<SystemError>([&] { (void)listen_on_each({address(kElsewhere)}, options); });
  CHECK(error.error_number() == EADDRNOTAVAIL);
}

TEST_CASE("an address that other hosts reach needs to be allowed, whichever it is") {
  const auto error = thrown_by<InvalidArgument>([&] {
    (void)listen_on_each({address("127.0.0.1:0"), address("0.0.0.0:0")});
  });
  CHECK(std::string(error.what()).find("other hosts could connect") != std::string::npos);
}

TEST_CASE("an address without a name is one listener") {
  const auto listeners = listen_on_all(Address::parse(":0"));
  CHECK(listeners.size() == 1);
}

}  // namespace
}  // namespace handoff
