// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string>

#include "pass/channel.hpp"

namespace handoff::channel {
namespace {

using std::operator""s;

TEST_CASE("a hello tells whether the worker reads the headers of proxies") {
  Hello hello;
  hello.reads_proxies = true;
  CHECK(encode_hello(hello).substr(6, 2) == "\20\0"s);
  const auto message = decode(encode_hello(hello));
  REQUIRE(message);
  CHECK(message->hello.reads_proxies);
  CHECK_FALSE(message->hello.answers);
  CHECK_FALSE(decode(encode_hello({}))->hello.reads_proxies);
}

TEST_CASE("listeners are passed with the proxies whose connections begin with a header") {
  const auto message = decode(encode_listeners(2, "unix 10.0.0.0/8"));
  REQUIRE(message);
  CHECK(message->type == Type::listener);
  CHECK(message->announced == 2);
  CHECK(message->proxies == "unix 10.0.0.0/8");
}

TEST_CASE("without proxies the message is that of older masters, which has no text") {
  CHECK(encode_listeners(2, "") == encode_passing(Type::listener, 2));
  CHECK(decode(encode_passing(Type::listener, 2))->proxies.empty());
}

TEST_CASE("no text follows the headers of a queue and a ledger") {
  for (const Type type : {Type::queue, Type::ledger}) {
    CHECK(decode(encode_passing(type, 2)));
    CHECK_FALSE(decode(encode_passing(type, 2) + "unix"));
  }
}

}  // namespace
}  // namespace handoff::channel
