// SPDX-License-Identifier: MIT
#include "os/address_list.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

std::vector<std::string> texts(std::string_view text) {
  std::vector<std::string> texts;
  for (const Address& address : AddressList::parse(text).all) { texts.push_back(address.text); }
  return texts;
}
using Texts = std::vector<std::string>;

TEST_CASE("addresses of servers are written with commas between them") {
  CHECK(texts("./a") == Texts{"./a"});
  CHECK(texts("./a,./b") == Texts{"./a", "./b"});
  CHECK(texts("host:1,[::1]:2,@name,/run/s") == Texts{"host:1", "[::1]:2", "@name", "/run/s"});
  CHECK(AddressList::parse("./a,:80").text == "./a,127.0.0.1:80");
}

TEST_CASE("a comma of a path or a command separates nothing") {
  CHECK(texts("./a,b") == Texts{"./a,b"});
  CHECK(texts("./a,b,./c") == Texts{"./a,b", "./c"});
  CHECK(texts("exec:cat a,/b") == Texts{"exec:cat a,/b"});
  CHECK(texts("./a,exec:cat a,:1") == Texts{"./a", "exec:cat a,:1"});
}

TEST_CASE("each address of a list has to be one") {
  CHECK_THROWS_AS(AddressList::parse(""), InvalidArgument);
  CHECK_THROWS_AS(AddressList::parse("./a,host:none"), InvalidArgument);
  CHECK_THROWS_AS(AddressList::parse("host:1,"), InvalidArgument);
}

TEST_CASE("a list knows the kinds of its addresses") {
  CHECK(AddressList::parse("./a,fd:3").has(Address::Kind::inherited));
  CHECK_FALSE(AddressList::parse("./a,:1").has(Address::Kind::inherited));
  CHECK(AddressList(Address::parse("./a")).text == "./a");
}

}  // namespace
}  // namespace handoff
