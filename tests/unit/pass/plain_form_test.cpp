// SPDX-License-Identifier: MIT
#include "pass/plain_form.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/address.hpp>

#include "os/socket.hpp"

namespace handoff {
namespace {

using plain_form::client_of;

std::string text_for(const SocketAddress& peer) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  return plain_form::text_of({.socket = std::move(ours), .peer = peer});
}

std::string client_text(std::string_view text) {
  const auto client = client_of(text);
  return client ? client->text() : "none";
}

TEST_CASE("a connection whose peer is that of its socket is a zero byte") {
  const std::string zero(1, '\0');
  const sa_family_t unnamed = AF_UNIX;
  CHECK(text_for(SocketAddress(reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed)) ==
        zero);
  CHECK(text_for({}) == zero);
}

TEST_CASE("the address of a client behind a proxy follows the zero byte") {
  for (const std::string client :
       {"192.0.2.7:4660", "[2001:db8::5]:65535", "/run/client.sock", "@name"}) {
    const std::string text = text_for(Address::parse(client).resolve().front());
    CHECK(text == std::string(1, '\0') + client);
    CHECK(client_text(text) == client);
  }
}

TEST_CASE("a client without a name is told as unix") {
  CHECK(client_text(std::string_view("\0unix", 5)) == "unix");
}

TEST_CASE("the longest name of a socket fits") {
  const std::string longest = "/" + std::string(106, 'x');
  const std::string text = text_for(SocketAddress::unix_path(longest));
  CHECK(text.size() <= plain_form::kMaxText);
  CHECK(client_text(text) == longest);
}

TEST_CASE("a text without an address tells no client") {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv, "\0"sv, "x"sv, "1.2.3.4:5"sv, "\1 1.2.3.4:5"sv, "\0localhost:5"sv, "\0hello"sv,
        "\0fd:3"sv, "\0exec:true"sv, "\0\0"sv}) {
    CAPTURE(std::string(text));
    CHECK(client_text(text) == "none");
  }
}

}  // namespace
}  // namespace handoff
