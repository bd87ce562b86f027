// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

#include "os/address.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/listener.hpp"
#include "os/socket.hpp"
#include "pass/sources.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// Its own process: nothing else is certain to be allowed.
Fd take(const std::string& address) {
  return take_listener(getpid(), Address::parse(address));
}

bool is_same(const Fd& taken, const Listener& listener) {
  return test::same_file(taken.get(), listener.fd());
}

TEST_CASE("a listener of a process is found by its address") {
  const test::DescriptorCheck check;
  const Listener one = listen_on(Address::parse("127.0.0.1:0"));
  const Listener other = listen_on(Address::parse("127.0.0.1:0"));
  const Fd taken = take(other.text());
  CHECK(is_same(taken, other));
  CHECK(test::closes_on_exec(taken.get()));
  CHECK(is_same(take(one.text()), one));
}

TEST_CASE(
    "a listener at all addresses counts for each, unless there is one at the address itself") {
  ListenOptions options;
  options.allow_public = true;
  const Listener any = listen_on(Address::parse("0.0.0.0:0"), options);
  const std::string port = any.text().substr(any.text().rfind(':'));
  CHECK(is_same(take("127.0.0.1" + port), any));
  CHECK(is_same(take(port), any));
}

TEST_CASE("a Unix listener is found by its path or its abstract name") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("socket");
  const Listener listener = listen_on(Address::parse(path));
  CHECK(is_same(take(directory.path("./socket")), listener));
  const Listener abstract = listen_on(Address::parse("@handoff-test-" + std::to_string(getpid())));
  CHECK(is_same(take(abstract.text()), abstract));
}

TEST_CASE("the listeners that a process has are named when none is at the address") {
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  const auto error = test::thrown_by<InvalidArgument>([] { (void)take("127.0.0.2:1"); });
  const std::string text = error.what();
  CHECK(text.starts_with("cannot find a listener on 127.0.0.2:1 in process " +
                         std::to_string(getpid()) + ": it listens on "));
  CHECK(text.find(listener.text()) != std::string::npos);
}

TEST_CASE("a process that is gone is an error that names it") {
  CHECK_THROWS_AS((void)take_listener(2147483647, Address::parse(":80")), SystemError);
}

}  // namespace
}  // namespace handoff
